"""Exactly once, whatever is killed: the result files are byte for byte those of an undisturbed run."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.batch.crashing import children, command, results, run_to_the_end, start, wait_until

SCRIPT = """
import time

def run(mini_batch):
    time.sleep(0.01)
    if 77 in set(mini_batch["id"]):
        raise ValueError("an item that always fails")
    return [f"{number} {x:.3f}" for number, x in zip(mini_batch["id"], mini_batch["x"])]
"""
#: More tries than kills: a mini-batch that is killed while it is alone in its worker has used one of them up.
MORE = ("--mini-batch-size", "10", "--processes", "2", "--max-tries", "8")


@pytest.fixture
def undisturbed(tmp_path: Path, table: Callable[[int], Path]) -> Callable[[Path], list[str]]:
    """The command that writes into a folder, after one run of it that nothing disturbed, in `whole`."""
    script = tmp_path / "score.py"
    script.write_text(SCRIPT)
    data = table(400)

    def argv(output: Path) -> list[str]:
        return command(script, data, output, *MORE)

    process = start(argv(tmp_path / "whole"))
    process.communicate(timeout=60)
    assert process.returncode == 0
    return argv


def check(tmp_path: Path, argv: Callable[[Path], list[str]], seed: int) -> None:
    output = tmp_path / f"out{seed}"
    run_to_the_end(argv(output), seed, jobs_killed=seed % 4, workers_killed=1 + seed % 3)
    assert results(output) == results(tmp_path / "whole")
    assert not list(output.rglob("*.tmp"))


def test_killed_runs_end_like_an_undisturbed_one(tmp_path, undisturbed):
    lines = (tmp_path / "whole" / "parallel_run_step.txt").read_text().splitlines()
    assert lines == [f"{n} {n / 2:.3f}" for n in range(400) if not 70 <= n < 80]
    for seed in (1, 3):
        check(tmp_path, undisturbed, seed)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, 100, 20))
def test_a_hundred_killed_runs_end_like_an_undisturbed_one(tmp_path, undisturbed, first):
    for seed in range(first, first + 20):
        check(tmp_path, undisturbed, seed)


def test_workers_end_with_a_job_that_is_killed(tmp_path, undisturbed):
    process = start(undisturbed(tmp_path / "out"))
    while len(workers := children(process.pid)) < 2:
        assert not wait_until(process, time.monotonic() + 0.01), "it ended before it had two workers"
    process.kill()
    process.communicate(timeout=10)
    until = time.monotonic() + 10
    while any(state(pid) != b"Z" for pid in workers):
        assert time.monotonic() < until, "a worker outlived its parent"


def state(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except FileNotFoundError:
        return b"Z"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_so_and_continues(tmp_path, undisturbed, number, code):
    output = tmp_path / "out"
    process = start(undisturbed(output))
    parts = output / ".scoring" / "parts"
    while not list(parts.glob("*/*")):
        assert not wait_until(process, time.monotonic() + 0.01), "it ended before it could be stopped"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"The same command continues" in err
    process = start(undisturbed(output))
    process.communicate(timeout=60)
    assert results(output) == results(tmp_path / "whole")
