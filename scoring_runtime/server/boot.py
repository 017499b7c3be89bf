"""The first steps of the server: shared memory and queues, then the front, then the arbiter with its workers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from scoring_runtime import threads
from scoring_runtime.server import wire
from scoring_runtime.settings import Settings

__all__ = ["FrontProcess", "run"]

logger = logging.getLogger("azmlinfsrv")


def run(settings: Settings, listeners: list[socket.socket]) -> NoReturn:
    """Serve until told to stop; ends the process with its exit code."""
    limits = threads.budget(settings.worker_count)
    for name, value in limits.environ.items():
        os.environ.setdefault(name, value)
    print(limits, flush=True)
    channel = wire.Channel()
    regions = max(32, 4 * settings.worker_count)
    table = wire.SlotTable(regions, settings.max_concurrent_requests)

    def front_main(lifeline: int) -> None:
        from scoring_runtime.server.front import run_front

        run_front(settings, listeners, channel, table, lifeline)

    front = FrontProcess(front_main, channel, table)
    front.spawn()  # before gunicorn is imported: it starts sooner, and stays smaller
    from scoring_runtime.server import logs

    logs.set_up(settings)
    from scoring_runtime.server.arbiter import ScoringApplication, ScoringArbiter

    try:
        ScoringArbiter(ScoringApplication(settings, listeners, front)).run()
    finally:
        front.end()
    sys.exit(0)


class FrontProcess:
    """The arbiter's side of the front process: start it, end it, start it again."""

    def __init__(self, start: Callable[[int], None], channel: wire.Channel, table: wire.SlotTable) -> None:
        self.start = start
        self.channel = channel
        self.table = table
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
        status = 1
        try:
            os.close(self.lifeline)
            self.start(reader)
            status = 0
        except BaseException:
            logger.exception("The front process failed")
        finally:
            sys.stdout.flush()
            os._exit(status)

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
