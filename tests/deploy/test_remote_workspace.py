"""A workspace at a URL: read and verified as one in a folder, and never written."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from scoring_runtime.deploy import Model, Workspace
from scoring_runtime.errors import BlobCorrupt, MissingPackage, WorkspaceError, WorkspaceReadOnly


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with m:1, a folder, and m:2."""
    source = tmp_path / "saved"
    source.mkdir()
    (source / "weights").write_bytes(b"w" * 3_000_000)
    (source / "notes.txt").write_text("notes")
    ws = Workspace(str(tmp_path / "ws"))
    Model.register(ws, str(source), "m", {"a": "1"}, sample_input_dataset=[1])
    Model.register(ws, str(source / "notes.txt"), "m")
    return tmp_path / "ws"


@pytest.fixture(params=["file", "memory", "http"])
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The same workspace, seen through one protocol of fsspec."""
    if request.param == "file":
        yield f"file://{folder}"
    elif request.param == "memory":
        memory = fsspec.filesystem("memory")
        memory.put(str(folder), "/remote-ws", recursive=True)
        yield "memory://remote-ws"
        memory.rm("/remote-ws", recursive=True)
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder.parent)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/ws"
        server.shutdown()
        thread.join()
        server.server_close()


def test_models_are_listed_and_downloaded(url: str, folder: Path, tmp_path: Path) -> None:
    remote, local = Workspace(url), Workspace(str(folder))

    path = Model(remote, id="m:1").download(str(tmp_path / "out"))

    assert [model.record for model in Model.list(remote)] == [model.record for model in Model.list(local)]
    assert Model(remote, "m").id == "m:2"
    assert Model(remote, id="m:1").sample_input_dataset == b"[1]"
    assert (tmp_path / "out/saved/weights").read_bytes() == b"w" * 3_000_000
    assert path == str(tmp_path / "out/saved")
    assert (remote.name, remote.get_details()["read_only"]) == (url.rpartition("/")[2], True)


WRITES: list[tuple[str, Callable[[Workspace], Any]]] = [
    ("Model.register", lambda ws: Model.register(ws, __file__, "m")),
    ("Model.update", lambda ws: Model(ws, "m").update({"a": "2"})),
    ("Model.update_tags_properties", lambda ws: Model(ws, "m").add_tags({"a": "2"})),
    ("Model.delete", lambda ws: Model(ws, "m").delete()),
    ("a change", lambda ws: ws.lock().__enter__()),
    ("this", lambda ws: ws.path("services")),
]


@pytest.mark.parametrize(("what", "write"), WRITES, ids=[what for what, _ in WRITES])
def test_every_write_is_refused_by_name(what: str, write: Callable[[Workspace], Any], folder: Path) -> None:
    before = sorted(path.name for path in folder.rglob("*"))

    with pytest.raises(WorkspaceReadOnly, match=f"is read-only, as every workspace at a URL: {what} was refused"):
        write(Workspace(f"file://{folder}"))

    assert sorted(path.name for path in folder.rglob("*")) == before


def test_what_was_damaged_on_the_way_is_noticed(url: str, folder: Path, tmp_path: Path) -> None:
    model = Model(Workspace(url), "m")
    sha256 = model.record["files"][0]["sha256"]
    where = url if url.startswith("memory") else f"file://{folder}"
    with fsspec.open(f"{where}/blobs/sha256/{sha256}", "wb") as file:
        file.write(b"nodes")

    with pytest.raises(BlobCorrupt, match="now have the hash"):
        model.download(str(tmp_path / "out"))

    assert list((tmp_path / "out").iterdir()) == []


def test_a_record_that_names_a_path_for_a_hash_reads_nothing(folder: Path, tmp_path: Path) -> None:
    model = Model(Workspace(f"file://{folder}"), "m")
    model.record["files"][0]["sha256"] = "../../models/m/1.json"

    with pytest.raises(BlobCorrupt, match="it is missing"):
        model.download(str(tmp_path / "out"))


def test_a_url_that_nobody_answers_is_named_without_its_secrets() -> None:
    workspace = Workspace("http://user:secret@127.0.0.1:1/ws?sig=secret")

    with pytest.raises(WorkspaceError, match=r"http://127.0.0.1:1/ws cannot be read: Client") as caught:
        Model.list(workspace)

    assert "secret" not in str(caught.value) + repr(workspace)


def test_a_protocol_that_is_unknown_is_named() -> None:
    with pytest.raises(WorkspaceError, match="nope://x cannot be opened: Protocol not known: nope"):
        Workspace("nope://x")


def test_without_fsspec_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)

    with pytest.raises(
        MissingPackage, match=r"Workspaces at a URL need fsspec.*pip install 'scoring-runtime\[remote\]'"
    ):
        Workspace("memory://x")
