"""Whole runs with real worker processes: what a script is given, and what comes of what it returns."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scoring_runtime.batch import seats
from scoring_runtime.batch.run import Share, run, sole_writer
from scoring_runtime.errors import (
    BatchError,
    BatchInputError,
    BatchResumeError,
    BatchThresholdError,
    ScriptInitError,
    ScriptLoadError,
    SettingsError,
)

ECHO = """
    import os

    def run(mini_batch):
        return [os.path.basename(path) for path in mini_batch]
"""


def output(tmp_path: Path, name: str = "parallel_run_step.txt") -> list[str]:
    return (tmp_path / "out" / name).read_text().splitlines()


def errors(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in output(tmp_path, "errors.jsonl")]


def test_files_come_as_paths_ten_at_a_time_and_results_in_input_order(tmp_path, make_job, files):
    files(25)
    record = run(make_job(ECHO, processes=2))
    assert output(tmp_path) == [f"{n:03d}.txt" for n in range(25)]
    assert (record.status, record.mini_batches, record.items_succeeded) == ("completed", 3, 25)


def test_a_table_comes_as_a_dataframe_of_about_a_megabyte(tmp_path, make_job, table):
    table(1000)
    job = make_job("def run(mini_batch):\n    return mini_batch[['id', 'x']]", mini_batch_size="2kb", processes=2)
    record = run(job)
    assert output(tmp_path) == [f"{n} {n / 2}" for n in range(1000)]
    assert record.mini_batches > 5
    assert record.items == 1000


def test_init_runs_once_in_each_process(tmp_path, make_job, files):
    files(6)
    script = """
        import os, threading, time
        path = os.environ["AZUREML_BI_OUTPUT_PATH"] + "/inits"
        def init():
            with open(path, "a") as file:
                file.write(f"{os.getpid()}\\n")
        def run(mini_batch):
            until = time.monotonic() + 20  # for the other process, so that neither does all the work
            while len(open(path).read().split()) < 2 and time.monotonic() < until:
                threading.Event().wait(0.01)
            return [os.getpid()]
    """
    run(make_job(script, mini_batch_size="1", processes=2))
    inits = output(tmp_path, "inits")
    assert len(inits) == len(set(inits)) == 2
    assert set(output(tmp_path)) <= set(inits)


def test_a_shared_model_is_initialised_once_for_all_processes(tmp_path, make_job, files):
    files(8)
    script = """
        import os
        from azureml_user.parallel_run import EntryScript
        def init():
            global home
            home = os.getpid()
        def run(mini_batch):
            if "003" in mini_batch[0] and EntryScript().agent_name:
                os.kill(os.getpid(), 9)
            return [f"{home} {os.getppid()}"]
    """
    record = run(make_job(script, mini_batch_size="1", processes=2, share_model=True, max_tries=1))
    pids = {word for line in output(tmp_path) for word in line.split()}
    assert len(pids) == 1
    assert (record.items_succeeded, record.items_failed) == (7, 1)
    assert errors(tmp_path)[0]["reason"] == "the process was killed by SIGKILL (out of memory?)"


def test_a_run_whose_results_were_all_committed_is_only_assembled(tmp_path, make_job, files, monkeypatch):
    files(3)
    job = make_job(ECHO)

    def killed(*arguments: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("scoring_runtime.batch.run.assemble", killed)
        with pytest.raises(KeyboardInterrupt):
            run(job)
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "running"
    assert run(job).sessions == 2
    assert output(tmp_path) == ["000.txt", "001.txt", "002.txt"]


def test_a_shared_init_that_is_stuck_is_killed(make_job, files, monkeypatch):
    monkeypatch.setattr(seats, "INIT_GRACE_SECONDS", 0.2)
    monkeypatch.setattr("scoring_runtime.batch.template.CLOSING_SECONDS", 0.1)
    files(1)
    with pytest.raises(ScriptInitError, match=r"init\(\) took longer than"):
        run(make_job(STUCK_INIT, run_timeout_seconds=0.1, share_model=True))


def test_a_shared_init_that_raises_is_tried_three_times_a_process(make_job, files):
    files(4)
    script = "def init():\n    raise RuntimeError('no model')\ndef run(mini_batch):\n    return []"
    with pytest.raises(ScriptInitError, match=r"init\(\) failed 3 times"):
        run(make_job(script, share_model=True))


def test_the_script_finds_arguments_side_inputs_and_model_folder(tmp_path, make_job, files):
    files(1)
    script = """
        import argparse, os
        def init():
            global known
            parser = argparse.ArgumentParser()
            parser.add_argument("--labels")
            parser.add_argument("--alpha", type=float)
            known, _ = parser.parse_known_args()
        def run(mini_batch):
            names = ("AZUREML_MODEL_DIR", "AZUREML_BI_OUTPUT_PATH", "AZUREML_DATAREFERENCE_labels", "MINE")
            return [[known.labels, known.alpha, *map(os.environ.get, names)]]
    """
    job = make_job(
        script,
        arguments=("--alpha", "0.5", "--other", "1"),
        side_inputs=(("labels", "/labels"),),
        model_dir=str(tmp_path),
        environment=(("MINE", "yes"),),
    )
    run(job)
    assert output(tmp_path) == [str(["/labels", 0.5, str(tmp_path), str(tmp_path / "out"), "/labels", "yes"])]


def test_a_failing_mini_batch_is_tried_again_and_then_dropped(tmp_path, make_job, files):
    paths = files(3)
    script = """
        def run(mini_batch):
            print("trying", mini_batch[0], flush=True)
            if "001" in mini_batch[0]:
                raise ValueError("bad picture")
            return ["ok"]
    """
    record = run(make_job(script, mini_batch_size="1", max_tries=3))
    assert output(tmp_path) == ["ok", "ok"]
    assert errors(tmp_path) == [
        {"mini_batch": 1, "items": 1, "reason": "ValueError: bad picture", "input": [str(paths[1])]}
    ]
    assert (record.items_failed, record.mini_batches_failed) == (1, 1)
    printed = "".join(path.read_text() for path in (tmp_path / "out/logs/user/stdout").rglob("*.txt"))
    assert printed.count(f"trying {paths[1]}") == 3
    assert "bad picture" in (tmp_path / "out/logs/user/error.txt").read_text()
    traceback = next((tmp_path / "out/logs/user/error").rglob("*.txt")).read_text()
    assert "Traceback" in traceback


def test_a_try_that_succeeds_leaves_no_error(tmp_path, make_job, files):
    files(1)
    script = """
        calls = 0
        def run(mini_batch):
            global calls
            calls += 1
            if calls == 1:
                raise OSError("a network hiccup")
            return ["ok"]
    """
    run(make_job(script))
    assert output(tmp_path) == ["ok"]
    assert errors(tmp_path) == []


def test_items_without_a_result_count_as_failed(tmp_path, make_job, files):
    files(4)
    record = run(make_job("def run(mini_batch):\n    return mini_batch[:3]"))
    assert (record.items_succeeded, record.items_failed) == (3, 1)
    assert errors(tmp_path)[0]["reason"] == "run() returned 3 results for 4 items"


@pytest.mark.parametrize(("value", "kind"), [("None", "NoneType"), ("'text'", "str"), ("7", "int"), ("{}", "dict")])
def test_a_result_that_is_no_collection_fails_and_names_its_type(tmp_path, make_job, files, value, kind):
    files(1)
    with pytest.raises(BatchThresholdError, match="no succeeded mini batch item returned from run"):
        run(make_job(f"def run(mini_batch):\n    return {value}", max_tries=1))
    assert f"run() returned {kind}. It should return a list" in str(errors(tmp_path)[0]["reason"])


def test_a_stuck_run_is_killed_and_the_rest_goes_on(tmp_path, make_job, files):
    files(3)
    script = """
        import threading
        def run(mini_batch):
            if "001" in mini_batch[0]:
                threading.Event().wait()
            return ["ok"]
    """
    run(make_job(script, mini_batch_size="1", run_timeout_seconds=0.3, max_tries=1))
    assert output(tmp_path) == ["ok", "ok"]
    assert errors(tmp_path)[0]["reason"] == "run() took longer than 0.3 s (run_invocation_timeout)"


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "the process was killed by SIGKILL (out of memory?)"),
        ("os._exit(7)", "the process exited with code 7"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_poison_item_costs_its_own_mini_batch_only(tmp_path, make_job, files, deed, reason):
    paths = files(6)
    script = f"""
        import os
        def run(mini_batch):
            if "003" in mini_batch[0]:
                {deed}
            return [os.path.basename(mini_batch[0])]
    """
    run(make_job(script, mini_batch_size="1", max_tries=2, processes=2))
    assert output(tmp_path) == [path.name for path in paths if "003" not in path.name]
    assert [(error["mini_batch"], error["reason"]) for error in errors(tmp_path)] == [(3, reason)]


def test_crossing_the_error_threshold_ends_the_run_and_the_next_one_tries_again(tmp_path, make_job, files):
    files(20)
    script = """
        import os
        def run(mini_batch):
            if os.path.exists(os.environ["FIXED"]):
                return ["ok"]
            raise ValueError("no")
    """
    flag = tmp_path / "fixed"
    job = make_job(script, mini_batch_size="1", error_threshold=2, max_tries=1, environment=(("FIXED", str(flag)),))
    with pytest.raises(BatchThresholdError, match="3 items failed, error_threshold allows 2"):
        run(job)
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert (record["status"], record["items_failed"]) == ("failed", 3)
    flag.touch()
    assert run(job).items_succeeded == 20


@pytest.mark.parametrize("limit", [{"allowed_failed_count": 0}, {"allowed_failed_percent": 40.0}])
def test_failed_mini_batches_have_thresholds_too(make_job, files, limit):
    files(4)
    script = """
        def run(mini_batch):
            if mini_batch[0] > "" and ("002" in mini_batch[0] or "003" in mini_batch[0]):
                raise ValueError("no")
            return ["ok"]
    """
    with pytest.raises(BatchThresholdError, match="mini-batches"):
        run(make_job(script, mini_batch_size="1", max_tries=1, **limit))


def test_retry_failed_tries_only_what_failed(tmp_path, make_job, files):
    files(3)
    script = """
        import os
        def run(mini_batch):
            with open(os.environ["SEEN"], "a") as file:
                file.write(os.path.basename(mini_batch[0]) + "\\n")
            if "001" in mini_batch[0] and not os.path.exists(os.environ["SEEN"] + ".fixed"):
                raise ValueError("no")
            return [os.path.basename(mini_batch[0])]
    """
    seen = tmp_path / "seen"
    job = make_job(script, mini_batch_size="1", max_tries=1, environment=(("SEEN", str(seen)),))
    assert run(job).items_failed == 1
    (tmp_path / "seen.fixed").touch()
    assert run(job).items_failed == 1
    assert run(job, retry_failed=True).items_failed == 0
    assert seen.read_text().split() == ["000.txt", "001.txt", "002.txt", "001.txt"]
    assert output(tmp_path) == ["000.txt", "001.txt", "002.txt"]


def test_a_completed_run_does_nothing_again(make_job, files):
    files(2)
    job = make_job(ECHO)
    first = run(job)
    assert run(job) == first


def test_restart_begins_anew_and_leaves_other_files(tmp_path, make_job, files):
    files(2)
    run(make_job(ECHO))
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(BatchResumeError, match="differs in: script"):
        run(make_job("def run(mini_batch):\n    return ['new'] * len(mini_batch)"))
    run(make_job("def run(mini_batch):\n    return ['new'] * len(mini_batch)"), restart=True)
    assert output(tmp_path) == ["new", "new"]
    assert (tmp_path / "out" / "mine").exists()


def test_a_changed_input_is_another_run(make_job, files):
    paths = files(2)
    job = make_job(ECHO)
    run(job)
    paths[0].write_text("something longer")
    with pytest.raises(BatchResumeError, match="differs in: sources"):
        run(job)


def test_a_script_that_cannot_be_loaded_ends_the_run_at_once(make_job, files):
    files(1)
    with pytest.raises(ScriptLoadError, match="no_such_package"):
        run(make_job("import no_such_package\ndef run(mini_batch):\n    return []"))


def test_init_that_raises_is_tried_three_times_a_process(tmp_path, make_job, files):
    files(1)
    script = """
        import os
        def init():
            with open(os.environ["TRIES"], "a") as file:
                file.write("x")
            raise RuntimeError("no model")
        def run(mini_batch):
            return []
    """
    tries = tmp_path / "tries"
    with pytest.raises(ScriptInitError, match=r"init\(\) failed 3 times.*\n?.*no model"):
        run(make_job(script, environment=(("TRIES", str(tries)),)))
    assert tries.read_text() == "xxx"


def test_a_process_that_dies_in_init_counts_as_a_failed_init(make_job, files):
    files(1)
    with pytest.raises(ScriptInitError, match="the process exited with code 5"):
        run(make_job("import os\ndef init():\n    os._exit(5)\ndef run(mini_batch):\n    return []"))


def test_summary_only_counts_and_leaves_output_to_the_script(tmp_path, make_job, files):
    files(3)
    script = """
        from azureml_user.parallel_run import EntryScript
        def init():
            EntryScript().logger.info("ready")
        def run(mini_batch):
            with open(EntryScript().output_dir + "/mine.txt", "a") as file:
                file.write("x" * len(mini_batch))
            return mini_batch
    """
    record = run(make_job(script, output_action="summary_only"))
    assert record.output_file == ""
    assert not (tmp_path / "out" / "parallel_run_step.txt").exists()
    assert (tmp_path / "out" / "mine.txt").read_text() == "xxx"
    log = next((tmp_path / "out/logs/user/entry_script_log").rglob("process000.log.txt"))
    assert "ready" in log.read_text()


def test_shutdown_runs_at_the_end_of_each_process(tmp_path, make_job, files):
    files(1)
    script = """
        import os
        def run(mini_batch):
            return ["ok"]
        def shutdown():
            open(os.environ["AZUREML_BI_OUTPUT_PATH"] + "/closed", "w").close()
    """
    run(make_job(script))
    assert (tmp_path / "out" / "closed").exists()


def test_async_run_is_awaited(tmp_path, make_job, files):
    files(1)
    script = "import asyncio\nasync def run(mini_batch):\n    await asyncio.sleep(0)\n    return ['ok']"
    run(make_job(script, style="mini-batch"))
    assert output(tmp_path) == ["ok"]


ONLINE = """
    import json
    import numpy as np
    from inference_schema.schema_decorators import input_schema
    from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType

    @input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
    def run(data):
        if (data < 0).any():
            raise ValueError("negative")
        return data.sum(axis=1).tolist()
"""


def test_a_script_for_online_serving_scores_a_table(tmp_path, make_job):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("id,a,b\n0,1,2\n1,-1,0\n2,3,4\n")
    job = make_job(ONLINE, columns=("a", "b"), max_tries=2)
    record = run(job)
    assert output(tmp_path) == ["3.0", "7.0"]
    assert (record.items_succeeded, record.items_failed, record.mini_batches_failed) == (2, 1, 0)
    path = tmp_path / "data" / "rows.csv"
    expected = {"mini_batch": 0, "items": 1, "reason": "ValueError: negative", "input": [f"{path}#rows=1"]}
    assert errors(tmp_path) == [expected]
    assert "1 records failed" in (tmp_path / "out/logs/user/error.txt").read_text()


@pytest.mark.parametrize(("name", "text"), [("rows.jsonl", "[1, 2]\n\n[3, 4]\n"), ("one.body", '{"data": [[1, 2]]}')])
def test_a_script_for_online_serving_scores_json_lines_and_files(tmp_path, make_job, name, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text(text)
    run(make_job(ONLINE, output_format="jsonl"))
    assert output(tmp_path, "parallel_run_step.jsonl") == (["3.0", "7.0"] if name == "rows.jsonl" else ["[3.0]"])


def test_many_slow_calls_of_an_online_script_are_timed_one_by_one(tmp_path, make_job):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text("1\n" * 5)
    script = """
        import threading
        def run(raw_data):
            threading.Event().wait(0.6)
            return 1
    """
    assert run(make_job(script, run_timeout_seconds=2.0, max_tries=1)).items_succeeded == 5


def test_picked_json_lines_go_to_an_online_script(tmp_path, make_job):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text('{"k": "a"}\n{"k": "b"}\n{"k": "a"}\n')
    run(make_job("def run(raw_data):\n    return raw_data", partition_keys=("k",)))
    assert output(tmp_path) == ['{"k": "a"}', '{"k": "a"}', '{"k": "b"}']


def test_a_mini_batch_that_cannot_be_read_fails_like_any_other(tmp_path, make_job):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text('{"a": 1}\nnonsense\n')
    record = run(make_job("def run(mini_batch):\n    return mini_batch['a'].tolist()", mini_batch_size="1"))
    assert output(tmp_path) == ["1"]
    assert record.items_failed == 1
    assert "rows=1: not JSON" in str(errors(tmp_path)[0]["reason"])


def test_results_that_make_no_one_table_end_the_run_with_a_reason(tmp_path, make_job, files):
    files(9)
    script = "import os\ndef run(mini_batch):\n    return [{os.path.basename(mini_batch[0]): 1}]"
    job = make_job(script, mini_batch_size="1", output_format="csv")
    with pytest.raises(BatchError, match="one table cannot hold both"):
        run(job)
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert (record["status"], record["items_succeeded"] < 9) == ("failed", True)  # it ended as soon as it was known


def test_halves_of_result_files_are_swept(tmp_path, make_job, files):
    files(1)
    (tmp_path / "out" / ".scoring").mkdir(parents=True)
    for name in ("run.json", ".scoring/plan.json", ".scoring/plan.jsonl", "parallel_run_step.txt"):
        (tmp_path / "out" / f"{name}.0123456789ab.tmp").touch()
    run(make_job(ECHO))
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_a_stuck_init_is_killed(make_job, files, monkeypatch):
    monkeypatch.setattr(seats, "INIT_GRACE_SECONDS", 0.2)
    files(1)
    with pytest.raises(ScriptInitError, match=r"init\(\) took longer than"):
        run(make_job(STUCK_INIT, run_timeout_seconds=0.1))


STUCK_INIT = "import threading\ndef init():\n    threading.Event().wait()\ndef run(mini_batch):\n    return []"


def test_shares_work_apart_and_the_last_one_assembles(tmp_path, make_job, files):
    files(5)
    job = make_job(ECHO, mini_batch_size="1")
    assert run(job, share=Share.parse("1/2")).status == "share_done"
    assert not (tmp_path / "out" / "parallel_run_step.txt").exists()
    assert run(job, share=Share.parse("0/2")).status == "completed"
    assert output(tmp_path) == [f"{n:03d}.txt" for n in range(5)]


def test_a_share_is_an_index_below_a_count():
    assert str(Share.parse("1/2")) == "1/2"
    with pytest.raises(SettingsError, match="expected index/count"):
        Share.parse("2/2")


@pytest.mark.parametrize(("holder", "comer"), [("0/1", "0/1"), ("0/1", "1/2"), ("1/2", "0/1"), ("1/2", "1/2")])
def test_two_writers_of_the_same_work_are_refused(make_job, files, holder, comer):
    files(1)
    job = make_job(ECHO)
    with (
        sole_writer(job.output, Share.parse(holder)),
        pytest.raises(BatchResumeError, match="Another process is writing"),
    ):
        run(job, share=Share.parse(comer))


def test_a_restart_that_was_killed_leaves_no_mixture(tmp_path, make_job, files, monkeypatch):
    files(2)
    run(make_job("def run(mini_batch):\n    return ['old'] * len(mini_batch)"))
    new = make_job("def run(mini_batch):\n    return ['new'] * len(mini_batch)")

    def killed(path: str, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            run(new, restart=True)
    run(new)
    assert output(tmp_path) == ["new", "new"]


def test_an_input_without_files_or_rows_says_so(tmp_path, make_job):
    (tmp_path / "data").mkdir()
    with pytest.raises(BatchInputError, match="No input file matches"):
        run(make_job(ECHO))
    (tmp_path / "data" / "empty.csv").write_text("a,b\n")
    with pytest.raises(BatchInputError, match="has no rows"):
        run(make_job(ECHO))


def test_each_mini_batch_leaves_a_line_in_the_log_of_its_process(tmp_path, make_job, files):
    files(2)
    run(make_job(ECHO, mini_batch_size="1"))
    lines = next((tmp_path / "out/logs/sys/node").rglob("process000.txt")).read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1]
    assert json.loads(lines[0])["items"] == 1
    assert "completed" in (tmp_path / "out/logs/job_result.txt").read_text()


def test_a_source_that_hangs_costs_its_own_mini_batch(tmp_path, make_job, files):
    files(4)
    (tmp_path / "data" / "001.txt").unlink()
    os.mkfifo(tmp_path / "data" / "001.txt")  # nobody will ever write to it
    job = make_job(
        "def run(raw_data):\n    return raw_data.upper()",
        style="online",
        mini_batch_size="1",
        read_timeout_seconds=0.5,
        max_tries=2,
    )
    record = run(job)
    assert (record.status, record.items_succeeded, record.items_failed) == ("completed", 3, 1)
    assert output(tmp_path) == ["CONTENT 0", "CONTENT 2", "CONTENT 3"]
    assert errors(tmp_path)[0]["reason"] == "reading its data, or writing its output, took longer than 0.5 s"
