"""Scores jobs in a worker: one at a time on the main thread, or in several threads."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import iscoroutinefunction
from itertools import chain
from types import CoroutineType
from typing import Any

from scoring_runtime.errors import RequestError, ScriptFailed
from scoring_runtime.server import wire
from scoring_runtime.server.inputs import Inputs, Job
from scoring_runtime.server.outputs import INTERNAL_ERROR, SCRIPT_FAILED, Answer, Encoder, error_answer, message_json
from scoring_runtime.server.streams import drained, parts_of

__all__ = [
    "MainThreadRunner",
    "Runner",
    "ScoringTimeout",
    "Slot",
    "ThreadsRunner",
    "choose_runner",
    "format_exception",
]

logger = logging.getLogger("azmlinfsrv")

INTERRUPT_SIGNAL = signal.SIGRTMIN + wire.INTERRUPT_SIGNAL_OFFSET
PAUSE_SECONDS = 0.005
TIME_IS_OVER = "SCORING_TIMEOUT_MS is over"
put_word = wire.WORD.pack_into
put_clock = wire.CLOCK.pack_into


class ScoringTimeout(TimeoutError):
    """Raised inside run() when SCORING_TIMEOUT_MS is over."""


class Slot:
    """One row of the slot table: at most one run() at a time."""

    __slots__ = ("memory", "offset", "running", "thread_id")

    def __init__(self, table: wire.SlotTable, region: int, index: int) -> None:
        self.memory = table.memory
        self.offset = table.offset(region, index)
        self.running = 0  # the job whose run() may be interrupted now
        self.thread_id = 0

    def start(self, job_id: int) -> None:
        # The clock first: who sees the new job must not see an old time with it.
        put_clock(self.memory, self.offset + 8, time.monotonic())
        put_word(self.memory, self.offset, job_id)

    def finish(self) -> None:
        put_word(self.memory, self.offset, 0)

    def interrupted(self) -> bool:
        return self.running != 0 and self.word(wire.INTERRUPTED) == self.running

    def abandoned(self, job_id: int) -> bool:
        """The client has gone, so nobody reads what a stream still has to say."""
        return self.word(wire.ABANDONED) == job_id

    def paused(self, job_id: int) -> bool:
        return self.word(wire.PAUSED) == job_id and not self.abandoned(job_id)

    def word(self, offset: int) -> int:
        return wire.WORD.unpack_from(self.memory, self.offset + offset)[0]  # type: ignore[no-any-return]


class Runner:
    """What the three ways have in common: take a job, call run(), send the answer."""

    def __init__(
        self,
        channel: wire.Channel,
        slots: list[Slot],
        inputs: Inputs,
        encode: Encoder,
        beat: Callable[[], None],
        keep_going: Callable[[], bool],
    ) -> None:
        self.jobs = channel.jobs_out
        self.results = channel.results_out
        self.slots = slots
        self.inputs = inputs
        self.encode = encode
        self.beat = beat
        self.keep_going = keep_going
        self.mappings = wire.Mappings()
        self.served = 0

    def run_forever(self) -> None:
        raise NotImplementedError

    # taking

    def take(self, flags: int = 0) -> Job | None:
        """The next job, or None when there was none for half a second, or it is of no use any more."""
        try:
            frame, ancillary, _, _ = self.jobs.recvmsg(wire.FRAME_BYTES, wire.ROOM_FOR_FD, flags)
        except BlockingIOError:
            return None
        fields = wire.unpack(frame)
        if not fields[0]:
            return None
        fd = wire.get_fd(ancillary[0][2])[0] if ancillary else -1
        if time.monotonic() > fields[1]:  # it waited too long, and was answered 503
            self.send((wire.SKIPPED, fields[0]))
            if fd >= 0:
                os.close(fd)
            return None
        return Job(fields, fd, self.mappings.of(fields[5], fd) if fd >= 0 else None)

    # answering

    def send(self, frame: tuple[Any, ...]) -> None:
        self.results.send(wire.pack(frame))

    def answer(self, job: Job, answer: Answer, elapsed_ms: float) -> None:
        body = answer.body
        if len(body) <= wire.INLINE_BYTES:
            self.send((wire.RESULT, job.id, answer.status, answer.head, wire.INLINE, body, elapsed_ms, answer.own_ids))
        elif job.fd >= 0:
            size = len(body)
            if job.memory is not None and size <= wire.MAPPED_BYTES:
                job.memory[:size] = body
            else:
                wire.write_file([body], job.fd)
            self.send(
                (wire.RESULT, job.id, answer.status, answer.head, wire.OWN_FILE, size, elapsed_ms, answer.own_ids)
            )
        else:
            fd = wire.write_file([body])
            where = (wire.SENT_FILE, len(body))
            frame = (wire.RESULT, job.id, answer.status, answer.head, *where, elapsed_ms, answer.own_ids)
            wire.attach(self.results, wire.pack(frame), fd)
            os.close(fd)

    def head(self, job: Job, answer: Answer, elapsed_ms: float) -> None:
        self.send((wire.HEAD, job.id, answer.status, answer.head, elapsed_ms, answer.own_ids))

    def chunk(self, job: Job, piece: bytes) -> None:
        self.send((wire.CHUNK, job.id, piece))

    def end(self, job: Job, kind: int, elapsed_ms: float, start: float) -> None:
        """Of a stream, with the time that it had its slot for."""
        self.send((kind, job.id, elapsed_ms + (time.perf_counter() - start) * 1e3))

    def done(self, job: Job) -> None:
        self.served += 1
        job.close()
        if job.fd >= 0:
            os.close(job.fd)

    # failing

    def failure(self, error: BaseException) -> Answer:
        """What the client gets to see; the log has the rest."""
        if isinstance(error, RequestError):
            return error_answer(error)
        logger.error("Encountered Exception: %s", format_exception(error))
        return error_answer(ScriptFailed(SCRIPT_FAILED))

    def unwritable(self, error: BaseException) -> Answer:
        logger.error("Encountered Exception: %s", format_exception(error))
        body = message_json(INTERNAL_ERROR)
        return Answer(500, ERROR_HEAD % (len(body), b"False"), body)


ERROR_HEAD = b"Content-Type: application/json\r\nContent-Length: %d\r\nx-ms-run-function-failed: %s\r\n"


def format_exception(error: BaseException) -> str:
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next  # begin where the script begins
    return "".join(traceback.format_exception(type(error), error, trace))


class MainThreadRunner(Runner):
    """The default: run() has the main thread to itself, as scripts expect."""

    def run_forever(self) -> None:
        slot = self.slots[0]
        signal.signal(INTERRUPT_SIGNAL, lambda *_: self.interrupt(slot))
        signal.siginterrupt(INTERRUPT_SIGNAL, True)
        while self.keep_going():
            self.beat()
            job = self.take()
            if job is not None:
                slot.start(job.id)
                self.score(job, slot)
                slot.finish()
                self.done(job)

    def interrupt(self, slot: Slot) -> None:
        if slot.interrupted():
            slot.running = 0
            raise ScoringTimeout(TIME_IS_OVER)

    def score(self, job: Job, slot: Slot) -> None:
        start = time.perf_counter()
        try:
            try:
                arguments = self.inputs(job)
                start = time.perf_counter()
                slot.running = job.id
                result = self.inputs.target(**arguments)
                if isinstance(result, CoroutineType):  # an async run() behind a decorator that hides it
                    import asyncio

                    result = asyncio.run(result)
                elapsed_ms = (time.perf_counter() - start) * 1e3
            finally:
                self.settle(slot)
        except BaseException as error:
            self.answer(job, self.failure(error), (time.perf_counter() - start) * 1e3)
            return
        self.reply(job, result, elapsed_ms, slot)

    def settle(self, slot: Slot) -> None:
        """From here on nothing interrupts this job."""
        slot.running = 0

    def watch_over(self, job: Job, slot: Slot) -> None:
        """run() is over, its first piece is still to come, and has what is left of the time."""
        slot.running = job.id
        if slot.interrupted():
            raise ScoringTimeout(TIME_IS_OVER)

    def reply(self, job: Job, result: Any, elapsed_ms: float, slot: Slot) -> None:
        try:
            answer = self.encode(result, elapsed_ms)
        except BaseException as error:
            answer = self.unwritable(error)
        if answer.stream is None:
            self.answer(job, answer, elapsed_ms)
        else:
            self.stream(job, answer, answer.stream, elapsed_ms, slot)

    def stream(
        self, job: Job, answer: Answer, pieces: Iterator[bytes] | AsyncIterator[bytes], elapsed_ms: float, slot: Slot
    ) -> None:
        """Each piece is sent when it is there; the first one decides whether there is an answer at all."""
        start = time.perf_counter()
        if isinstance(pieces, AsyncIterator):
            pieces = drained(pieces)
        try:
            try:
                self.watch_over(job, slot)
                first = next(pieces, None)
            finally:
                self.settle(slot)
        except BaseException as error:
            self.answer(job, self.failure(error), elapsed_ms)
            return
        self.head(job, answer, elapsed_ms)
        try:
            for part in parts_of(chain([] if first is None else [first], pieces)):
                self.beat()
                while slot.paused(job.id):
                    time.sleep(PAUSE_SECONDS)
                    self.beat()
                if slot.abandoned(job.id):
                    break
                self.chunk(job, part)
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            logger.error("Encountered Exception: %s", format_exception(error))
            self.end(job, wire.BROKEN, elapsed_ms, start)
        else:
            self.end(job, wire.END, elapsed_ms, start)


class ThreadsRunner(MainThreadRunner):
    """SCORING_MAX_CONCURRENT_REQUESTS > 1: each thread takes jobs for itself; the main thread keeps watch."""

    def run_forever(self) -> None:
        self.lock = threading.RLock()  # a signal may come while its predecessor is being handled
        signal.signal(INTERRUPT_SIGNAL, lambda *_: self.interrupt_threads())
        threads = [
            threading.Thread(target=self.serve, args=(slot,), name=f"scoring-{n}", daemon=True)
            for n, slot in enumerate(self.slots)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.beat()
            threads[0].join(0.5)
            for thread in threads[1:]:
                if not self.keep_going():
                    thread.join(0.5)

    def serve(self, slot: Slot) -> None:
        slot.thread_id = threading.get_ident()
        while self.keep_going():
            job = self.take()
            if job is not None:
                slot.start(job.id)
                self.score(job, slot)
                slot.finish()
                self.done(job)

    def settle(self, slot: Slot) -> None:
        """An interruption that was sent and has not arrived must arrive nowhere: the next job is not its own."""
        while True:
            try:
                with self.lock:
                    slot.running = 0
                raise_in(slot.thread_id, None)
                return
            except ScoringTimeout:
                continue

    def interrupt_threads(self) -> None:
        with self.lock:
            for slot in self.slots:
                if slot.interrupted():
                    slot.running = 0
                    raise_in(slot.thread_id, ScoringTimeout)


def raise_in(thread_id: int, error: type[BaseException] | None) -> None:
    """Raise it in that thread at its next step; None takes back what has not been raised yet."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), None if error is None else ctypes.py_object(error)
    )


def choose_runner(run: Callable[..., Any], slots: int) -> type[Runner]:
    if iscoroutinefunction(run):
        from scoring_runtime.server.async_runner import AsyncRunner

        return AsyncRunner
    return MainThreadRunner if slots == 1 else ThreadsRunner
