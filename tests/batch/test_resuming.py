"""The same command again: what it continues, what it refuses, and where input and output lie in each other."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from scoring_runtime.batch.run import run
from scoring_runtime.errors import BatchInputError, BatchOutputError, BatchResumeError

ECHO = """
    import os

    def run(mini_batch):
        return [os.path.basename(path) for path in mini_batch]
"""


def result(tmp_path) -> list[str]:
    return (tmp_path / "out" / "parallel_run_step.txt").read_text().splitlines()


@pytest.mark.parametrize("pattern", ["", "data", "**/*.txt"])
def test_an_output_within_the_input_is_no_input_of_the_run_that_continues(tmp_path, make_job, files, pattern):
    files(2)
    job = make_job(ECHO, inputs=(str(tmp_path / pattern),), input_format="files")
    (tmp_path / "data" / "score.txt").touch()  # the script itself lies in the input folder, too
    first = run(job)
    (tmp_path / "out" / "more.txt").write_text("what the script wrote there")
    (tmp_path / "out" / "run.json").unlink()
    assert run(job).items == first.items
    assert [name for name in result(tmp_path) if name.startswith("00")] == ["000.txt", "001.txt"]


def test_an_input_within_the_output_is_an_input(tmp_path, make_job):
    (tmp_path / "out").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "out" / name).touch()
    job = make_job(ECHO, inputs=(str(tmp_path / "out" / "*.txt"),))
    run(job)
    (tmp_path / "out" / "run.json").unlink()
    assert run(job).items == 2
    assert result(tmp_path) == ["a.txt", "b.txt"]


def test_an_input_that_is_the_output_is_refused(tmp_path, make_job, files):
    files(1)
    run(make_job(ECHO))
    with pytest.raises(BatchInputError, match=r"All that the input names is written by this run into .*out"):
        run(make_job(ECHO, inputs=(str(tmp_path / "out" / "parallel_run_step.txt"),)), restart=True)
    assert result(tmp_path) == ["000.txt"]


def test_a_restart_with_a_wrong_input_or_script_leaves_what_there_is(tmp_path, make_job, files):
    files(1)
    job = make_job(ECHO)
    run(job)
    for wrong in (replace(job, inputs=("nowhere",)), replace(job, script="nowhere.py")):
        with pytest.raises(BatchInputError, match=r"nowhere"):
            run(wrong, restart=True)
    assert result(tmp_path) == ["000.txt"]


def test_a_result_that_was_removed_is_made_again(tmp_path, make_job, files):
    files(2)
    job = make_job(ECHO)
    run(job)
    (tmp_path / "out" / "parallel_run_step.txt").unlink()
    run(job)
    assert result(tmp_path) == ["000.txt", "001.txt"]


@pytest.mark.parametrize(("changed", "difference"), [("model/m.pkl", "model_files"), ("labels", "side_input_files")])
def test_another_model_or_side_input_is_another_run(tmp_path, make_job, files, changed, difference):
    files(1)
    (tmp_path / "model").mkdir()
    for name in ("model/m.pkl", "labels"):
        (tmp_path / name).write_text("first")
    job = make_job(ECHO, model_dir=str(tmp_path / "model"), side_inputs=(("labels", str(tmp_path / "labels")),))
    run(job)
    status = os.stat(tmp_path / changed)
    os.utime(tmp_path / changed, (1, 1))  # another time alone is no other model
    assert run(job).sessions == 1
    (tmp_path / changed).write_text("other")
    os.utime(tmp_path / changed, (status.st_atime, status.st_mtime))
    with pytest.raises(BatchResumeError, match=f"differs in: {difference}"):
        run(job)


def test_an_output_that_cannot_be_written_ends_the_run_which_can_be_continued(tmp_path, make_job, files):
    files(2)
    script = """
        import os
        def init():
            parts = os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], ".scoring", "parts")
            if os.environ.get("BLOCKED") and not os.path.exists(parts + "/000"):
                os.makedirs(parts, exist_ok=True)
                open(parts + "/000", "w").close()
        def run(mini_batch):
            return ["ok" for _ in mini_batch]
    """
    os.environ["BLOCKED"] = "1"
    try:
        with pytest.raises(BatchOutputError, match=r"cannot be written: NotADirectoryError.*same command continues"):
            run(make_job(script))
    finally:
        del os.environ["BLOCKED"]
    os.unlink(tmp_path / "out/.scoring/parts/000")
    assert run(make_job(script)).items_succeeded == 2


def test_an_output_that_is_a_file_is_named(tmp_path, make_job, files):
    files(1)
    (tmp_path / "out").touch()
    with pytest.raises(BatchOutputError, match=r"The output .*out cannot be written: .*File exists"):
        run(make_job(ECHO))


def test_an_input_that_vanishes_fails_with_its_name(tmp_path, make_job, files):
    paths = files(3)
    script = f"""
        import os
        def init():
            os.unlink({str(paths[1])!r})
        def run(mini_batch):
            return [open(path).read() for path in mini_batch]
    """
    record = run(make_job(script, mini_batch_size="1"))
    assert (record.items_succeeded, record.items_failed) == (2, 1)
    assert str(paths[1]) in (tmp_path / "out" / "errors.jsonl").read_text()
