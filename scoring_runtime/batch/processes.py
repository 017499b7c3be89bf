"""Worker processes seen from the parent: how they are started, what surrounds them, how they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from scoring_runtime.batch.job import Job
from scoring_runtime.batch.logs import LogTree
from scoring_runtime.signals import signal_name
from scoring_runtime.threads import budget

__all__ = ["Process", "Start", "default_processes", "environment", "in_words", "kill_group", "name_of", "spawner"]

DYING_SECONDS = 30.0


class Process(Protocol):
    """A worker: its connection, and how to end it."""

    connection: Connection
    pid: int

    def send(self, *message: Any) -> None:
        """Never raises: that it has died is said when it is received from."""

    def kill(self) -> None: ...

    def ending(self) -> str:
        """How it ended, in words; waits for the end, which its closed connection has announced."""


class Spawned:
    """A worker in an interpreter of its own."""

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
        if self._popen.poll() is None:
            kill_group(self.pid)

    def ending(self) -> str:
        """How it ended, in words; waits for the end, which its closed connection has announced."""
        try:
            code = self._popen.wait(DYING_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        kill_group(self.pid)
        return in_words(code)


def kill_group(leader: int) -> None:
    """A worker and what its script has started: a command that a killed run() was waiting for must not go on."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def in_words(code: int) -> str:
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"was killed by {signal_name(-code)}{hint}"
    return f"exited with code {code}"


Start = Callable[[int], Process]


def spawner(job: Job, kind: str, folder: str, logs: LogTree, processes: int, scratch: str) -> Start:
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
                start_new_session=True,
                env=environment(job, logs, number, processes, scratch),
            )
        process = Spawned(popen, Connection(ours.detach()))
        process.send(job.to_json(), kind, folder, job.logging_level)
        return process

    return start


def environment(job: Job, logs: LogTree, number: int, processes: int, scratch: str) -> dict[str, str]:
    """What a worker and its script find in os.environ."""
    result = {**budget(processes).environ, **os.environ, **dict(job.environment)}
    result.update(
        AZUREML_BI_OUTPUT_PATH=logs.output,
        SCORING_BATCH_LOG_DIR=logs.entry_script,
        SCORING_BATCH_PERF_DIR=logs.perf,
        SCORING_BATCH_PROCESS=name_of(number),
        SCORING_BATCH_SCRATCH_DIR=scratch,
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
