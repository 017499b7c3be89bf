"""Threads that write what front and arbiter log, who wait for no reader."""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import queue
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["AccessLog", "Outlet", "drain", "drain_all", "outlet_of", "outlets"]

logger = logging.getLogger("azmlinfsrv")

Batch = list[Any]
Line = tuple[Any, ...]

PENDING_LINES = 200_000
LEAST_BYTES, MOST_BYTES = 4096, 65536  # in one write
SLOW_SECONDS = 0.05
STALL_SECONDS = 1.0
LAST_SECONDS = 0.2


class Outlet:
    """A thread that writes what others hand over, so that a slow reader delays nobody.

    It starts with the first line. `threading` does not know it: WORKER_PRELOAD looks there for threads of the script.
    """

    def __init__(self) -> None:
        self.batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self.started = False
        self.accepted = self.dropped = 0  # the caller counts these, the thread those
        self.written = self.said = 0
        self.moved_at = 0.0

    @property
    def pending(self) -> int:
        return self.accepted - self.written

    def put(self, batch: Batch) -> None:
        """Lines beyond the limit are counted, not kept."""
        if not batch:
            return
        if self.pending > PENDING_LINES:
            self.dropped += len(batch)
            return
        if not self.pending:
            self.moved_at = time.monotonic()
        self.accepted += len(batch)
        self.batches.put(batch)
        if not self.started:
            try:
                _thread.start_new_thread(self.run, ())
                self.started = True
            except RuntimeError:  # there can be no more threads
                self.step()

    def run(self) -> None:
        while True:
            self.step()

    def step(self) -> None:
        batch = self.batches.get()
        self.moved_at = time.monotonic()
        try:
            self.write(batch)
            if self.said != self.dropped:
                count = self.dropped - self.said
                self.said += count
                self.say(f"{count} log lines were dropped: nobody reads the log fast enough")
        except Exception:
            pass  # the stream is gone, or what logging.json names fails: who could be told?
        self.written += len(batch)

    def write(self, batch: Batch) -> None:
        """Bring the lines to where this outlet leads."""
        raise NotImplementedError

    def say(self, warning: str) -> None:
        self.write([(time.time(), warning)])


class FileOutlet(Outlet):
    """Writes text to a standard stream."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd
        self.bytes = MOST_BYTES

    def say(self, warning: str) -> None:
        self.write([Text()((time.time(), warning))])

    def write(self, batch: Batch) -> None:
        data = memoryview("".join(batch).encode("utf-8", "backslashreplace"))
        while data:
            before = time.monotonic()
            try:
                data = data[os.write(self.fd, data[: self.bytes]) :]
            except BlockingIOError:  # somebody else made it so, for all who share it
                time.sleep(SLOW_SECONDS)
                continue
            self.moved_at = time.monotonic()
            # A slow reader gets less at a time, so that one who still reads can be told from one who does not.
            if self.moved_at - before > SLOW_SECONDS:
                self.bytes = max(LEAST_BYTES, self.bytes // 2)
            else:
                self.bytes = min(MOST_BYTES, self.bytes * 2)


class RecordOutlet(Outlet):
    """Logs lines to wherever logging.json says."""

    def write(self, batch: Batch) -> None:
        access = logging.getLogger("gunicorn.access")
        for line in batch:
            self.moved_at = time.monotonic()
            if len(line) == 2:
                logger.warning("%s", line[1])
                continue
            at, method, target, status, ms, length, sent, client, version, referer, agent = line
            if length != "":
                shown = "N/A" if length is None else length
                logger.info("%s %s %s %.3fms %s", method, target, status, ms, shown)
            if sent is not None:
                clock = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
                access.info(
                    '%s - - [%s] "%s %s HTTP/%s" %s %s "%s" "%s"',
                    *(client, clock, method, target, version, status, sent, referer, agent),
                )


outlets: dict[tuple[int, int], Outlet] = {}


def outlet_of(stream: Any) -> Outlet | None:
    """This process's own, for a thread does not survive a fork; None of a stream that is no file."""
    try:
        key = os.getpid(), stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    if key not in outlets:
        outlets[key] = FileOutlet(key[1])
    return outlets[key]


def drain(timeout: float, some: list[Outlet]) -> None:
    """Wait for what is on its way, as long as it moves."""
    start = time.monotonic()
    while waiting := [outlet for outlet in some if outlet.pending]:
        now = time.monotonic()
        # Who has been stalled for long need not prove it again.
        moved_at = max(start + LAST_SECONDS - STALL_SECONDS, *(outlet.moved_at for outlet in waiting))
        if now - start > timeout or now - moved_at > STALL_SECONDS:
            return
        time.sleep(0.0005)


@atexit.register
def drain_all(timeout: float = 5.0) -> None:
    drain(timeout, [outlet for (pid, _), outlet in outlets.items() if pid == os.getpid()])


class AccessLog:
    """Two lines a request, written by a thread.

    A line is (time, warning), or (time, method, target, status, milliseconds, length, sent, client, version, referer,
    agent): `length` is what the server's own line says, None of a stream, "" for no such line; `sent` is what the
    access line says, None for no such line. It becomes text at once: the thread would take the interpreter's lock
    away for a millisecond each time, while workers wait for their next job.
    """

    def __init__(self, plain: bool) -> None:
        self.lines: Batch = []
        # Other lines on stdout take the same way, and so stay in order.
        outlet = outlet_of(sys.stdout) if plain else None
        self.text: Callable[[Line], Any] = Text() if outlet else lambda line: line
        self.outlet = outlet or RecordOutlet()

    def add(self, line: Line) -> None:
        self.lines.append(self.text(line))

    def flush(self) -> None:
        """Hand over what has come together."""
        lines, self.lines = self.lines, []
        self.outlet.put(lines)

    def close(self, timeout: float = 5.0) -> None:
        self.flush()
        drain(timeout, [self.outlet])


class Text:
    """Makes a line text."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.second = -1

    def __call__(self, line: Line) -> str:
        at = line[0]
        second = int(at)
        if second != self.second:
            self.second = second
            utc = time.gmtime(second)
            self.stamp = time.strftime("%Y-%m-%d %H:%M:%S", utc)
            self.clock = time.strftime("%d/%b/%Y:%H:%M:%S +0000", utc)
        start = f"{self.stamp},{int((at - second) * 1000):03d} "
        if len(line) == 2:
            return f"{start}W [{self.pid}] azmlinfsrv - {line[1]}\n"
        _, method, target, status, ms, length, sent, client, version, referer, agent = line
        text = ""
        if length != "":
            shown = "N/A" if length is None else length
            text = f"{start}I [{self.pid}] azmlinfsrv - {method} {target} {status} {ms:.3f}ms {shown}\n"
        if sent is None or (target == "/" and method == "GET"):
            return text
        return (
            f"{text}{start}I [{self.pid}] gunicorn.access - {client} - - [{self.clock}] "
            f'"{method} {target} HTTP/{version}" {status} {sent} "{referer}" "{agent}"\n'
        )
