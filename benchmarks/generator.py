"""The open loop's sender, a process of its own: requests leave by schedule, latency counts from the intended moment.

A timerfd wakes the loop at each send: the timers of asyncio and uvloop are coarser (1 ms) than what is measured here.
Reads one JSON object from standard input, writes one to standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import sys
import time
from collections import deque
from typing import Any, cast

from benchmarks.figures import percentiles

__all__ = ["Generator", "Timer"]

NANO = 1_000_000_000
DRAIN_SECONDS = 10.0
HANG_UP_SECONDS = 1.0


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("first", _Timespec)]


class Timer:
    """A timerfd on CLOCK_MONOTONIC that ticks at `start_ns` and then every `interval_ns`."""

    def __init__(self, start_ns: int, interval_ns: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        when = _Itimerspec(_Timespec(*divmod(interval_ns, NANO)), _Timespec(*divmod(start_ns, NANO)))
        absolute = 1
        if self.fd < 0 or libc.timerfd_settime(self.fd, absolute, ctypes.byref(when), None):
            raise OSError(ctypes.get_errno(), "timerfd")

    def ticks(self) -> int:
        """Ticks since the last call."""
        try:
            return int.from_bytes(os.read(self.fd, 8), sys.byteorder)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        os.close(self.fd)


class _Connection(asyncio.Protocol):
    """A keep-alive connection with at most one request on it; knows just enough HTTP to see where the answer ends."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.transport: asyncio.Transport | None = None
        self.intended_ns: int | None = None
        self.used = False
        self._reset()

    def _reset(self) -> None:
        self.buffer = b""
        self.head_end = -1
        self.length: int | None = None
        self.chunked = False
        self.keep = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, intended_ns: int) -> None:
        assert self.transport is not None
        self.intended_ns = intended_ns
        self.transport.write(self.generator.payload)

    def hang_up(self) -> None:
        assert self.transport is not None
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.head_end < 0:
            self._read_head()
        if self.head_end >= 0 and self._complete():
            self._finish()

    def _read_head(self) -> None:
        self.head_end = self.buffer.find(b"\r\n\r\n")
        if self.head_end < 0:
            return
        for line in self.buffer[: self.head_end].lower().split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                self.length = int(value)
            elif name == b"transfer-encoding":
                self.chunked = value.strip() == b"chunked"
            elif name == b"connection":
                self.keep = value.strip() != b"close"

    def _complete(self) -> bool:
        if self.chunked:
            return self.buffer.endswith(b"\r\n0\r\n\r\n")
        return self.length is not None and len(self.buffer) >= self.head_end + 4 + self.length

    def _finish(self) -> None:
        intended_ns, self.intended_ns = self.intended_ns, None
        assert intended_ns is not None
        good = self.buffer.startswith(b"HTTP/1.1 200")
        keep = self.keep
        self._reset()
        self.used = True
        if not keep:
            self.hang_up()
        self.generator.answered(self, intended_ns, good, keep)

    def connection_lost(self, error: Exception | None) -> None:
        ends_the_body = self.head_end >= 0 and self.length is None and not self.chunked
        if self.intended_ns is not None and ends_the_body:
            self.keep = False
            self._finish()
            return
        intended_ns, self.intended_ns = self.intended_ns, None
        self.generator.lost(self, intended_ns, retry=self.used and not self.buffer)


class Generator:
    """Sends `rate` requests a second over at most `connections` connections, opened when they are needed."""

    def __init__(
        self, port: int, payload: bytes, rate: float, seconds: float, warmup_seconds: float, connections: int
    ) -> None:
        self.port = port
        self.payload = payload
        self.interval_ns = round(NANO / rate)
        self.total = max(1, round((seconds + warmup_seconds) * rate))
        self.warmup = round(warmup_seconds * rate)
        self.connections = connections
        self.idle: list[_Connection] = []
        self.open = 0
        self.opened = 0
        self.sent = 0
        self.errors = 0
        self.waiting: deque[int] = deque()
        self.in_flight = 0
        self.latencies_ms: list[float] = []
        self.lateness_ms: list[float] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> dict[str, Any]:
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        self.all_lost = self.loop.create_future()
        self.start_ns = time.monotonic_ns() + NANO // 10
        self.timer = Timer(self.start_ns, self.interval_ns)
        self.loop.add_reader(self.timer.fd, self._tick)
        length_seconds = 0.1 + self.total * self.interval_ns / NANO
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.done), length_seconds + DRAIN_SECONDS)
        self.loop.remove_reader(self.timer.fd)
        self.timer.close()
        await self._hang_up()
        return self._result()

    async def _hang_up(self) -> None:
        """Closes what is idle and waits, within a bound, until the last connection is gone."""
        for connection in self.idle:
            connection.hang_up()
        if self.open:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.all_lost, HANG_UP_SECONDS)

    def _tick(self) -> None:
        for _ in range(min(self.timer.ticks(), self.total - self.sent)):
            intended_ns = self.start_ns + self.sent * self.interval_ns
            if self.sent >= self.warmup:
                self.lateness_ms.append((time.monotonic_ns() - intended_ns) / 1e6)
            self.sent += 1
            self.in_flight += 1
            self._place(intended_ns)

    def _place(self, intended_ns: int) -> None:
        if self.idle:
            self.idle.pop().send(intended_ns)
        elif self.open < self.connections:
            self.open += 1
            task = self.loop.create_task(self._open(intended_ns))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self.waiting.append(intended_ns)

    async def _open(self, intended_ns: int) -> None:
        try:
            _, connection = await self.loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
        except OSError:
            self.open -= 1
            self._settled(intended_ns, good=False)
            return
        self.opened += 1
        connection.send(intended_ns)

    def answered(self, connection: _Connection, intended_ns: int, good: bool, keep: bool) -> None:
        self._settled(intended_ns, good)
        if keep and self.waiting:
            connection.send(self.waiting.popleft())
        elif keep:
            self.idle.append(connection)

    def lost(self, connection: _Connection, intended_ns: int | None, retry: bool) -> None:
        """A connection is gone; its request is sent again only if the server closed it before it could have seen it."""
        self.open -= 1
        with contextlib.suppress(ValueError):
            self.idle.remove(connection)
        if intended_ns is not None and retry:
            self.waiting.appendleft(intended_ns)
        elif intended_ns is not None:
            self._settled(intended_ns, good=False)
        if self.waiting:
            self._place(self.waiting.popleft())
        elif not self.open and self.done.done() and not self.all_lost.done():
            self.all_lost.set_result(None)

    def _settled(self, intended_ns: int, good: bool) -> None:
        self.in_flight -= 1
        self.errors += not good
        if good and intended_ns >= self.start_ns + self.warmup * self.interval_ns:
            self.latencies_ms.append((time.monotonic_ns() - intended_ns) / 1e6)
        if self.sent == self.total and not self.in_flight and not self.done.done():
            self.done.set_result(None)

    def _result(self) -> dict[str, Any]:
        return {
            "sent": self.sent - self.warmup,
            "answered": len(self.latencies_ms),
            "errors": self.errors,
            "unanswered": self.in_flight,
            "connections_opened": self.opened,
            "latency_ms": percentiles(self.latencies_ms) if self.latencies_ms else {},
            "lateness_ms": percentiles(self.lateness_ms) if self.lateness_ms else {},
        }


def _come_first() -> str:
    """Real-time priority where it is allowed: with few cores the server would otherwise delay its watch."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return "normal"
    return "real-time"


def main() -> None:
    order = json.load(sys.stdin)
    payload = order.pop("payload").encode("latin-1")
    try:
        loops = importlib.import_module("uvloop")
    except ImportError:
        loops = asyncio
    priority = _come_first()
    gc.freeze()
    gc.disable()
    loop = loops.new_event_loop()
    try:
        result = loop.run_until_complete(Generator(payload=payload, **order).run())
    finally:
        loop.close()
    json.dump({**result, "loop": loops.__name__, "priority": priority}, sys.stdout)


if __name__ == "__main__":
    main()
