"""A registered scikit-learn model, scored by one score.py online and in batch: equal answers."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest

from scoring_runtime.cli.main import main
from scoring_runtime.deploy import Model, Workspace
from tests.serving import ROOT, Server

EXAMPLE = ROOT / "examples" / "sklearn-model"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the example's score.py, and a workspace that has its model, beside an older one of that name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLE, tmp_path / "example")
    runpy.run_path(str(EXAMPLE / "make_model.py"))["main"](tmp_path / "example" / "model")
    (tmp_path / "old.txt").write_text("old")
    workspace = Workspace(str(tmp_path / "workspace"))
    Model.register(workspace, str(tmp_path / "old.txt"), "iris")
    Model.register(workspace, str(tmp_path / "example" / "model" / "model.joblib"), "iris")
    return tmp_path


def batch(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["batch", "run", *arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("named", ["iris:2", "iris", "azureml:iris:2", "azureml:iris@latest"])
def test_a_registered_model_gives_batch_and_online_equal_answers(place: Path, named: str):
    rows = json.loads((place / "example" / "request.json").read_text())["data"]
    (place / "rows.jsonl").write_text("".join(json.dumps({"data": [row]}) + "\n" for row in rows))
    arguments = ["--workspace", "workspace", "--input", "rows.jsonl", "--output", "out", "--processes", "1"]
    assert batch("example/score.py", "--model", named, *arguments) == 0
    lines = [json.loads(line) for line in (place / "out" / "parallel_run_step.txt").read_text().splitlines()]
    if named != "iris:2":
        return  # the answers are compared once
    server = Server(place / "example" / "score.py", "--model_dir", str(place / "example" / "model"), folder=place)
    try:
        server.wait_ready()
        assert lines == [server.post({"data": [row]}).json() for row in rows]
    finally:
        server.end()


def test_several_models_lie_as_in_a_service_and_a_yaml_file_may_name_one(place: Path):
    (place / "list.py").write_text(
        "import os\n"
        "def run(mini_batch):\n"
        "    root = os.environ['AZUREML_MODEL_DIR']\n"
        "    files = [os.path.relpath(os.path.join(at, n), root) for at, _, names in os.walk(root) for n in names]\n"
        "    return [' '.join(sorted(files))] * len(mini_batch)\n"
    )
    common = ["--workspace", "workspace", "--input", "old.txt", "--processes", "1"]
    assert batch("list.py", "--model", "iris:1", "--model", "iris:2", *common, "--output", "two") == 0
    two = (place / "two" / "parallel_run_step.txt").read_text().split()
    assert [path.split("/")[:2] for path in two] == [["iris", "1"], ["iris", "2"]]
    (place / "job.yml").write_text("model: azureml:iris:1\ncode_configuration: {code: ., scoring_script: list.py}\n")
    assert batch("--config", "job.yml", *common, "--output", "one") == 0
    assert (place / "one" / "predictions.csv").read_text() == "old.txt\n"


def test_a_model_that_is_not_registered_is_named(place: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--workspace", "workspace", "--input", "old.txt", "--output", "out"]
    assert batch("example/score.py", "--model", "wine:3", *arguments) == 2
    assert "wine" in capsys.readouterr().err
