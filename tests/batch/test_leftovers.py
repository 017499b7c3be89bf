"""What a run leaves behind when it has ended: its results, and no copy, no folder and no process beside them."""

from __future__ import annotations

import os
import tempfile

import pytest

from scoring_runtime.batch.run import run
from tests.serving import until


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_remote_files_with_one_name_are_different_files_and_their_copies_go(tmp_path, make_job, temporary):
    for day in "abc":
        (tmp_path / "data" / day).mkdir(parents=True)
        (tmp_path / "data" / day / "part-0.txt").write_text(day)
    script = f"""
        import os
        def run(mini_batch):
            copies = sum(len(names) for _, _, names in os.walk({str(temporary)!r}))
            return [f"{{open(path).read()}} {{os.path.basename(path)}} {{copies <= 4}}" for path in mini_batch]
    """
    run(make_job(script, inputs=(f"file://{tmp_path}/data",), mini_batch_size="2"))
    lines = (tmp_path / "out" / "parallel_run_step.txt").read_text().splitlines()
    assert lines == ["a part-0.txt True", "b part-0.txt True", "c part-0.txt True"]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("share_model", [False, True])
def test_what_a_killed_script_has_started_ends_with_it(tmp_path, make_job, files, temporary, share_model):
    files(1)
    script = """
        import os, subprocess
        def run(mini_batch):
            child = subprocess.Popen(["sleep", "600"])
            with open(os.environ["AZUREML_BI_OUTPUT_PATH"] + "/children", "a") as file:
                file.write(f"{child.pid}\\n")
            child.wait()
    """
    job = make_job(script, max_tries=1, run_timeout_seconds=1.0, share_model=share_model)
    with pytest.raises(Exception, match="no succeeded mini batch item"):
        run(job)
    (child,) = (tmp_path / "out" / "children").read_text().split()
    until(lambda: not os.path.exists(f"/proc/{child}") or b"Z" in open_status(child), 10)
    assert list(temporary.iterdir()) == []


def open_status(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0]
    except FileNotFoundError:
        return b"Z"


@pytest.mark.parametrize("raised", ["SystemExit(3)", "KeyboardInterrupt()", "asyncio.CancelledError()"])
def test_whatever_a_script_raises_is_a_try(tmp_path, make_job, files, raised):
    files(2)
    script = f"""
        import asyncio
        def run(mini_batch):
            if mini_batch[0].endswith("000.txt"):
                raise {raised}
            return ["ok"]
    """
    record = run(make_job(script, mini_batch_size="1", max_tries=2, run_timeout_seconds=600))
    assert (record.items_succeeded, record.items_failed) == (1, 1)
    reason = raised.removeprefix("asyncio.").partition("(")[0]
    assert reason in (tmp_path / "out" / "errors.jsonl").read_text()
