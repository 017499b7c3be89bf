"""Whatever is killed and whenever, and however many work at once: a workspace is as before or as after."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy import Model, Workspace
from tests.serving import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a workspace in before/, where m:1 and other:1 are, and the files of a model that is new."""
    (tmp_path / "old").write_text("old")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/one").write_bytes(os.urandom(3_000_000))
    (tmp_path / "new/two").write_text("two")
    ws = Workspace(str(tmp_path / "before"))
    Model.register(ws, str(tmp_path / "old"), "m", {"t": "0"}, sample_input_dataset=[0])
    Model.register(ws, str(tmp_path / "new/two"), "other")
    return tmp_path


def contents(ws: Workspace) -> dict[str, Any]:
    """All that can be read, each file verified. Nothing of it depends on when it was written."""
    blobs = ws.blobs
    return {
        model.id: {
            **{key: value for key, value in model.record.items() if key != "created"},
            "read": [blobs.read(file["sha256"]) for file in model.record["files"]],
            "sample": model.sample_input_dataset,
        }
        for model in Model.list(ws)
    }


def named_blobs(ws: Workspace) -> set[str]:
    return {
        one["sha256"]
        for model in Model.list(ws)
        for one in (*model.record["files"], model.record["sample_input"], model.record["sample_output"])
        if one
    }


def run(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
    return out


@pytest.mark.parametrize("operation", ["register", "register_first", "update", "tag", "delete"])
def test_killed_at_any_step_it_is_as_before_or_as_after(operation: str, folder: Path) -> None:
    ended(run("tests.deploy.crashing", folder, operation))

    copies = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    states = [contents(Workspace(str(folder / str(copy)))) for copy in copies]
    before, after = contents(Workspace(str(folder / "before"))), states[-1]

    assert before != after
    assert len(states) > 8
    turn = states.index(after)
    assert states == [before] * turn + [after] * (len(states) - turn)


@pytest.mark.parametrize("operation", ["register", "register_first", "update", "tag", "delete"])
def test_what_a_killed_one_left_is_removed_by_the_next(operation: str, folder: Path) -> None:
    ended(run("tests.deploy.crashing", folder, operation))

    for copy in sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()):
        ws = Workspace(str(folder / str(copy)))
        taken = [model.version for model in Model.list(ws, "m")]
        model = Model.register(ws, str(folder / "old"), "m")

        assert model.version in ((max(taken) + 1,) if taken else (2,))
        assert set(os.listdir(ws.path("blobs", "sha256"))) == named_blobs(ws)
        assert os.listdir(ws.path("blobs", "adding")) == []
        records = {f"{one}.json" for one in (*taken, model.version)}
        assert set(os.listdir(ws.path("models", "m"))) - {"last", "lock"} == records


@pytest.mark.parametrize("count", [2, 8])
def test_as_many_as_register_at_once_get_versions_of_their_own(count: int, folder: Path) -> None:
    ws = Workspace(str(folder / "before"))
    code = (
        "import sys; from scoring_runtime.deploy import Model, Workspace; print('ready', flush=True); input();"
        "print(Model.register(Workspace(sys.argv[1]), sys.argv[2], 'same', {'by': sys.argv[3]}).version)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, ws.folder, str(folder / "new"), str(at)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    versions = {int(process.communicate("\n", timeout=60)[0]): str(at) for at, process in enumerate(processes)}

    assert sorted(versions) == list(range(1, count + 1))
    assert {model.version: model.tags["by"] for model in Model.list(ws, "same")} == versions
    assert set(os.listdir(ws.path("blobs", "sha256"))) == named_blobs(ws)


def test_registering_deleting_and_downloading_at_once_loses_nothing(folder: Path) -> None:
    ws = Workspace(str(folder / "before"))

    said = [ended(process) for process in [run("tests.deploy.crowding", ws.folder, folder, at) for at in range(4)]]

    kept = {line for text in said for line in text.split()}
    assert {model.id for model in Model.list(ws)} == kept | {"m:1", "other:1"}
    assert contents(ws).keys() == kept | {"m:1", "other:1"}
    assert set(os.listdir(ws.path("blobs", "sha256"))) == named_blobs(ws)
