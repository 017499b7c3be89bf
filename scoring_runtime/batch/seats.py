"""Worker processes seen from the parent: started, handed mini-batches, listened to, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from scoring_runtime.batch.job import Job
from scoring_runtime.batch.logs import LogTree
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.threads import budget

__all__ = ["Seat", "Start", "environment", "spawner", "wait_for"]

DYING_SECONDS = 30.0


class Process:
    """A running worker: its connection, and how to end it."""

    def __init__(self, popen: subprocess.Popen[bytes], connection: Connection) -> None:
        self.connection = connection
        self._popen = popen
        self.pid = popen.pid

    def send(self, *message: Any) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has died; receiving will say so

    def kill(self) -> None:
        self._popen.kill()

    def ending(self) -> str:
        """How it ended, in words; waits for the end, which its closed connection has announced."""
        try:
            code = self._popen.wait(DYING_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"was killed by {signal.Signals(-code).name}{hint}"
        return f"exited with code {code}"


Start = Callable[[int], Process]


class Seat:
    """A place for one worker at a time, and what the worker in it is busy with."""

    def __init__(self, number: int, process: Process) -> None:
        self.number = number
        self.name = name_of(number)
        self.process = process
        self.started = time.monotonic()
        self.ready = False
        self.stopping = False
        #: Handed over and not yet reported, in the order in which they will run.
        self.orders: dict[int, MiniBatch] = {}
        self.running: int | None = None
        self.since = self.started
        #: How many of the orders have not begun to run.
        self.waiting = 0

    def __repr__(self) -> str:
        state = f"running {self.running}" if self.running is not None else "ready" if self.ready else "starting"
        return f"<Seat {self.name} {state}, {len(self.orders)} handed over>"

    def hand(self, batch: MiniBatch, last_try: bool) -> None:
        self.orders[batch.index] = batch
        self.waiting += 1
        self.process.send("score", batch.to_line(), last_try)

    def run_began(self, index: int) -> None:
        if index != self.running:
            self.waiting -= 1
        self.running, self.since = index, time.monotonic()

    def run_ended(self) -> None:
        self.running = None

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            self.process.send("stop")

    def deadline(self, run_seconds: float) -> float:
        """When it has to have answered; init() may take three runs and half a minute, as under the original."""
        if not self.ready:
            return self.started + 3 * run_seconds + 30
        return float("inf") if self.running is None else self.since + run_seconds

    def receive(self) -> tuple[Any, ...] | None:
        """Its next message; None if it has ended."""
        try:
            message: tuple[Any, ...] = self.process.connection.recv()
        except (EOFError, OSError):
            return None
        return message


def wait_for(seats: Sequence[Seat], seconds: float) -> list[Seat]:
    """The seats with something to receive."""
    by_connection = {seat.process.connection: seat for seat in seats}
    return [by_connection[each] for each in wait(by_connection, seconds) if isinstance(each, Connection)]


def spawner(job: Job, kind: str, folder: str, logs: LogTree, processes: int) -> Start:
    """Starts workers as fresh interpreters: each loads the script and its model for itself."""

    def start(number: int) -> Process:
        ours, theirs = socket.socketpair()
        name = name_of(number)
        with theirs, open(logs.stdout(name), "ab") as out, open(logs.stderr(name), "ab") as err:
            popen = subprocess.Popen(
                [sys.executable, "-m", "scoring_runtime.batch.worker", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(job, logs, number, processes),
            )
        process = Process(popen, Connection(ours.detach()))
        process.send(job.to_json(), kind, folder, job.logging_level)
        return process

    return start


def environment(job: Job, logs: LogTree, number: int, processes: int) -> dict[str, str]:
    """What a worker and its script find in os.environ."""
    result = {**budget(processes).environ, **os.environ, **dict(job.environment)}
    result.update(
        AZUREML_BI_OUTPUT_PATH=os.path.abspath(job.output),
        SCORING_BATCH_LOG_DIR=logs.entry_script,
        SCORING_BATCH_PROCESS=name_of(number),
        SCORING_BATCH_LOGGING_LEVEL=job.logging_level,
        PYTHONUNBUFFERED="1",
    )
    if job.model_dir:
        result["AZUREML_MODEL_DIR"] = os.path.abspath(job.model_dir)
    for name, path in job.side_inputs:
        result[f"AZUREML_DATAREFERENCE_{name}"] = path
    gpus = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if gpus:
        result["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return result


def visible_gpus(variable: str | None, devices: str = "/dev") -> list[str]:
    """The GPUs that workers share out between them, as CUDA_VISIBLE_DEVICES names them."""
    if variable is not None:
        return [name for name in variable.split(",") if name and name != "-1"]
    try:
        names = os.listdir(devices)
    except OSError:
        return []
    return sorted((name[6:] for name in names if name.startswith("nvidia") and name[6:].isdigit()), key=int)


def default_processes() -> int:
    """One for each GPU, or where there is none for each processor of the control group."""
    return len(visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))) or budget(1).per_worker


def name_of(number: int) -> str:
    return f"process{number:03d}"
