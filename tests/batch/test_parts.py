"""The small pieces of a run: counting, handing out, progress, committing, assembling."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

import pandas
import pyarrow.parquet
import pytest

from scoring_runtime.batch import processes
from scoring_runtime.batch.assembly import assemble, write_errors
from scoring_runtime.batch.commits import Commit, Commits, Failure
from scoring_runtime.batch.cutting import Piece
from scoring_runtime.batch.entry_script import EntryScript
from scoring_runtime.batch.handout import Handout, Task
from scoring_runtime.batch.job import Job, Size
from scoring_runtime.batch.perf import Monitor
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.batch.processes import default_processes, in_words, visible_gpus
from scoring_runtime.batch.progress import ProgressBar, ProgressOff, clock_text, progress_on
from scoring_runtime.batch.results import encoder
from scoring_runtime.batch.run import Overview
from scoring_runtime.batch.seats import Seat
from scoring_runtime.batch.tally import Tally
from scoring_runtime.errors import BatchError, SettingsError


def batch(index: int, group: int = -1, rows: int = 2) -> MiniBatch:
    return MiniBatch(index, f"id{index}", (Piece("f", index, 1, index * rows, rows, group),))


# -- jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("10", Size(10, False)), ("1KB", Size(1024, True)), ("2mb", Size(2 << 20, True)), ("7b", Size(7, True))],
)
def test_sizes_are_items_or_bytes(text, size):
    assert Size.parse(text) == size
    assert Size.parse(str(size)) == size


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mini_batch_size": "0"}, "mini_batch_size"),
        ({"output_action": "append"}, "one of append_row, summary_only"),
        ({"error_threshold": -2}, "error_threshold: expected a number from -1 on"),
        ({"allowed_failed_percent": 101}, "from 0 to 100"),
        ({"run_timeout_seconds": 0}, "run_invocation_timeout"),
        ({"mini_batch_size": "1", "partition_keys": ("a",)}, "no mini_batch_size beside it"),
        ({"output_file": "a/b"}, "append_row_file_name"),
        ({"output_file": ".."}, "append_row_file_name"),
        ({"inputs": ()}, "input: expected a file"),
    ],
)
def test_a_job_refuses_values_it_cannot_have(values, message):
    with pytest.raises(SettingsError, match=message):
        Job(**{"script": "s", "inputs": ("i",), "output": "o", **values})


def test_a_job_survives_json():
    job = Job("s.py", ("a", "b"), "o", side_inputs=(("n", "p"),), environment=(("k", "v"),))
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


# -- counting and handing out -----------------------------------------------------------------------------------------


def test_thresholds_count_items_and_mini_batches():
    tally = Tally(batches=4, items=8)
    tally.add(Commit(0, "", 2, 2))
    tally.add(Commit(1, "", 2, 1))
    tally.add(Commit(2, "", 2, 0))
    assert (tally.done, tally.succeeded, tally.failed, tally.failed_batches) == (3, 3, 3, 1)
    job = Job("s", ("i",), "o")
    assert tally.crossed(job) == ""
    assert "3 items failed" in tally.crossed(Job("s", ("i",), "o", error_threshold=2))
    assert "1 mini-batches failed" in tally.crossed(Job("s", ("i",), "o", allowed_failed_count=0))
    assert "25 % of the mini-batches" in tally.crossed(Job("s", ("i",), "o", allowed_failed_percent=24.9))


def drain(handout: Handout, seat: int) -> list[int]:
    return [task.batch.index for task in iter(lambda: handout.next_for(seat, idle=True), None)]


def test_a_row_group_goes_to_one_worker_and_the_idle_steal_its_end():
    handout = Handout(iter([batch(0, 0), batch(1, 0), batch(2, 0), batch(3, 1)]))
    assert handout.next_for(0, idle=True) == Task(batch(0, 0))
    assert handout.next_for(1, idle=True) == Task(batch(3, 1))
    assert handout.next_for(1, idle=True) == Task(batch(2, 0))
    assert drain(handout, 0) == [1]
    assert handout.is_empty()


def test_suspects_go_to_an_idle_worker_and_retries_come_before_new_ones():
    handout = Handout(iter([batch(0), batch(1)]))
    handout.again(Task(batch(7), 1, alone=True))
    handout.again(Task(batch(8), 1))
    assert repr(handout) == "<Handout 1 to retry, 1 alone, more in the plan>"
    assert handout.next_for(0, idle=False) == Task(batch(8), 1)
    assert handout.next_for(0, idle=True) == Task(batch(7), 1, alone=True)
    assert drain(handout, 0) == [0, 1]


# -- progress ---------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_shows_rate_and_remaining_time():
    moments = iter([0.0, 0.0, 0.1, 10.0, 20.0])
    stream = Terminal()
    bar = ProgressBar(stream, lambda: next(moments))
    bar.show(Tally(4, 100))
    bar.show(Tally(4, 100, done=1, succeeded=25))  # too soon after the last one
    bar.show(Tally(4, 100, done=2, succeeded=45, failed=5))
    bar.show(Tally(4, 100, done=4, succeeded=95, failed=5))
    bar.close()
    drawn = stream.getvalue().split("\r")
    assert drawn[1] == "[........................] 0 %  0/4 mini-batches  0 items/s  ETA -:--\x1b[K"
    assert drawn[2] == "[############............] 50 %  2/4 mini-batches  5 items/s  ETA 0:10  5 failed\x1b[K"
    assert drawn[3] == "[########################] 100 %  4/4 mini-batches  5 items/s  ETA 0:00  5 failed\x1b[K\n"


def test_there_is_a_bar_on_terminals_only():
    assert isinstance(progress_on(Terminal(), True), ProgressBar)
    assert isinstance(progress_on(Terminal(), False), ProgressOff)
    assert isinstance(progress_on(io.StringIO(), True), ProgressOff)
    assert clock_text(3725) == "1:02:05"


def test_the_overview_is_written_every_ten_seconds():
    lines = []
    logs = type("Logs", (), {"progress": staticmethod(lines.append)})()
    moments = iter([0.0, 0.0, 5.0, 10.0])
    overview = Overview(logs, ProgressOff(), Monitor("", 0), lambda: next(moments))
    for _ in range(3):
        overview.tick(Tally(1, 2))
    assert lines == ["0/1 mini-batches, 0 items succeeded, 0 failed"] * 2


# -- committing and assembling ----------------------------------------------------------------------------------------


@pytest.fixture
def commits(tmp_path):
    return Commits(str(tmp_path))


def commit(commits: Commits, index: int, result: object, output_format: str) -> MiniBatch:
    encoded = encoder("append_row", output_format, as_json=False)(result)
    one = batch(index)
    commits.write(one, Commit(index, one.identity, 2, 2, columns=encoded.columns), encoded.payload)
    return one


def test_a_commit_is_there_whole_or_not_at_all(commits, monkeypatch):
    def cut_off(source: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            commits.write(batch(0), Commit(0, "id0", 2, 2), b"half")
    assert not commits.has(batch(0))
    assert commits.read(batch(0)) is None
    commits.sweep()
    assert not [name for _, _, names in os.walk(os.path.dirname(commits.path(batch(0)))) for name in names]


def test_a_commit_reads_as_it_was_written(commits):
    written = Commit(0, "id0", 2, 1, (Failure(("f#rows=0-1",), 1, "no"),), ("a",), 3, "process001", 7, 1.5)
    commits.write(batch(0), written, b"a\nb")
    assert list(commits.each([batch(0)])) == [(written, b"a\nb")]
    assert commits.read(batch(0)) == written


def test_csv_gets_one_header(commits, tmp_path):
    job = Job("s", ("i",), str(tmp_path), output_format="csv")
    done = [commit(commits, n, result, "csv") for n, result in enumerate([[{"a": 1}], [], [{"a": 2}]])]
    assert open_text(assemble(job, done, commits)) == "a\n1\n2\n"
    done.append(commit(commits, 3, [{"b": 1}], "csv"))
    with pytest.raises(BatchError, match=r"returned the columns b for mini-batch 3, and a before"):
        assemble(job, done, commits)
    assert not list(tmp_path.glob("*.tmp"))


def test_parquet_columns_may_be_empty_in_one_mini_batch(commits, tmp_path):
    job = Job("s", ("i",), str(tmp_path), output_format="parquet")
    done = [commit(commits, n, [{"a": a}], "parquet") for n, a in enumerate([None, 1, 2.5])]
    table = pyarrow.parquet.read_table(assemble(job, done, commits))
    assert table.to_pydict() == {"a": [None, 1.0, 2.5]}
    done.append(commit(commits, 3, [{"a": "text"}], "parquet"))
    with pytest.raises(BatchError, match="results of mini-batch 3 do not fit"):
        assemble(job, done, commits)


def test_nothing_at_all_is_an_empty_file(commits, tmp_path):
    for output_format in ("text", "csv", "jsonl", "parquet"):
        job = Job("s", ("i",), str(tmp_path), output_format=output_format)
        path = assemble(job, [commit(commits, 0, pandas.DataFrame(), output_format)], commits)
        assert os.path.exists(path)


def test_errors_name_their_input(commits, tmp_path):
    commits.write_failure(batch(1), "csv", "ValueError: no")
    assert write_errors(Job("s", ("i",), str(tmp_path)), [batch(0), batch(1)], commits) == 1
    line = json.loads(open_text(tmp_path / "errors.jsonl"))
    assert line == {"mini_batch": 1, "items": 2, "reason": "ValueError: no", "input": ["f#rows=2-3"]}


def open_text(path: object) -> str:
    with open(str(path), encoding="utf-8") as file:
        return file.read()


# -- processes --------------------------------------------------------------------------------------------------------


def test_gpus_are_those_that_the_variable_or_the_machine_names(tmp_path):
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl"):
        (tmp_path / name).touch()
    assert visible_gpus(None, str(tmp_path)) == ["0", "2", "10"]
    assert visible_gpus(None, str(tmp_path / "nothing")) == []
    assert visible_gpus("3,GPU-ab,-1", "") == ["3", "GPU-ab"]
    assert default_processes() >= 1


def test_endings_in_words():
    assert in_words(7) == "exited with code 7"
    assert in_words(-11) == "was killed by SIGSEGV"


def test_the_entry_script_helper_is_one_object_with_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("AZUREML_BI_OUTPUT_PATH", "SCORING_BATCH_LOG_DIR", "SCORING_BATCH_PROCESS"):
        monkeypatch.delenv(name, raising=False)
    helper = EntryScript()
    assert helper is EntryScript()
    assert (helper.agent_name, helper.working_dir) == ("process000", str(tmp_path))
    assert (tmp_path / helper.output_dir).is_dir()
    monkeypatch.setattr(EntryScript, "_only", None)
    logger = EntryScript().logger
    assert EntryScript().logger is logger
    logger.info("hello")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    assert "hello" in open_text(tmp_path / "logs/user/entry_script_log/process000.log.txt")


def test_a_process_that_closed_its_connection_and_lives_on_is_killed(monkeypatch):
    monkeypatch.setattr(processes, "DYING_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    theirs.close()
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Connection(ours.detach()) as connection, sleeper:
        process = processes.Spawned(sleeper, connection)
        process.send("score", "nobody hears this")
        assert process.ending() == "was killed by SIGKILL (out of memory?)"


def test_a_seat_says_what_it_is_busy_with():
    process = type("Process", (), {"send": lambda self, *message: None})()
    seat = Seat(1, process)
    assert repr(seat) == "<Seat process001 starting, 0 handed over>"
    seat.ready = True
    seat.hand(batch(4), False)
    seat.hand(batch(5), False)
    assert repr(seat) == "<Seat process001 ready, 2 handed over>"
    seat.run_began(4)
    assert repr(seat) == "<Seat process001 running 4, 2 handed over>"
    assert seat.waiting == 1
    assert (seat.deadline(60, 9), seat.busy_with) == (seat.since + 60, 4)
    seat.run_ended()
    assert (seat.deadline(60, 9), seat.busy_with) == (seat.since + 9, 5)
    seat.waiting = 0
    assert seat.busy_with == 4
    seat.orders = {}
    assert (seat.deadline(60, 9), seat.busy_with) == (float("inf"), None)
