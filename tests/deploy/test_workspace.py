"""A workspace is found by folder, by name, by file or by the environment, and locks what must not meet."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from scoring_runtime.deploy import AksCompute, ComputeTarget, Environment, Model, Workspace
from scoring_runtime.errors import WorkspaceError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose data directory and working directory are empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SCORING_WORKSPACE", raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path


def test_default_is_below_the_users_data(home: Path) -> None:
    assert Workspace().folder == str(home / "data/scoring-runtime/default")
    assert Workspace.from_config().folder == Workspace().folder


def test_variable_names_the_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORING_WORKSPACE", str(home / "mine"))

    assert Workspace().folder == str(home / "mine")
    assert Workspace.from_config().folder == str(home / "mine")


def test_created_by_name_with_the_arguments_of_azure(home: Path) -> None:
    made = Workspace.create(
        "myworkspace",
        subscription_id="<azure-subscription-id>",
        resource_group="myresourcegroup",
        create_resource_group=True,
        location="eastus2",
    )

    assert made.folder == str(home / "data/scoring-runtime/myworkspace")
    assert Workspace.get("myworkspace").folder == made.folder
    assert made.name == "myworkspace"
    assert Workspace.create("myworkspace", exist_ok=True).folder == made.folder
    with pytest.raises(WorkspaceError, match=r"there is a workspace of that name.*exist_ok=True"):
        Workspace.create("myworkspace")


def test_a_bare_name_is_a_folder_here_or_one_that_was_created(home: Path) -> None:
    Workspace.create("made")

    assert Workspace("made").folder == str(home / "data/scoring-runtime/made")
    assert Workspace("other").folder == str(home / "project/other")
    (home / "project/made").mkdir()
    assert Workspace("made").folder == str(home / "project/made")


def test_a_workspace_that_is_not_there_is_named() -> None:
    with pytest.raises(WorkspaceError, match=r"no such workspace. Make it with Workspace.create\('other'\)"):
        Workspace.get("other")
    with pytest.raises(WorkspaceError, match=r"expected a workspace's name, got '../x'"):
        Workspace.get("../x")


def test_written_config_is_found_from_below(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(str(home / "mine"))
    path = workspace.write_config()
    below = home / "project" / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert path == str(home / "project/.azureml/config.json")
    assert Workspace.from_config().folder == workspace.folder
    assert Workspace.from_config(path).folder == workspace.folder


def test_config_of_azure_names_a_workspace_of_ours(home: Path) -> None:
    azure = {"subscription_id": "0", "resource_group": "group", "workspace_name": "theirs"}
    (home / "project/config.json").write_text(json.dumps(azure))

    assert Workspace.from_config().folder == str(home / "data/scoring-runtime/theirs")


def test_config_of_something_else_is_passed_over_unless_it_was_given(home: Path) -> None:
    for text in ('{"WORKER_COUNT": 2}', "[]", "{"):
        (home / "project/config.json").write_text(text)

        assert Workspace.from_config().name == "default"
        with pytest.raises(WorkspaceError, match=r'expected {"workspace_name"'):
            Workspace.from_config("config.json")
        with pytest.raises(WorkspaceError, match="there is none"):
            Workspace.from_config(str(home / "project"))


def test_lock_is_held_by_one_thread_which_may_enter_again(home: Path) -> None:
    workspace = Workspace(str(home / "mine"))
    refused: list[str] = []

    def other() -> None:
        try:
            with Workspace(workspace.folder).lock(wait_seconds=0):
                refused.append("entered")
        except WorkspaceError as error:
            refused.append(str(error))

    with workspace.lock(), Workspace(workspace.folder).lock():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
    with workspace.lock(wait_seconds=0):
        pass

    assert len(refused) == 1
    assert "another process has had its lock for 0 s" in refused[0]


def test_everything_in_it_is_there_by_name(home: Path) -> None:
    ws = Workspace(str(home / "mine"))
    (home / "model").write_text("weights")
    for _ in range(2):
        Model.register(ws, str(home / "model"), "m")
    Environment("env").register(ws)
    ComputeTarget.attach(ws, "cluster", AksCompute.attach_configuration())

    assert {name: model.id for name, model in ws.models.items()} == {"m": "m:2"}
    assert list(ws.environments) == ["env"]
    assert list(ws.compute_targets) == ["cluster"]
    assert (ws.images, ws.webservices) == ({}, {})
    assert ws.get_details() == {"name": "mine", "folder": str(home / "mine"), "read_only": False}
    assert repr(ws) == f"Workspace({str(home / 'mine')!r})"


def test_the_highest_removed_version_is_known_by_its_document_too(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    records = workspace.records("models")
    records.add("m", {"a": 1})
    os.replace(records.path("m", 1), workspace.path("models", "m", "last"))  # killed here, or on a full disk

    assert (records.versions("m"), records.next_version("m"), records.add("m", {})) == ([], 2, 2)
    records.remove("m", 2)
    assert Path(workspace.path("models", "m", "last")).read_text() == "2"


@pytest.mark.parametrize("text", ["x", "{}", "[]", ""])
def test_a_damaged_mark_of_removed_versions_is_named(tmp_path: Path, text: str) -> None:
    workspace = Workspace(str(tmp_path))
    workspace.records("models").add("m", {})
    Path(workspace.path("models", "m", "last")).write_text(text)

    with pytest.raises(WorkspaceError, match=r"models/m/last is damaged. Write the highest version into it"):
        workspace.records("models").add("m", {})
