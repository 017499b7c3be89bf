"""A worker process: init() once, then run() for each mini-batch that it is handed, until its parent is gone.

    reader thread       takes orders off the connection, reads the next mini-batch's data while run() is busy
    main thread         init(), run(): where scripts expect to be
    committer thread    makes results durable while the next run() is busy, then reports them

What the parent sends:  ("score", line of the plan, whether this is its last try) | ("stop",)
What it is told:        ("ready", pid) ("init_failed", text, fatal) ("running", index) ("ran", index)
                        ("failed", index, reason, traceback) ("done", index) ("unwritable", index, reason)
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from scoring_runtime.batch.commits import Commits
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.outbox import Outbox
from scoring_runtime.batch.perf import profiler
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.batch.scorer import Scorer
from scoring_runtime.errors import ScoringRuntimeError, ScriptError, ScriptInitError

__all__ = ["Worker", "die_with_parent", "init_failed", "loaded", "main"]

PR_SET_PDEATHSIG = 1
HEARTBEAT_SECONDS = 1.0


@dataclass(frozen=True)
class Order:
    batch: MiniBatch
    last_try: bool


class Worker:
    """The loop of one process."""

    def __init__(self, scorer: Scorer, folder: str, connection: Connection) -> None:
        self._scorer = scorer
        self._connection = connection
        self._sending = threading.Lock()
        self._commits = Commits(folder)
        # Memory holds one mini-batch that is read, one that waits, one that runs, and results up to the outbox's size.
        self._read: queue.Queue[tuple[Order, Any] | None] = queue.Queue(1)
        self._scored = Outbox()
        self._batches: dict[int, MiniBatch] = {}
        self._running = -1
        self._told = 0.0
        self._scratch = tempfile.TemporaryDirectory(
            prefix="scoring-batch-", dir=os.environ.get("SCORING_BATCH_SCRATCH_DIR")
        )
        scorer.scratch = self._scratch.name
        self._profiler = profiler(
            scorer.profiling_module,
            os.environ.get("SCORING_BATCH_PERF_DIR", ""),
            os.environ.get("SCORING_BATCH_PROCESS", "process"),
        )
        if scorer.online is not None:
            scorer.online.on_call = self._beat

    def run(self) -> None:
        """Until the parent says stop."""
        threading.Thread(target=self._read_ahead, name="reader", daemon=True).start()
        committer = threading.Thread(target=self._commit_all, name="committer")
        committer.start()
        self.tell("ready", os.getpid())
        while (item := self._read.get()) is not None:
            self._score(*item)
        self._scored.close()
        committer.join()
        self._scorer.close()
        self._profiler.close()
        self._scratch.cleanup()

    def _score(self, order: Order, data: Any) -> None:
        batch = order.batch
        self._running = batch.index
        self._told = time.monotonic()
        self.tell("running", batch.index)
        if isinstance(data, Unreadable):
            self.tell("failed", batch.index, data.reason, data.traceback)
            return
        try:
            scored = self._profiler.call(self._scorer.score, batch, data)
        except BaseException as error:  # a script may raise SystemExit, KeyboardInterrupt or CancelledError
            self.tell("failed", batch.index, reason_of(error), traceback.format_exc())
            return
        if scored.commit.failures and self._scorer.online is not None and not order.last_try:
            failure = scored.commit.failures[0]
            self.tell("failed", batch.index, f"{len(scored.commit.failures)} records failed: {failure.reason}", "")
            return
        self.tell("ran", batch.index)
        self._batches[batch.index] = batch
        self._scored.put(scored)

    def _beat(self) -> None:
        """Before each of an online script's many calls: the timeout is for one call, not for all of them."""
        now = time.monotonic()
        if now - self._told > HEARTBEAT_SECONDS:
            self._told = now
            self.tell("running", self._running)

    def tell(self, *message: Any) -> None:
        with self._sending:
            self._connection.send(message)

    # -- the two other threads ----------------------------------------------------------------------------------------

    def _read_ahead(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the parent is gone: whatever runs, runs for nobody
            if message[0] == "stop":
                self._read.put(None)
                continue
            order = Order(MiniBatch.from_line(message[1]), message[2])
            try:
                data = self._scorer.read(order.batch)
            except Exception as error:
                data = Unreadable(reason_of(error), traceback.format_exc())
            self._read.put((order, data))

    def _commit_all(self) -> None:
        while together := self._scored.take():
            batches = [self._batches.pop(scored.commit.index) for scored in together]
            try:
                self._commits.write_all(
                    [(batch, each.commit, each.payload) for batch, each in zip(batches, together, strict=True)]
                )
            except Exception as error:  # a client of an object store has errors of its own
                for batch in batches:
                    self.tell("unwritable", batch.index, reason_of(error))
                continue
            for batch in batches:
                self.tell("done", batch.index)


@dataclass(frozen=True)
class Unreadable:
    """Handed to the main thread in the place of data."""

    reason: str
    traceback: str


def reason_of(error: BaseException) -> str:
    return str(error) if isinstance(error, ScoringRuntimeError) else f"{type(error).__name__}: {error}"


def die_with_parent() -> None:
    """kill -9 of the parent must not leave workers behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def loaded(job: Job, kind: str, level: str) -> Scorer:
    """The script with its init() done. Raises ScriptError, which has been printed into the process's log."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        scorer = Scorer(job, kind)
        scorer.init()
    except ScriptError as error:
        print(error, file=sys.stderr, flush=True)
        raise
    return scorer


def init_failed(error: ScriptError) -> tuple[Any, ...]:
    return ("init_failed", str(error), not isinstance(error, ScriptInitError))


def serve(connection: Connection, parent: int) -> None:
    """The life of a worker: told what to do, it loads and initialises, reports how that went, and runs."""
    job_values, kind, folder, level = connection.recv()
    if os.getppid() != parent:
        return
    try:
        scorer = loaded(Job.from_json(job_values), kind, level)
    except ScriptError as error:
        connection.send(init_failed(error))
        return
    Worker(scorer, folder, connection).run()


def main(argv: list[str], life: Callable[[Connection, int], None] = serve) -> NoReturn:
    die_with_parent()
    # Ctrl-C goes to the whole group of a terminal; here the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        life(Connection(int(argv[1])), int(argv[2]))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv)
