"""A base may be a layout, an archive of either kind, or a root file system; what is wrong with one is named."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from scoring_runtime.deploy import Image, Workspace
from scoring_runtime.deploy.images.base_image import Base, kind_of, take_base
from scoring_runtime.deploy.images.distribution import no_meter
from scoring_runtime.deploy.images.image_sources import Access
from scoring_runtime.deploy.images.interpreter import Interpreter, elf_architecture, find_interpreter
from scoring_runtime.deploy.images.layers import Layer
from scoring_runtime.deploy.images.layout import write_archive, write_layout
from scoring_runtime.deploy.images.oci import Platform
from scoring_runtime.errors import PackagingError
from tests.deploy.building import ELF, layered_base, script_alone, small_base


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


def taken(workspace: Workspace, text: object, platform: str = "") -> Base:
    with workspace.blobs.adding() as adding:
        base = take_base(
            workspace, adding, str(text), Platform.parse(platform) if platform else None, Access(), no_meter
        )
        workspace.records("images").add("kept", {"layers": [layer.digest for layer in base.layers]})
        return base


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """In another workspace."""
    other = Workspace(str(tmp_path / "other"))
    return Image.create(other, "base", [], script_alone(tmp_path), base=str(small_base(tmp_path)))


def test_a_root_file_system_is_one_layer_whatever_it_is_compressed_with(tmp_path: Path, workspace: Workspace) -> None:
    plain = small_base(tmp_path)
    (tmp_path / "base.tar.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "base.tar.xz").write_bytes(lzma.compress(plain.read_bytes()))

    bases = [taken(workspace, path) for path in (plain, tmp_path / "base.tar.gz", tmp_path / "base.tar.xz")]

    assert bases[0].platform == Platform("linux", "amd64")
    assert (bases[0].interpreter.path, bases[0].interpreter.version) == ("/usr/bin/python3.11", "3.11")
    assert bases[0].layers == bases[1].layers == bases[2].layers


def test_all_forms_of_an_image_have_the_same_layers(tmp_path: Path, workspace: Workspace, image: Image) -> None:
    blobs = image.workspace.blobs
    write_layout(blobs, image.descriptor, str(tmp_path / "layout"), "base:1")
    write_archive(blobs, image.descriptor, str(tmp_path / "oci.tar"))
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci:{tmp_path}/layout:1", f"docker-archive:{tmp_path}/docker.tar:base:1"],
        check=True,
    )
    forms = [tmp_path / "layout", f"{tmp_path}/layout:1", tmp_path / "oci.tar", tmp_path / "docker.tar"]

    assert [kind_of(str(form)) for form in forms] == ["layout", "layout", "archive", "docker-archive"]
    bases = [taken(workspace, form) for form in forms]
    assert len({tuple(layer.diff_id for layer in base.layers) for base in bases}) == 1
    assert bases[0].config["config"]["User"] == "1000:1000"
    assert taken(workspace, tmp_path / "docker.tar").layers == bases[3].layers


def test_an_index_is_asked_for_the_platform(tmp_path: Path, workspace: Workspace) -> None:
    other = Workspace(str(tmp_path / "other"))
    bases = {f"linux/{name}": str(small_base(tmp_path, name)) for name in ("amd64", "arm64")}
    image = Image.create(other, "both", [], script_alone(tmp_path), bases=bases, platforms=list(bases))
    write_layout(other.blobs, image.descriptor, str(tmp_path / "layout"))

    assert taken(workspace, tmp_path / "layout", "linux/arm64").interpreter.architecture == "arm64"
    assert taken(workspace, tmp_path / "layout", "linux/amd64").interpreter.architecture == "amd64"
    with pytest.raises(PackagingError, match=r"no image for linux/s390x; there are: linux/amd64, linux/arm64"):
        taken(workspace, tmp_path / "layout", "linux/s390x")


def test_the_python_that_is_found_first_is_taken(tmp_path: Path, workspace: Workspace) -> None:
    base = small_base(tmp_path, name="local.tar", python="usr/local/bin/python3.12")

    assert taken(workspace, base).interpreter.path == "/usr/local/bin/python3.12"


@pytest.mark.parametrize(
    "above",
    [
        {"usr/local/bin/.wh.python3.12": b""},
        {"usr/.wh.local": b""},
        {"usr/local/bin/.wh..wh..opq": b""},
        {"usr/local/bin/python3.12": b"#!/bin/sh\n"},
    ],
)
def test_a_python_that_a_layer_above_takes_away_is_not_found(
    tmp_path: Path, workspace: Workspace, above: dict[str, bytes]
) -> None:
    below = {"usr/local/bin/python3.12": ELF, "usr/bin/python3.11": ELF}

    assert taken(workspace, layered_base(tmp_path / "b", below, above)).interpreter.path == "/usr/bin/python3.11"


def test_a_python_under_a_second_name_is_found(tmp_path: Path, workspace: Workspace) -> None:
    base = layered_base(tmp_path / "base", {"usr/bin/python3": ELF, "usr/bin/python3.11": "usr/bin/python3"})

    assert taken(workspace, base).interpreter == Interpreter("/usr/bin/python3.11", "3.11", "amd64")


def test_packages_for_glibc_are_not_put_on_alpine(tmp_path: Path, workspace: Workspace) -> None:
    alpine = layered_base(tmp_path / "base", {"lib/ld-musl-x86_64.so.1": ELF, "usr/local/bin/python3.11": ELF})
    bare = script_alone(tmp_path)
    full = script_alone(tmp_path)
    assert full.environment is not None
    full.environment.python.user_managed_dependencies = False

    assert Image.create(workspace, "bare", [], bare, base=str(alpine)).creation_state == "Succeeded"
    with pytest.raises(PackagingError, match=r"has the C library musl \(Alpine\).* such as python:3.11-slim"):
        Image.create(workspace, "full", [], full, base=str(alpine))


def test_a_base_without_python_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(PackagingError, match=r"has no Python 3.10 or newer .*\(found: /usr/bin/python3.9\).*--engine"):
        taken(workspace, small_base(tmp_path, name="old.tar", python="usr/bin/python3.9"))
    with pytest.raises(
        PackagingError, match=r"has no Python 3.10 or newer in /usr/bin, /usr/local/bin or /opt\. Build"
    ):
        taken(workspace, small_base(tmp_path, name="none.tar", python="usr/bin/perl"))


def test_a_base_for_other_machines_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(PackagingError, match="is made for linux/arm64, and the image for linux/amd64"):
        taken(workspace, small_base(tmp_path, "arm64"), "linux/amd64")


def test_what_is_no_base_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.tar").write_text("nothing")
    (tmp_path / "folder").mkdir()

    with pytest.raises(PackagingError, match="is no tar file that can be read"):
        kind_of(str(tmp_path / "note.tar"))
    with pytest.raises(PackagingError, match=r"is a folder without an oci-layout file.*tar -C"):
        kind_of(str(tmp_path / "folder"))
    with pytest.raises(PackagingError, match="there is no such file"):
        kind_of(str(tmp_path / "missing.tar"))
    assert kind_of("python:3.11") == "registry"


def test_a_damaged_layout_is_refused(tmp_path: Path, workspace: Workspace, image: Image) -> None:
    layout = tmp_path / "layout"
    write_archive(image.workspace.blobs, image.descriptor, str(tmp_path / "whole.tar"))
    with tarfile.open(tmp_path / "whole.tar") as tar:
        tar.extractall(layout, filter="data")
    config = json.loads((layout / "blobs" / "sha256" / image.descriptor.digest[7:]).read_text())["config"]["digest"]
    path = layout / "blobs" / "sha256" / config[7:]

    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(PackagingError, match=f"expected blob {config} of .* The image is damaged"):
        taken(workspace, layout)
    path.unlink()
    with pytest.raises(PackagingError, match=f"is not a whole image: blobs/sha256/{config[7:]} is missing"):
        taken(workspace, layout)


def test_a_layout_of_several_images_needs_a_tag(tmp_path: Path, workspace: Workspace, image: Image) -> None:
    layout = str(tmp_path / "layout")
    write_layout(image.workspace.blobs, image.descriptor, layout, "base:1")
    write_layout(image.workspace.blobs, image.descriptor, layout, "base:2")
    write_layout(image.workspace.blobs, image.descriptor, layout, "base:2")

    with pytest.raises(PackagingError, match=f"holds 2 images: 1, 2. Name one: {layout}:TAG"):
        taken(workspace, layout)
    with pytest.raises(PackagingError, match="has no 3; there are: 1, 2"):
        taken(workspace, f"{layout}:3")
    assert taken(workspace, f"{layout}:2").layers


def test_a_layer_that_cannot_be_read_is_named(tmp_path: Path, workspace: Workspace) -> None:
    Path(workspace.blobs.path()).mkdir(parents=True)
    layer = Layer("sha256:" + "a" * 64, 4, "sha256:" + "b" * 64, "application/vnd.oci.image.layer.v1.tar+zstd")
    Path(workspace.blobs.path("a" * 64)).write_bytes(b"(\xb5/\xfd" + bytes(600))

    with pytest.raises(PackagingError, match=r"tar\+zstd\), cannot be read: .*skopeo copy --dest-compress-format gzip"):
        find_interpreter(workspace, [layer], "base")


def test_a_damaged_compressed_base_is_named(tmp_path: Path, workspace: Workspace) -> None:
    data = gzip.compress(small_base(tmp_path).read_bytes() + os.urandom(300_000))
    (tmp_path / "cut.tar.gz").write_bytes(data[:-1000])

    with pytest.raises(PackagingError, match=r"(compressed file of the base is damaged|is no tar file)"):
        taken(workspace, tmp_path / "cut.tar.gz")


def test_architectures_are_read_from_elf_headers() -> None:
    arm_big_endian = b"\x7fELF\x01\x02" + bytes(12) + b"\x00\x28"

    assert elf_architecture(arm_big_endian) == "arm"
    assert elf_architecture(b"#!/bin/sh" * 9) == ""
    assert elf_architecture(b"\x7fELF\x02\x01" + bytes(12) + b"\xff\x00") == "elf-255"
