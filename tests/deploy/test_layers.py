"""Layers depend on their files and on nothing else."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring_runtime.deploy import Workspace
from scoring_runtime.deploy.images.layer_cache import key_of, remembered, remembered_layer, stamp
from scoring_runtime.deploy.images.layers import EPOCH, Entry, Layer, entries_below, epoch, write_layer
from scoring_runtime.errors import DiskFull, PackagingError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


def written(workspace: Workspace, *entries: Entry) -> Layer:
    with workspace.blobs.adding() as adding:
        layer = write_layer(adding, entries, EPOCH)
        workspace.records("images").add("kept", {"digest": layer.digest})
        return layer


def test_entries_come_sorted_with_their_folders_and_nothing_of_this_machine(workspace: Workspace) -> None:
    layer = written(
        workspace,
        Entry.of_bytes("opt/b/script", b"#!", 0o755),
        Entry.of_link("opt/b/link", "script"),
        Entry.of_bytes("opt/a" + "x" * 200, b"long"),
    )

    with tarfile.open(workspace.blobs.path(layer.digest[7:])) as tar:
        members = [(m.name, m.type, m.mode, m.uid, m.gid, m.mtime) for m in tar.getmembers()]
    file, folder, link = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE
    assert members == [
        ("opt/a" + "x" * 200, file, 0o644, 0, 0, EPOCH),
        ("opt/b", folder, 0o755, 0, 0, EPOCH),
        ("opt/b/link", link, 0o777, 0, 0, EPOCH),
        ("opt/b/script", file, 0o755, 0, 0, EPOCH),
    ]


def test_the_order_of_entries_does_not_show(workspace: Workspace) -> None:
    one, other = Entry.of_bytes("a/1", b"1"), Entry.of_bytes("a/2", b"2")

    assert written(workspace, one, other) == written(workspace, other, one)


def test_a_folder_is_read_with_modes_and_links(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "folder"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "run").write_text("x")
    (folder / "bin" / "run").chmod(0o700)
    (folder / "data").write_text("y")
    (folder / "data").chmod(0o600)
    (folder / "link").symlink_to("data")

    entries = sorted(entries_below(str(folder), "/opt/x"))

    assert [(entry.path, entry.mode, entry.link) for entry in entries] == [
        ("opt/x/bin/run", 0o755, ""),
        ("opt/x/data", 0o644, ""),
        ("opt/x/link", 0o777, "data"),
    ]
    assert [b"".join(entry.read()) for entry in entries[:2] if entry.read] == [b"x", b"y"]


def test_a_source_that_fails_leaves_nothing(workspace: Workspace) -> None:
    def fails() -> Iterator[bytes]:
        yield b"1"
        raise PackagingError("changed while it was packaged")

    with pytest.raises(PackagingError, match="changed"):
        written(workspace, Entry("a/b", 2, read=fails))

    assert os.listdir(workspace.blobs.path()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tiny_disk: Path) -> None:
    workspace = Workspace(str(tiny_disk))

    with pytest.raises(DiskFull, match="5,000,000 bytes do not fit on this disk"):
        written(workspace, Entry.of_bytes("a/b", os.urandom(5_000_000)))

    assert os.listdir(workspace.blobs.path()) == []
    assert written(workspace, Entry.of_bytes("a/b", b"small")).size < 1000


def test_what_is_remembered_is_not_made_again_unless_its_blob_is_gone(workspace: Workspace) -> None:
    key = key_of("test", 1)

    def make() -> Layer:
        return written(workspace, Entry.of_bytes("a/b", b"c"))

    first, made = remembered_layer(workspace, key, make)
    assert made
    assert remembered_layer(workspace, key, make) == (first, False)

    os.unlink(workspace.blobs.path(first.digest[7:]))
    assert remembered_layer(workspace, key, make) == (first, True)


def test_a_damaged_memory_is_no_memory(workspace: Workspace) -> None:
    assert remembered(workspace, "key", lambda: [1]) == [1]
    Path(workspace.path("cache", "layers", "key.json")).write_text("[")

    assert remembered(workspace, "key", lambda: [2]) == [2]


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    before = stamp(str(path))
    path.write_text("22")

    assert stamp(str(path)) != before


def test_the_date_is_fixed_or_given() -> None:
    assert epoch({}) == 315532800
    assert epoch({"SOURCE_DATE_EPOCH": "1700000000"}) == 1700000000
    for text in ("now", "99999999999999"):
        with pytest.raises(PackagingError, match=f"SOURCE_DATE_EPOCH: expected seconds since 1970, .* got '{text}'"):
            epoch({"SOURCE_DATE_EPOCH": text})
