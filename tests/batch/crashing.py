"""Starts `scoring batch run` and kills it, or its workers, at random points of its work, until it has finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from scoring_runtime.cli.main import main; main()", "batch", "run"]
RESULTS = ("parallel_run_step.txt", "errors.jsonl")


def command(script: Path, data: Path, output: Path, *more: str) -> list[str]:
    return [*COMMAND, str(script), "--input", str(data), "--output", str(output), "--json", *more]


def start(argv: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def results(output: Path) -> list[bytes]:
    return [(output / name).read_bytes() for name in RESULTS]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []


def run_to_the_end(argv: list[str], seed: int, *, jobs_killed: int, workers_killed: int) -> int:
    """Kill workers and whole jobs after random times, start again each time; how many kills there were."""
    chance = random.Random(seed)
    kills = 0
    while True:
        process = start(argv)
        fatal = kills < jobs_killed
        until = time.monotonic() + chance.uniform(0.05, 0.9)
        for _ in range(workers_killed):
            if wait_until(process, time.monotonic() + chance.uniform(0.02, 0.4)):
                break
            victims = children(process.pid)
            if victims:
                kill(chance.choice(victims))
        if fatal and not wait_until(process, until):
            process.kill()
            kills += 1
        _, err = process.communicate(timeout=60)
        if process.returncode == 0:
            return kills
        if process.returncode != -signal.SIGKILL:
            raise AssertionError(f"seed {seed}: exit code {process.returncode}: {err.decode()}")


def wait_until(process: subprocess.Popen[bytes], moment: float) -> bool:
    """Whether it has ended before the moment."""
    try:
        process.wait(max(0.0, moment - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
