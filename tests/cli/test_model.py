"""`scoring model`: what it prints, stores and refuses, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scoring_runtime.cli.main import main
from scoring_runtime.deploy import Model, Workspace


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Scoring:
    """The command, in a folder with a model.pkl, for a workspace of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.ws = Workspace(str(folder / "ws"))
        (folder / "model.pkl").write_bytes(b"weights")

    def __call__(self, *arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["model", *arguments])
        out, err = self.capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)


@pytest.fixture
def scoring(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scoring:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORING_WORKSPACE", str(tmp_path / "ws"))
    return Scoring(tmp_path, capsys)


def test_register_says_what_it_stored(scoring: Scoring) -> None:
    said = scoring("register", "-n", "m", "-p", "model.pkl")

    assert said == (0, f"Registered m:1: 1 file, 7 bytes, in {scoring.folder}/ws\n", "")


def test_register_takes_everything_that_can_be_said(scoring: Scoring) -> None:
    (scoring.folder / "sample.json").write_text("[1]")

    said = scoring(
        *("register", "--name", "m", "--model-path", "model.pkl", "-d", "Ridge", "--json", "-t", "out.json"),
        *("--tag", "area=diabetes", "--tag", "empty=", "--property", "p=a=b", "--sample-input", "sample.json"),
        *("--model-framework", "ScikitLearn", "--model-framework-version", "1.5", "--cc", "0.5", "--gb", "1.5"),
        *("-w", str(scoring.folder / "other")),
    )

    other = Workspace(str(scoring.folder / "other"))
    model = Model(other, "m")
    assert (said.code, said.err) == (0, "")
    assert said.document == model.serialize()
    assert (model.tags, model.properties) == ({"area": "diabetes", "empty": ""}, {"p": "a=b"})
    assert (model.description, model.sample_input_dataset) == ("Ridge", b"[1]")
    assert model.serialize()["resourceConfiguration"] == {"cpu": 0.5, "memoryInGB": 1.5, "gpu": None}
    assert json.loads((scoring.folder / "out.json").read_text()) == {"modelId": "m:1", "workspaceName": "other"}
    assert Model.list(scoring.ws) == []


def test_flags_of_azure_are_taken_and_said_to_be_without_effect(scoring: Scoring) -> None:
    said = scoring(
        *("register", "-n", "bidaf_onnx", "-p", "model.pkl", "--resource-group", "g", "--subscription-id", "s"),
        *("--asset-path", "outputs", "--experiment-name", "e", "--run-id", "r"),
    )

    assert said.code == 0
    assert said.err.splitlines() == [
        f"{flag} is not needed here: it has no effect."
        for flag in ("--resource-group", "--subscription-id", "--asset-path", "--experiment-name", "--run-id")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["register", "-n", "a b", "-p", "model.pkl"], "ModelError: A model's name: expected letters"),
        (["register", "-n", "m", "-p", "nowhere"], "ModelError: nowhere: there is no such file or folder"),
        (["register", "-n", "m", "-p", "model.pkl", "--tag", "x"], "argument --tag: expected KEY=VALUE, got 'x'"),
        (["register", "-n", "m", "-p", "model.pkl", "--tags", "x=1"], "unrecognized arguments: --tags x=1"),
        (["register", "-n", "m"], "the following arguments are required: -p/--model-path"),
        (["register", "-n", "m", "-p", "model.pkl", "-t", "no/out.json"], "m:1 is registered, but no/out.json cannot"),
        (["show", "m"], "ModelNotFound: There is no model m in"),
        (["show", "-i", "m"], 'ModelError: A model\'s id: expected "name:version"'),
        (["show"], "ModelError: Expected one model, as NAME, NAME:VERSION"),
        (["delete", "m", "-n", "m"], "ModelError: Expected one model"),
    ],
)
def test_what_is_wrong_is_said_and_ends_with_2(arguments: list[str], message: str, scoring: Scoring) -> None:
    said = scoring(*arguments)

    assert (said.code, said.out) == (2, "")
    assert message in said.err


def test_dry_runs_say_what_they_would_do_and_do_nothing(scoring: Scoring) -> None:
    where = f"in {scoring.folder}/ws"

    assert scoring("register", "-n", "m", "-p", "model.pkl", "--dry-run", "-t", "out.json").out == (
        f"Would register m:1: 1 file, 7 bytes, {where}\n"
    )
    assert [path.name for path in scoring.folder.iterdir()] == ["model.pkl"]
    assert scoring("register", "-n", "m", "-p", "model.pkl").code == 0
    before = Model(scoring.ws, "m").record
    assert (
        scoring("download", "m", "-t", "out", "--dry-run").out == "Would write out/model.pkl: 1 file, 7 bytes of m:1\n"
    )
    assert scoring("update", "m", "--add-tag", "a=1", "--dry-run", "--json").document["tags"] == {"a": "1"}
    assert scoring("delete", "m", "--dry-run").out == "Would delete m:1\n"
    assert Model(scoring.ws, "m").record == before
    assert not (scoring.folder / "out").exists()


def test_list_is_a_table_or_json(scoring: Scoring) -> None:
    for tag in ("area=iris", "area=diabetes"):
        scoring("register", "-n", "m", "-p", "model.pkl", "--tag", tag, "--model-framework", "Onnx")
    scoring("register", "-n", "other", "-p", "model.pkl")
    models = Model.list(scoring.ws)

    lines = scoring("list").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["NAME", "VERSION"], ["m", "2"], ["m", "1"], ["other", "1"]]
    assert lines[1].split()[2:4] + lines[1].split()[-1:] == ["Onnx", "7", "area=diabetes"]
    assert scoring("list", "--json").document == [model.serialize() for model in models]
    assert [one["id"] for one in scoring("list", "-l", "--json").document] == ["m:2", "other:1"]
    assert [one["id"] for one in scoring("list", "--tag", "area=iris", "--json").document] == ["m:1"]
    assert [one["id"] for one in scoring("list", "--tag", "area", "-n", "m", "--json").document] == ["m:2", "m:1"]


def test_show_names_the_files(scoring: Scoring) -> None:
    folder = scoring.folder / "saved"
    folder.mkdir()
    (folder / "weights").write_bytes(b"0" * 1234)
    scoring("register", "-n", "m", "-p", "saved", "--tag", "a=1", "-d", "Ridge", "--gb", "2")
    model = Model(scoring.ws, "m")

    shown = scoring("show", "m:1").out

    assert shown.splitlines() == [
        "id:           m:1",
        "description:  Ridge",
        f"created:      {model.created_time:%Y-%m-%d %H:%M:%S} UTC",
        "tags:         a=1",
        "resources:    memoryInGB=2.0",
        "folder:       saved (1 file, 1,234 bytes)",
        "           1,234  weights",
    ]
    assert scoring("show", "-n", "m", "--version", "1").out == shown
    assert scoring("show", "-i", "m:1", "--json").document["files"] == model.record["files"]


def test_dry_run_of_a_download_is_refused_as_the_download_is(scoring: Scoring) -> None:
    scoring("register", "-n", "m", "-p", "model.pkl")

    assert scoring("download", "m", "--dry-run") == (
        2,
        "",
        "ModelError: ./model.pkl is there already. Name another folder, or replace it with --overwrite "
        "(exist_ok=True).\n",
    )


@pytest.mark.parametrize("given", [("m:1", "--version", "2"), ("-i", "m:1", "--version", "2")])
def test_two_versions_at_once_are_refused(scoring: Scoring, given: tuple[str, ...]) -> None:
    scoring("register", "-n", "m", "-p", "model.pkl")

    assert "A model: got the id 'm:1', and beside it" in scoring("show", *given).err


def test_what_the_file_system_refuses_is_one_message(scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> list[str]:
        raise PermissionError(13, "Permission denied", "/closed")

    monkeypatch.setattr("os.listdir", refused)

    assert scoring("list") == (
        2,
        "",
        "/closed: Permission denied. Check the path, its permissions, and the free space.\n",
    )


def test_download_writes_the_model(scoring: Scoring) -> None:
    scoring("register", "-n", "m", "-p", "model.pkl")

    said = scoring("download", "-i", "m:1", "-t", "out")
    again = scoring("download", "m", "-t", "out")

    assert said.out == "Wrote out/model.pkl: 1 file, 7 bytes of m:1\n"
    assert (scoring.folder / "out/model.pkl").read_bytes() == b"weights"
    assert (again.code, "out/model.pkl is there already" in again.err) == (2, True)
    assert scoring("download", "m", "-t", "out", "--overwrite", "--json").document == {
        "id": "m:1",
        "path": "out/model.pkl",
    }


def test_update_changes_all_that_is_said(scoring: Scoring) -> None:
    scoring("register", "-n", "m", "-p", "model.pkl", "--tag", "a=1", "--property", "p=1")
    (scoring.folder / "sample.json").write_text("[1]")

    said = scoring(
        *("update", "m", "--add-tag", "b=2", "--remove-tag", "a", "--add-property", "q=2", "-d", "new", "--gc", "1"),
        *("--sample-input", "sample.json", "--json"),
    )
    refused = scoring("update", "m", "--add-property", "p=2", "-d", "never")

    model = Model(scoring.ws, "m")
    assert said.document == model.serialize()
    assert (model.tags, model.properties, model.description) == ({"b": "2"}, {"p": "1", "q": "2"}, "new")
    assert model.sample_input_dataset == b"[1]"
    assert (refused.code, "properties do not change" in refused.err) == (2, True)


def test_delete_is_refused_where_the_model_is_used(scoring: Scoring) -> None:
    scoring("register", "-n", "m", "-p", "model.pkl")
    scoring.ws.records("images").add("web", {"models": ["m:1"]})

    refused = [scoring("delete", "m:1"), scoring("delete", "m:1", "--dry-run")]
    scoring.ws.records("images").remove("web", 1)
    said = scoring("delete", "m:1", "--json")

    message = "ModelInUse: The model m:1 is used by image web:1. Delete those first.\n"
    assert [(one.code, one.err) for one in refused] == [(2, message)] * 2
    assert said.document == {"id": "m:1"}
    assert Model.list(scoring.ws) == []


def test_a_workspace_at_a_url_is_read_only(scoring: Scoring) -> None:
    scoring("register", "-n", "m", "-p", "model.pkl")
    url = f"file://{scoring.folder}/ws"

    assert [one["id"] for one in scoring("list", "-w", url, "--json").document] == ["m:1"]
    refused = scoring("register", "-n", "m", "-p", "model.pkl", "-w", url)
    assert (refused.code, "is read-only" in refused.err, "Model.register was refused" in refused.err) == (2, True, True)
