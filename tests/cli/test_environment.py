"""`scoring environment`: what it writes, registers, prints and refuses, and with which exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scoring_runtime.cli.main import main
from scoring_runtime.deploy import Environment, Workspace


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Scoring:
    """The command, in an empty folder, for a workspace of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.ws = Workspace(str(folder / "ws"))

    def __call__(self, *arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["environment", *arguments])
        out, err = self.capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)


@pytest.fixture
def scoring(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scoring:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORING_WORKSPACE", str(tmp_path / "ws"))
    return Scoring(tmp_path, capsys)


def test_scaffold_is_edited_and_registered(scoring: Scoring) -> None:
    said = scoring("scaffold", "-n", "demo", "-d", "env")
    (scoring.folder / "env" / "conda_dependencies.yml").write_text("dependencies: [python=3.12, scipy=1.14]\n")
    registered = scoring("register", "-d", "env")
    again = scoring("register", "-d", "env")
    (scoring.folder / "env" / "conda_dependencies.yml").unlink()

    assert said == (
        0,
        "Wrote env/azureml_environment.json and env/conda_dependencies.yml: edit them, then register the folder\n",
        "",
    )
    assert registered == again == (0, f"demo, version 1, is in {scoring.folder}/ws\n", "")
    assert scoring("list").out.splitlines() == ["NAME  VERSION  PYTHON", "demo  1        3.12"]
    assert scoring("show", "-n", "demo").out.splitlines() == [
        "demo, version 1",
        "python 3.12",
        "pip scipy==1.14.*",
        "pip scoring-runtime",
        "note: No azureml-defaults and no scoring-runtime is named: scoring-runtime, the server, is added.",
    ]


def test_registers_from_files_of_conda_and_pip(scoring: Scoring) -> None:
    (scoring.folder / "conda.yml").write_text("dependencies: [gdal=3.8]")
    (scoring.folder / "requirements.txt").write_text("numpy\n")

    conda = scoring("register", "-n", "geo", "--conda-file", "conda.yml", "--json")
    pip = scoring("register", "-n", "plain", "--pip-requirements", "requirements.txt")

    assert (conda.code, conda.document["version"]) == (0, "1")
    assert pip.code == 0
    assert "conda gdal=3.8" in scoring("show", "-n", "geo", "-v", "1").out.splitlines()
    assert {one["name"] for one in scoring("list", "--json").document} == {"geo", "plain"}


def test_download_writes_what_can_be_registered(scoring: Scoring) -> None:
    environment = Environment("demo")
    environment.environment_variables = {"A": "b"}
    environment.register(scoring.ws)

    said = scoring("download", "-n", "demo", "-d", "there")
    refused = scoring("download", "-n", "demo", "-d", "there")
    replaced = scoring("download", "-n", "demo", "-d", "there", "--overwrite")

    assert said == (0, "Wrote demo to there\n", "")
    assert (refused.code, replaced.code) == (2, 0)
    assert os.listdir("there") == ["azureml_environment.json"]
    assert scoring("register", "-d", "there").out.startswith("demo, version 1")
    assert "variable A=b" in scoring("show", "-n", "demo").out.splitlines()


def test_lock_is_a_hashed_requirements_file(scoring: Scoring) -> None:
    Environment("demo").register(scoring.ws)

    said = scoring("lock", "-n", "demo", "--python", "3.11", "--platform", "linux/arm64")
    as_json = scoring("lock", "-n", "demo", "--python", "3.11", "--platform", "linux/arm64", "--json", "--update")

    assert all(line.partition(" --hash=sha256:")[2] for line in said.out.splitlines())
    assert "scoring-runtime==" in said.out
    assert (as_json.document["python"], as_json.document["platform"]) == ("3.11", "linux/arm64")


def test_what_is_ignored_is_said(scoring: Scoring) -> None:
    (scoring.folder / "azureml_environment.json").write_text(json.dumps({"name": "demo", "spark": {}, "pyton": 1}))

    said = scoring("register")

    assert said.code == 0
    assert said.err.splitlines() == [
        "./azureml_environment.json: without effect here: spark.",
        "./azureml_environment.json: pyton is no key that is known here, and has no effect. Did you mean 'python'?",
    ]


def test_scaffold_writes_over_nothing(scoring: Scoring) -> None:
    (scoring.folder / "conda_dependencies.yml").write_text("mine")

    said = scoring("scaffold", "-n", "demo")

    assert (said.code, "conda_dependencies.yml is there already, and stays" in said.err) == (2, True)
    assert sorted(path.name for path in scoring.folder.iterdir()) == ["conda_dependencies.yml"]


def test_what_a_conda_file_says_in_vain_is_said(scoring: Scoring) -> None:
    (scoring.folder / "conda.yml").write_text("dependencies: [numpy]\nprefix: /x\n")

    assert scoring("register", "-n", "demo", "--conda-file", "conda.yml").err == (
        "conda.yml: without effect here: prefix.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scaffold", "-n", "demo", "-d", "/proc/none"], "/proc/none/azureml_environment.json cannot be written"),
        (["register"], "azureml_environment.json: expected a file, got nothing"),
        (["register", "--conda-file", "conda.yml"], "conda.yml names no environment. Name it: -n NAME"),
        (["show", "-n", "none"], "No environment none is registered"),
        (["scaffold", "-n", "AzureML-x"], "names that start with AzureML are reserved"),
    ],
)
def test_mistakes_end_with_2_and_one_message(scoring: Scoring, arguments: list[str], said: str) -> None:
    answer = scoring(*arguments)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
