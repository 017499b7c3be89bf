"""The first steps of the server: shared memory and queues, then the front, then the arbiter with its workers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from scoring_runtime import threads
from scoring_runtime.errors import ScoringRuntimeError
from scoring_runtime.server import wire
from scoring_runtime.settings import Settings

if TYPE_CHECKING:
    from scoring_runtime.server.keys import Vault
    from scoring_runtime.server.worker import LoadedScript

__all__ = ["HELD", "FrontProcess", "Nursery", "WorkerHandle", "run"]

logger = logging.getLogger("azmlinfsrv")

BOOT_SECONDS = 0.3


def run(settings: Settings, listeners: list[socket.socket], vault: Vault) -> NoReturn:
    """Serve until told to stop; ends the process with its exit code."""
    limits = threads.budget(settings.worker_count)
    for name, value in limits.environ.items():
        os.environ.setdefault(name, value)
    print(limits, flush=True)
    channel = wire.Channel()
    table = wire.SlotTable(max(32, 4 * settings.worker_count), settings.max_concurrent_requests)

    def front_main(lifeline: int) -> None:
        from scoring_runtime.server.front import run_front

        run_front(settings, listeners, vault, channel, table, lifeline)

    # A signal that comes before there is somebody to handle it waits, in each process, until there is.
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    # The front and the first workers start before gunicorn is imported: sooner ready, and smaller.
    front = FrontProcess(front_main)
    front.spawn()
    from scoring_runtime.server import logs

    logs.set_up(settings)
    nursery = Nursery(settings, [*listeners, vault], channel, table, lambda: front.lifeline)
    workers = [] if settings.worker_preload else [nursery.spawn() for _ in range(settings.worker_count)]
    let_boot(table, workers)
    from scoring_runtime.server.application import ScoringApplication
    from scoring_runtime.server.arbiter import ScoringArbiter

    try:
        ScoringArbiter(ScoringApplication(settings, listeners, front, nursery), workers).run()
    finally:
        front.end()
    sys.exit(0)


def let_boot(table: wire.SlotTable, workers: Sequence[WorkerHandle]) -> None:
    """Leave the processors to front and workers for a moment, unless a signal waits: of an end, or of a child's."""
    end = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < end and not signal.sigpending():
        if all(table.state(worker.region) != wire.BOOTING for worker in workers):
            return
        time.sleep(0.005)


HELD = {
    *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCHLD),
}


class WorkerHandle:
    """A worker as the arbiter sees it."""

    def __init__(self, pid: int, region: int, age: int) -> None:
        self.pid = pid
        self.region = region
        self.age = age
        self.born = time.monotonic()
        self.aborted = False
        self.outdated = False  # since a SIGHUP
        self.dismissed = 0.0  # when
        self.abandoned = False  # dismissed before it served
        self.successor = 0


class Nursery:
    """Forks workers."""

    def __init__(
        self,
        settings: Settings,
        not_for_workers: Sequence[socket.socket | Vault],
        channel: wire.Channel,
        table: wire.SlotTable,
        lifeline: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.not_for_workers = not_for_workers
        self.lifeline = lifeline
        self.channel = channel
        self.table = table
        self.count = 0
        self.loaded: LoadedScript | None = None  # with WORKER_PRELOAD

    def spawn(self) -> WorkerHandle:
        """A new worker; in its own process this does not return. Raises RuntimeError when there can be none."""
        region = self.table.free_region()
        if region is None:
            raise RuntimeError(f"{self.table.regions} workers are the most")
        self.table.occupy(region, 0, wire.BOOTING)
        self.count += 1
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self.table.clear(region)
            raise RuntimeError(f"the system refuses a process ({error.strerror})") from error
        if pid:
            return WorkerHandle(pid, region, self.count)
        self.let_go()
        from scoring_runtime.server.worker import WorkerProcess

        try:
            WorkerProcess(self.settings, self.channel, self.table, region, self.loaded).main()
        except Exception:  # it must not unwind into the arbiter whose copy this process is
            logger.exception("The worker process failed")
            sys.exit(1)
        sys.exit(0)

    def let_go(self) -> None:
        """In a child: only the front accepts, and nobody else may hold the port open or see a key."""
        for one in self.not_for_workers:
            one.close()
        os.close(self.lifeline())  # nor keep the front alive when the arbiter is gone


class FrontProcess:
    """The arbiter's side of the front process: start it, end it, start it again."""

    def __init__(self, start: Callable[[int], None]) -> None:
        self.start = start
        self.pid = 0
        self.arbiter = os.getpid()
        self.lifeline = -1

    def spawn(self) -> None:
        """Fork it. The pipe is its lifeline: when the arbiter dies the front reads its end, and leaves."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
        reader, self.lifeline = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            os.close(reader)
            self.pid = pid
            return
        os.close(self.lifeline)
        try:
            self.start(reader)
        except ScoringRuntimeError:
            sys.exit(1)  # the arbiter meets the same, and reports it
        except Exception:
            logger.exception("The front process failed")
            sys.exit(1)
        sys.exit(0)

    def signal(self, number: int) -> None:
        if not self.pid:  # 0 would be the whole process group
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def end(self) -> None:
        """Not one moment longer than the arbiter; a worker, which unwinds through here too, leaves it alone."""
        if self.pid and os.getpid() == self.arbiter:
            self.signal(signal.SIGKILL)
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass
