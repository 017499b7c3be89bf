"""Sends requests by schedule, however slowly they are answered, and says how late it was itself."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from scoring_runtime.errors import TargetError

__all__ = ["Caller", "Step", "offer", "percentile"]

CONNECTIONS = 256  # more requests under way than that are kept back here, and their wait counts
HEALTH_SECONDS = 0.25


class Step(NamedTuple):
    """What one rate did. Times in ms; latency counts from the moment at which a request was to leave."""

    rate: float
    seconds: float
    sent: int
    answered: int  # with 2xx
    failures: dict[str, int]
    achieved: float  # good answers a second, from the first to the last
    p50: float
    p95: float
    p99: float
    lateness_p99: float
    health_max: float


class Caller:
    """One service and one request to it."""

    def __init__(
        self,
        url: str,
        body: bytes,
        key: str | None = None,
        content_type: str = "application/json",
        authority: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TargetError(f"{url!r} is no address of a service. Give one like http://127.0.0.1:5001/score.")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.timeout = timeout
        self.tls = ssl.create_default_context(cafile=authority) if parts.scheme == "https" else None
        self.path = parts.path if parts.path not in ("", "/") else "/score"
        self.base = self.path.removesuffix("/score")
        name = self.host if ":" not in self.host else f"[{self.host}]"
        common = f"Host: {name}:{self.port}\r\n" + (f"Authorization: Bearer {key}\r\n" if key else "")
        head = (
            f"POST {self.path} HTTP/1.1\r\n{common}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.request = head.encode() + body
        self.common = common

    def get(self, path: str) -> bytes:
        return f"GET {self.base}{path} HTTP/1.1\r\n{self.common}\r\n".encode()


class Connection:
    """A kept connection, opened when it is needed."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; raises OSError, EOFError or TimeoutError."""
        try:
            return await asyncio.wait_for(self.exchange(request), self.caller.timeout)
        except BaseException:
            self.close()
            raise

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.caller.host, self.caller.port, ssl=self.caller.tls)
        reader, writer = self.streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.partition(": ")[::2] for line in head.split("\r\n")[1:])
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        else:
            body = await reader.read()
            self.close()
        if fields.get("connection") == "close":
            self.close()
        return int(head.split(" ", 2)[1]), body

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def offer(caller: Caller, rate: float, seconds: float) -> Step:
    """This many requests a second for so long; then waits for the answers of what was sent."""
    return await Offer(caller, rate, seconds).run()


class Offer:
    """The state of one step."""

    def __init__(self, caller: Caller, rate: float, seconds: float) -> None:
        self.caller = caller
        self.rate = rate
        self.seconds = seconds
        self.total = max(1, round(rate * seconds))
        self.idle: deque[Connection] = deque()
        self.opened: list[Connection] = []
        self.waiting: deque[float] = deque()
        self.latencies: list[float] = []
        self.lateness: list[float] = []
        self.health: list[float] = []
        self.failures: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.last_answer = 0.0

    async def run(self) -> Step:
        probe = asyncio.create_task(self.probe())
        self.start = time.perf_counter() + 0.01
        for number in range(self.total):
            due = self.start + number / self.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            self.lateness.append(now - due)
            self.place(now)
        unsent = len(self.waiting)
        self.waiting.clear()  # what did not fit in its time is not sent any more
        while self.tasks:
            await asyncio.wait(self.tasks, timeout=self.caller.timeout)
        probe.cancel()
        for connection in self.opened:
            connection.close()
        if unsent:
            self.failures["kept back"] += unsent
        return self.result()

    def place(self, due: float) -> None:
        if self.idle:
            self.go(self.idle.pop(), due)
        elif len(self.opened) < CONNECTIONS:
            self.opened.append(Connection(self.caller))
            self.go(self.opened[-1], due)
        else:
            self.waiting.append(due)

    def go(self, connection: Connection, due: float) -> None:
        self.sent += 1
        task = asyncio.create_task(self.ask(connection, due))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def ask(self, connection: Connection, due: float) -> None:
        try:
            status, _ = await connection.ask(self.caller.request)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            self.failures[type(error).__name__] += 1
        else:
            if 200 <= status < 300:
                self.last_answer = time.perf_counter()
                self.latencies.append(self.last_answer - due)
            else:
                self.failures[str(status)] += 1
        if self.waiting:
            self.go(connection, self.waiting.popleft())
        else:
            self.idle.append(connection)

    async def probe(self) -> None:
        """What a liveness probe would see meanwhile."""
        connection = Connection(self.caller)
        try:
            while True:
                began = time.perf_counter()
                try:
                    await connection.ask(self.caller.get("/livez"))
                except (OSError, EOFError, asyncio.TimeoutError):
                    self.failures["health"] += 1
                self.health.append(time.perf_counter() - began)
                await asyncio.sleep(HEALTH_SECONDS)
        finally:
            connection.close()

    def result(self) -> Step:
        span = max(self.last_answer - self.start, 1e-9)
        count = len(self.latencies)
        p50, p95, p99 = (percentile(self.latencies, share) * 1e3 for share in (0.5, 0.95, 0.99))
        achieved = min(count / max(span, (self.total - 1) / self.rate), self.rate) if count else 0.0
        late, health = percentile(self.lateness, 0.99) * 1e3, max(self.health, default=0.0) * 1e3
        failures = dict(self.failures)
        return Step(self.rate, self.seconds, self.sent, count, failures, achieved, p50, p95, p99, late, health)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
