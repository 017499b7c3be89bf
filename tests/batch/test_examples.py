"""The examples run as their pages say; the online one gives a client and a batch run equal answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from scoring_runtime.cli.batch import EXIT_CODES
from scoring_runtime.cli.main import main, parser
from tests.serving import Server

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path, monkeypatch):
    def enter(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(ROOT / "examples" / name, folder)
        monkeypatch.chdir(folder)
        return folder

    return enter


def make_data(folder: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "examples/batch-table/make.py"), str(folder)], check=True)


def scoring_command(folder: Path) -> None:
    """Run the `scoring batch run` line of the example's page."""
    line = re.search(r"^scoring (batch run .*)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert line is not None
    with pytest.raises(SystemExit) as ended:
        main([word.strip("'") for word in line[1].split()])
    assert ended.value.code == 0


def test_a_table_of_scores(example):
    folder = example("batch-table")
    make_data(folder)
    scoring_command(folder)
    scores = pandas.read_csv(folder / "out" / "parallel_run_step.csv")
    assert scores["id"].tolist() == list(range(400))
    assert scores["score"].between(0, 1).all()


def test_a_folder_of_files(example):
    folder = example("batch-files")
    (folder / "logs").mkdir()
    for n in range(3):
        (folder / "logs" / f"{n}.log").write_text("warning\n" * n)
    scoring_command(folder)
    assert (folder / "out" / "parallel_run_step.txt").read_text() == "0.log 0\n1.log 1\n2.log 2\n"


def test_a_client_and_a_batch_run_get_equal_answers(example):
    folder = example("batch-online")
    make_data(folder)
    scoring_command(folder)
    batch = [json.loads(line) for line in (folder / "out" / "parallel_run_step.txt").read_text().splitlines()]
    parts = [pandas.read_csv(folder / "data" / f"part-{n}.csv") for n in (1, 2)]
    rows = pandas.concat(parts)[["a", "b", "c"]].to_numpy().tolist()
    server = Server(folder / "score.py", "--model_dir", str(folder / "model"), folder=folder).wait_ready()
    try:
        online = server.post({"data": rows}).json()
    finally:
        server.end()
    assert batch == online


def test_the_page_names_every_flag_and_every_exit_code(capsys):
    with pytest.raises(SystemExit):
        parser("batch").parse_args(["batch", "run", "--help"])
    flags = set(re.findall(r"(--[a-z][a-z-]+)", capsys.readouterr().out)) - {"--help"}
    unnamed = {flag for flag in flags if flag not in DOCS}
    assert unnamed <= {"--style", "--input-format", "--logging-level"}
    for code in ("0", "2", "3", "4", "5", "6", "130", "143"):
        assert re.search(rf"\b{code}\b", EXIT_CODES)
        assert re.search(rf"^\| .*\b{code}\b", DOCS, re.MULTILINE)
