"""Question: what does it cost to hand a request to the code that scores?  python -m benchmarks.bench_hop

Ways: `run_in_executor` with one thread; an owned thread with a SimpleQueue in and call_soon_threadsafe out; a worker
process behind a socketpair with length-prefixed marshal frames, at most 1 or 8 of them on their way at once. The work
is an echo of 417 bytes, 16 callers wait in a closed loop; uvloop is used if it is there. Alternating rounds, medians.
"""

from __future__ import annotations

import asyncio
import importlib
import marshal
import os
import queue
import signal
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.figures import spread

__all__ = ["Executor", "OwnedThread", "WorkerProcess", "main", "rate"]

SECONDS = 1.0
ROUNDS = 5
CALLERS = 16
BODY = b"x" * 417
FRAME = struct.Struct("=I")


def echo(body: bytes) -> bytes:
    return body


class Executor:
    """asyncio's own way."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.pool = ThreadPoolExecutor(1)

    def call(self, body: bytes) -> Awaitable[bytes]:
        return self.loop.run_in_executor(self.pool, echo, body)

    def close(self) -> None:
        self.pool.shutdown()


class OwnedThread:
    """A thread of our own: no futures of two kinds, no locks but the queue's."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.inbox: queue.SimpleQueue[tuple[bytes, asyncio.Future[bytes]] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def call(self, body: bytes) -> Awaitable[bytes]:
        future = self.loop.create_future()
        self.inbox.put((body, future))
        return future

    def _work(self) -> None:
        while (item := self.inbox.get()) is not None:
            body, future = item
            self.loop.call_soon_threadsafe(_settle, future, echo(body))

    def close(self) -> None:
        self.inbox.put(None)
        self.thread.join()


class WorkerProcess:
    """A forked process that reads frames and answers them in order; `depth` of them may be on their way."""

    def __init__(self, depth: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.depth = depth
        self.sent: deque[asyncio.Future[bytes]] = deque()
        self.queued: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self.buffer = bytearray()
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            ours.close()
            _serve_frames(theirs)
        theirs.close()
        ours.setblocking(False)
        self.socket = ours
        self.loop.add_reader(ours, self._readable)

    def call(self, body: bytes) -> Awaitable[bytes]:
        future = self.loop.create_future()
        self.queued.append((body, future))
        self._send()
        return future

    def _send(self) -> None:
        """A few hundred bytes a frame and a bounded depth: the socket's buffer always has room."""
        frames = []
        while self.queued and len(self.sent) < self.depth:
            body, future = self.queued.popleft()
            self.sent.append(future)
            frames.append(_frame(body))
        if frames:
            self.socket.send(b"".join(frames))

    def _readable(self) -> None:
        self.buffer += self.socket.recv(262144)
        for answer in _take_frames(self.buffer):
            _settle(self.sent.popleft(), answer)
        self._send()

    def close(self) -> None:
        self.loop.remove_reader(self.socket)
        self.socket.close()
        os.waitpid(self.pid, 0)


def _serve_frames(connection: socket.socket) -> None:
    """The worker's life; ends with the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    buffer = bytearray()
    try:
        while data := connection.recv(262144):
            buffer += data
            answers = [_frame(echo(body)) for body in _take_frames(buffer)]
            if answers:
                connection.sendall(b"".join(answers))
    finally:
        os._exit(0)


def _frame(body: bytes) -> bytes:
    payload = marshal.dumps(("score", body))
    return FRAME.pack(len(payload)) + payload


def _take_frames(buffer: bytearray) -> list[bytes]:
    """The bodies of the complete frames at the front, which are removed."""
    bodies, position = [], 0
    while len(buffer) - position >= FRAME.size:
        end = position + FRAME.size + FRAME.unpack_from(buffer, position)[0]
        if len(buffer) < end:
            break
        bodies.append(marshal.loads(bytes(buffer[position + FRAME.size : end]))[1])
        position = end
    del buffer[:position]
    return bodies


def _settle(future: asyncio.Future[bytes], answer: bytes) -> None:
    if not future.done():
        future.set_result(answer)


async def rate(make: Callable[[], Any], seconds: float, callers: int = CALLERS) -> float:
    """Calls a second of `callers` that each wait for their answer before they ask again."""
    way = make()
    started = time.perf_counter()

    async def caller() -> int:
        calls = 0
        while time.perf_counter() - started < seconds:
            assert await way.call(BODY) == BODY
            calls += 1
        return calls

    try:
        total = sum(await asyncio.gather(*(caller() for _ in range(callers))))
        return total / (time.perf_counter() - started)
    finally:
        way.close()


WAYS: dict[str, Callable[[], Any]] = {
    "run_in_executor, one thread": Executor,
    "owned thread, SimpleQueue": OwnedThread,
    "worker process, depth 1": lambda: WorkerProcess(1),
    "worker process, depth 8": lambda: WorkerProcess(8),
}


def main() -> None:
    try:
        loops = importlib.import_module("uvloop")
    except ImportError:
        loops = asyncio
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, make in WAYS.items():
            loop = loops.new_event_loop()
            rates[name].append(loop.run_until_complete(rate(make, SECONDS)))
            loop.close()
    print(f"calls a second, {CALLERS} callers, {len(BODY)} bytes, {loops.__name__}, median of {ROUNDS} rounds (spread)")
    for name, values in rates.items():
        found = spread(values)
        assert found is not None
        print(f"  {name:<30}{found.median:10,.0f}  ({found.low:,.0f}-{found.high:,.0f})")


if __name__ == "__main__":
    main()
