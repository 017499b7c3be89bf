"""Scores jobs in a worker whose run() is a coroutine function: as tasks of one event loop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator

from scoring_runtime.server import wire
from scoring_runtime.server.inputs import Job
from scoring_runtime.server.outputs import Answer
from scoring_runtime.server.runner import (
    INTERRUPT_SIGNAL,
    PAUSE_SECONDS,
    TIME_IS_OVER,
    Runner,
    ScoringTimeout,
    Slot,
    format_exception,
)
from scoring_runtime.server.streams import parts_of

__all__ = ["AsyncRunner"]

logger = logging.getLogger("azmlinfsrv")


class AsyncRunner(Runner):
    """`async def run`: tasks of one loop on the main thread, as many at a time as there are slots."""

    def run_forever(self) -> None:
        asyncio.run(self.serve())

    async def serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.free = list(self.slots)
        self.tasks: dict[asyncio.Task[None], Slot] = {}
        signal.signal(INTERRUPT_SIGNAL, lambda *_: self.interrupt())
        self.loop.add_reader(self.jobs, self.readable)
        while self.keep_going():
            self.beat()
            await asyncio.sleep(0.2)
        self.loop.remove_reader(self.jobs)
        while self.tasks:
            self.beat()
            await asyncio.wait(list(self.tasks), timeout=0.2)

    def interrupt(self) -> None:
        current = self.tasks.get(asyncio.current_task(self.loop))  # type: ignore[arg-type]
        if current is not None and current.interrupted():  # it blocks the loop, so no cancellation would reach it
            current.running = 0
            raise ScoringTimeout(TIME_IS_OVER)
        self.loop.call_soon_threadsafe(self.interrupt_tasks)

    def readable(self) -> None:
        if not self.free or not self.keep_going():
            return
        job = self.take(socket.MSG_DONTWAIT)
        if job is None:
            return
        slot = self.free.pop()
        slot.start(job.id)
        task = self.loop.create_task(self.score(job, slot))
        self.tasks[task] = slot
        task.add_done_callback(self.forget)
        if not self.free:
            self.loop.remove_reader(self.jobs)

    def forget(self, task: asyncio.Task[None]) -> None:
        slot = self.tasks.pop(task)
        slot.finish()
        if not self.free and self.keep_going():
            self.loop.add_reader(self.jobs, self.readable)
        self.free.append(slot)

    def interrupt_tasks(self) -> None:
        for task, slot in self.tasks.items():
            if slot.interrupted():
                slot.running = 0
                task.cancel(TIME_IS_OVER)

    async def score(self, job: Job, slot: Slot) -> None:
        start = time.perf_counter()
        try:
            arguments = self.inputs(job)
            start = time.perf_counter()
            slot.running = job.id
            try:
                result = await self.inputs.target(**arguments)
            finally:
                slot.running = 0
            elapsed_ms = (time.perf_counter() - start) * 1e3
        except BaseException as error:
            self.answer(job, self.failure(error), (time.perf_counter() - start) * 1e3)
            self.done(job)
            return
        try:
            answer = self.encode(result, elapsed_ms)
        except BaseException as error:
            answer = self.unwritable(error)
        if answer.stream is None:
            self.answer(job, answer, elapsed_ms)
        else:
            await self.stream(job, answer, answer.stream, elapsed_ms, slot)
        self.done(job)

    async def stream(
        self, job: Job, answer: Answer, pieces: Iterator[bytes] | AsyncIterator[bytes], elapsed_ms: float, slot: Slot
    ) -> None:
        start = time.perf_counter()
        source = pieces if isinstance(pieces, AsyncIterator) else one_by_one(pieces)
        begun = False
        slot.running = job.id  # the first piece has what is left of the time
        try:
            async for piece in source:
                slot.running = 0
                if not begun:
                    self.head(job, answer, elapsed_ms)
                    begun = True
                for part in parts_of([piece]):
                    while slot.paused(job.id):
                        await asyncio.sleep(PAUSE_SECONDS)
                    if slot.abandoned(job.id):
                        break
                    self.chunk(job, part)
                if slot.abandoned(job.id):
                    break
            slot.running = 0
            if not begun:
                self.head(job, answer, elapsed_ms)
        except BaseException as error:
            slot.running = 0
            if not begun:
                self.answer(job, self.failure(error), elapsed_ms)
                return
            logger.error("Encountered Exception: %s", format_exception(error))
            self.end(job, wire.BROKEN, elapsed_ms, start)
        else:
            self.end(job, wire.END, elapsed_ms, start)


async def one_by_one(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)
