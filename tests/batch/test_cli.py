"""The command: flags, exit codes that name the cause, what it prints and where."""

from __future__ import annotations

import json
import sys

import pytest

from scoring_runtime.batch.locks import locked
from scoring_runtime.cli.main import main

OK = "def run(mini_batch):\n    return ['ok'] * len(mini_batch)"


@pytest.fixture
def scoring(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def call(*argv: str, script: str = OK) -> tuple[int, str, str]:
        (tmp_path / "score.py").write_text(script)
        with pytest.raises(SystemExit) as ended:
            main(["batch", *argv])
        out, err = capfd.readouterr()
        return ended.value.code, out, err

    return call


RUN = ("run", "score.py", "--input", "data", "--output", "out", "--processes", "1")


def test_a_run_prints_its_summary_and_its_output(scoring, files):
    files(3)
    code, out, err = scoring(*RUN)
    assert code == 0
    assert out.startswith("completed: 3 of 3 items scored, 0 failed, in 1 of 1 mini-batches")
    assert out.splitlines()[1] == "out/parallel_run_step.txt"
    assert err == ""  # no progress bar: this is no terminal


def test_json_prints_the_record_alone(scoring, files):
    files(1)
    _, out, _ = scoring(*RUN, "--json", "--output-format", "jsonl")
    record = json.loads(out)
    assert record["items_succeeded"] == 1
    assert record["versions"]["python"] == sys.version.split()[0]


@pytest.mark.parametrize(
    ("more", "script", "code", "text"),
    [
        (("--mini-batch-size", "many"), OK, 2, "mini_batch_size: expected a number of items"),
        (("--share", "4/4"), OK, 2, "expected index/count"),
        ((), "import nosuchpackage", 3, "pip install nosuchpackage"),
        ((), "def init():\n    1 / 0\ndef run(mini_batch): ...", 3, "ZeroDivisionError"),
        (("--input", "nothing"), OK, 4, "No input file matches 'nothing'"),
        (("--max-tries", "1"), "def run(mini_batch):\n    raise ValueError('x')", 5, "no succeeded mini batch item"),
        (("--error-threshold", "0", "--max-tries", "1"), "def run(mini_batch):\n    return []", 5, "error_threshold"),
    ],
)
def test_each_cause_has_its_exit_code(scoring, files, more, script, code, text):
    files(2)
    ended, _, err = scoring(*RUN, *more, script=script)
    assert ended == code
    assert text in err


def test_a_folder_with_another_run_has_its_own_exit_code(scoring, files):
    files(1)
    scoring(*RUN)
    code, _, err = scoring(*RUN, "--mini-batch-size", "1")
    assert code == 6
    assert "differs in: mini_batch_size" in err
    assert scoring(*RUN, "--mini-batch-size", "1", "--restart")[0] == 0


def test_unknown_arguments_go_to_the_script(scoring, files, tmp_path):
    files(1)
    (tmp_path / "labels").touch()
    script = "import sys\ndef run(mini_batch):\n    return [sys.argv[1:]]"
    scoring(*RUN, "--alpha", "2", "--side-input", "labels=labels", script=script)
    line = (tmp_path / "out/parallel_run_step.txt").read_text().strip()
    assert line == str(["--alpha", "2", "--labels", str(tmp_path / "labels")])


@pytest.mark.parametrize("missing", ["score.py", "--input", "--output"])
def test_what_is_missing_is_named(scoring, missing):
    argv = {"score.py": RUN[2:6], "--input": (*RUN[1:2], *RUN[4:6]), "--output": RUN[1:4]}[missing]
    code, _, err = scoring("run", *argv)
    assert code == 2
    assert missing in err


def test_a_side_input_is_a_name_and_a_path(scoring):
    code, _, err = scoring(*RUN, "--side-input", "labels")
    assert code == 2
    assert "expected NAME=PATH" in err


def test_show_tells_how_a_run_stands(scoring, files):
    files(2)
    scoring(*RUN)
    code, out, _ = scoring("show", "out")
    assert (code, out[:10]) == (0, "completed:")
    assert json.loads(scoring("show", "out", "--json")[1])["items"] == 2
    assert scoring("show", "nowhere")[0] == 4
    assert scoring("show", "out", "--nosuch")[0] == 2


def test_a_kubernetes_job_is_printed_for_kubectl(scoring, files):
    files(1)
    more = ("--engine", "kubernetes", "--image", "score:1", "--claim", "data", "--nodes", "2")
    code, out, _ = scoring(*RUN, *more)
    assert code == 0
    assert json.loads(out)["kind"] == "Job"


def test_a_yaml_file_gives_the_job_and_says_what_it_does_not_use(scoring, files, tmp_path):
    files(2)
    (tmp_path / "prs.yml").write_text(
        "parallel_run_config:\n  entry_script: score.py\n  error_threshold: 3\n  output_action: append_row\n"
        "  compute_target: cluster\n  mini_batch_size: '1'\n  append_row_file_name: mine.txt\n"
    )
    code, out, err = scoring("run", "--config", "prs.yml", "--input", "data", "--output", "out", "--processes", "1")
    assert code == 0
    assert "2 of 2 mini-batches" in out
    assert err == "prs.yml: compute_target has no effect here: choose where to run with --engine\n"
    assert (tmp_path / "out" / "mine.txt").exists()


def test_a_glob_that_the_shell_has_expanded_is_an_input_of_several_files(scoring, files, tmp_path):
    names = [f"data/{path.name}" for path in files(3)]
    code, out, _ = scoring("run", "score.py", "--input", *names, "--output", "out", "--processes", "1")
    assert code == 0
    assert out.startswith("completed: 3 of 3 items")


def test_a_word_that_belongs_to_no_flag_is_refused(scoring, files):
    files(1)
    code, _, err = scoring(RUN[0], RUN[1], "more.csv", *RUN[2:])
    assert code == 2
    assert "expected a flag, got 'more.csv'" in err


def test_show_tells_a_run_that_was_killed_from_one_that_goes_on(scoring, files, tmp_path):
    files(1)
    scoring(*RUN)
    record = json.loads((tmp_path / "out/run.json").read_text())
    (tmp_path / "out/run.json").write_text(json.dumps({**record, "status": "running"}))
    assert scoring("show", "out")[1].startswith("interrupted: 1 of 1")
    with locked(str(tmp_path / "out/.scoring.lock"), wait=False):
        assert scoring("show", "out")[1].startswith("running: 1 of 1")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--nodes", "2"), "--nodes: expected --engine ray or spark or kubernetes beside it, got 2"),
        (("--share", "0/2", "--engine", "ray"), "--share: expected --engine local beside it"),
        (("--restart", "--engine", "kubernetes"), "--restart: expected --engine local or ray or spark"),
        (("--model", "a:1", "--engine", "kubernetes"), "--model: expected --engine local or ray or spark"),
    ],
)
def test_a_flag_that_the_engine_would_not_look_at_is_refused(scoring, files, flags, text):
    files(1)
    code, _, err = scoring(*RUN, *flags)
    assert code == 2
    assert text in err


@pytest.mark.parametrize("text", ["{", "[]", '{"status": "ok"}'])
def test_a_file_that_is_no_record_is_named_and_kept(scoring, files, tmp_path, text):
    files(1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.json").write_text(text)
    for argv in (("show", "out"), RUN):
        code, _, err = scoring(*argv)
        assert code == 6
        assert "out/run.json is no record of a batch run. Choose another --output" in err
    assert (tmp_path / "out/run.json").read_text() == text
