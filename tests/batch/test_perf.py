"""What logs/perf says: the use of each process, and profiles of run()."""

from __future__ import annotations

import json
import os
import pstats

import pytest

from scoring_runtime.batch.perf import Monitor, Profiler, family, usage_of
from scoring_runtime.batch.run import run
from scoring_runtime.errors import SettingsError

SCRIPT = """
def work(mini_batch):
    return [sum(range(10000)) for path in mini_batch]

def run(mini_batch):
    return work(mini_batch)
"""


def lines(folder):
    path = next(iter(folder.rglob("resources.jsonl")))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_use_of_processes_is_looked_at_in_intervals_and_at_the_end(tmp_path):
    moments = iter([0.0, 9.0, 10.0, 10.0, 21.0])
    monitor = Monitor(str(tmp_path), 10.0, lambda: next(moments))
    monitor.tick()
    assert not list(tmp_path.rglob("*"))
    for _ in range(3):
        monitor.tick()
    monitor.close()
    looked = lines(tmp_path)
    assert len(looked) == 3
    mine = looked[0]["processes"][0]
    assert mine["pid"] == os.getpid()
    assert mine["memory_bytes"] > 2**20 < looked[0]["memory_available_bytes"] <= looked[0]["memory_total_bytes"]
    assert set(looked[0]["ended"]) == {"cpu_seconds", "memory_bytes"}


def test_an_interval_of_zero_is_off(tmp_path):
    monitor = Monitor(str(tmp_path), 0)
    monitor.tick()
    monitor.close()
    assert not list(tmp_path.rglob("*"))


def test_a_process_that_has_ended_is_left_out():
    assert usage_of(2**22 + 1) == {}
    assert family(2**22 + 1) == [2**22 + 1]


@pytest.mark.parametrize("share_model", [False, True])
def test_a_profile_of_each_process_and_a_last_look(tmp_path, make_job, files, share_model):
    files(6)
    run(make_job(SCRIPT, mini_batch_size="2", profiling_module="cProfile", share_model=share_model))
    (path,) = (tmp_path / "out" / "logs" / "perf").glob("*/process000.prof")
    calls = {name: row[0] for (_, _, name), row in pstats.Stats(str(path)).stats.items()}
    assert (calls["run"], calls["work"]) == (3, 3)
    assert lines(tmp_path / "out" / "logs")[-1]["ended"]["cpu_seconds"] > 0


def test_a_long_run_writes_its_profile_now_and_then(tmp_path):
    moments = iter([0.0, 1.0, 31.0, 31.0])
    profile = Profiler(str(tmp_path / "perf" / "process000.prof"), lambda: next(moments))
    profile.call(sorted, [2, 1])
    assert not list(tmp_path.iterdir())
    assert profile.call(sorted, [2, 1]) == [1, 2]
    assert (tmp_path / "perf" / "process000.prof").exists()


@pytest.mark.parametrize("values", [{"read_timeout_seconds": 0}, {"profiling_module": "yappi"}])
def test_a_value_that_cannot_be_is_refused(make_job, values):
    with pytest.raises(SettingsError, match=r"more than 0|one of cProfile"):
        make_job("", **values)
