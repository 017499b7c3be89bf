"""The queue: which request is where, when it has waited or run too long, and what becomes of it when a worker dies."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scoring_runtime.errors import Overloaded, RequestError, ScriptTimedOut, WorkerLost
from scoring_runtime.server import wire
from scoring_runtime.settings import Settings

if TYPE_CHECKING:
    from scoring_runtime.server.call import Call

__all__ = ["Dispatcher"]

logger = logging.getLogger("azmlinfsrv")

TICK_SECONDS = 0.02
READ_AHEAD = 8  # below the kernel's default of 10 datagrams in a queue
READ_AHEAD_MS = 1.0
LOST_SECONDS = 0.25
ROOM_FOR_FD = socket.CMSG_SPACE(4)
get_fd = struct.Struct("i").unpack_from


class WorkerState:
    """What the front knows about one worker."""

    __slots__ = ("killed_at", "pid", "pidfd", "region")

    def __init__(self, pid: int, region: int) -> None:
        self.pid = pid
        self.region = region
        self.pidfd = -1
        self.killed_at = 0.0


class Dispatcher:
    """Hands calls to workers through the kernel's queue, and answers for those that no worker answers."""

    def __init__(self, settings: Settings, channel: wire.Channel, table: wire.SlotTable) -> None:
        self.channel = channel
        self.table = table
        self.timeout_ms: int = settings.scoring_timeout_ms
        self.grace_seconds: float = settings.stuck_grace_ms / 1000
        self.max_queue: int = settings.max_queue_length
        self.max_wait: float = settings.max_queue_wait_ms / 1000
        self.waiting: deque[Call] = deque()
        self.flying: dict[int, Call] = {}  # sent to the workers and not yet reported back, answered or not
        self.workers: dict[int, WorkerState] = {}
        self.style = ""
        self.documents: tuple[dict[str, bytes], list[str]] | None = None
        self.on_ready: Callable[[], None] = lambda: None
        self.run_ms = 5.0  # moving average
        self.next_id = time.monotonic_ns()  # so that answers to an earlier front's jobs are recognised as such
        self.death_at = -math.inf
        self.suspects: dict[int, float] = {}
        self.ticking: asyncio.TimerHandle | None = None
        self.completed = 0
        self.counters = {"timeouts": 0, "rejected": 0, "workers_lost": 0, "gone": 0}

    def __repr__(self) -> str:
        return f"<Dispatcher {self.busy}/{self.slots} busy, {self.queued} waiting>"

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.channel.results_in.setblocking(False)
        loop.add_reader(self.channel.results_in, self.readable)
        self.inherit()

    def inherit(self) -> None:
        """After an earlier front died: its jobs are nobody's any more, its workers are to make themselves known."""
        self.channel.take_back()
        for region in range(self.table.regions):
            pid, state = self.table.header(region)
            if state == wire.DEAD:
                self.table.clear(region)
            elif state in (wire.SERVING, wire.LEAVING):
                kill(pid, signal.SIGRTMIN + wire.ANNOUNCE_SIGNAL_OFFSET)

    # what the rest of the server asks

    @property
    def slots(self) -> int:
        return len(self.workers) * self.table.slots

    @property
    def busy(self) -> int:
        return min(len(self.flying), self.slots)

    @property
    def queued(self) -> int:
        return len(self.waiting) + max(0, len(self.flying) - self.slots)

    @property
    def stuck(self) -> bool:
        """Every slot is held by a run() that is past its deadline."""
        late = sum(1 for call in self.flying.values() if call.timed_out_at)
        return bool(self.workers) and late >= self.slots

    def retry_after(self) -> int:
        """Seconds until the queue of now is worked off, at the measured rate."""
        seconds = (self.queued + 1) * self.run_ms / 1000 / max(1, self.slots)
        return max(1, min(600, math.ceil(seconds)))

    def admit(self) -> None:
        """Raise Overloaded when there is no room for one more, before its body is read."""
        if len(self.waiting) >= self.max_queue and (self.waiting or not self.room()):
            self.counters["rejected"] += 1
            raise Overloaded(
                f"The service is overloaded: {self.queued} requests are waiting, {self.max_queue} may wait.",
                self.retry_after(),
            )

    # sending

    def room(self) -> bool:
        """As many as can run, plus a few when runs are so short that handing them over would cost more than the wait."""
        ahead = min(READ_AHEAD, int(READ_AHEAD_MS / max(self.run_ms, 0.01)))
        return len(self.flying) < self.slots + (ahead if self.workers else 0)

    def submit(self, call: Call) -> None:
        call.expires = time.monotonic() + self.max_wait
        if self.waiting or not self.room() or not self.send(call):
            self.waiting.append(call)
        if self.ticking is None:
            self.ticking = self.loop.call_later(TICK_SECONDS, self.tick)

    def send(self, call: Call) -> bool:
        self.next_id += 1
        call.id = self.next_id
        frame = wire.pack((call.id, call.expires, *call.job()))
        try:
            if call.fd >= 0:
                wire.attach(self.channel.jobs_in, frame, call.fd, socket.MSG_DONTWAIT)
            else:
                self.channel.jobs_in.send(frame, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        self.flying[call.id] = call
        return True

    def pump(self) -> None:
        while self.waiting and self.room():
            call = self.waiting.popleft()
            if not self.send(call):
                self.waiting.appendleft(call)
                return

    def gone(self, call: Call) -> None:
        """The client has left: out of the queue, or nobody reads the answer."""
        self.counters["gone"] += 1
        try:
            self.waiting.remove(call)
        except ValueError:
            pass
        if call.id in self.flying:
            place = self.place_of(call.id)
            if place is not None:
                self.table.tell(*place, wire.ABANDONED, call.id)

    # receiving

    def readable(self) -> None:
        receive = self.channel.results_in.recvmsg
        try:
            for _ in range(64):  # then let the loop see to its sockets
                frame, ancillary, _, _ = receive(wire.FRAME_BYTES, ROOM_FOR_FD)
                self.received(wire.unpack(frame), get_fd(ancillary[0][2])[0] if ancillary else -1)
        except BlockingIOError:
            pass
        if self.waiting:
            self.pump()

    def received(self, frame: tuple[Any, ...], fd: int) -> None:
        kind, job = frame[0], frame[1]
        if kind == wire.READY:
            self.worker_ready(*frame[1:])
            return
        call = self.flying.get(job)
        if kind == wire.RESULT:
            if call is not None:
                del self.flying[job]
                self.completed += 1
                self.run_ms += (frame[6] - self.run_ms) * 0.05
                if not call.answered:
                    call.answer(frame[2], frame[3], self.body_of(call, frame[4], frame[5], fd), frame[7])
                call.release()
        elif call is None:
            pass
        elif kind == wire.HEAD:
            if not call.answered:
                call.begin_stream(frame[2], frame[3], frame[5])
        elif kind == wire.CHUNK:
            call.stream(frame[2])
        else:
            del self.flying[job]
            if kind == wire.END:
                call.end_stream()
            elif kind == wire.BROKEN:
                call.break_stream()
            call.release()
        if fd >= 0:
            os.close(fd)

    def body_of(self, call: Call, where: int, body: Any, fd: int) -> bytes:
        if where == wire.INLINE:
            return body  # type: ignore[no-any-return]
        return wire.read_file(call.fd if where == wire.OWN_FILE else fd, body)

    def pause(self, call: Call, paused: bool) -> None:
        """A client reads its stream slowly: let the generator wait, and nobody else."""
        place = self.place_of(call.id)
        if place is not None:
            self.table.tell(*place, wire.PAUSED, call.id if paused else 0)

    # workers come and go

    def worker_ready(self, pid: int, region: int, style: str, documents: dict[str, bytes], supported: list[str]) -> None:
        if pid in self.workers:
            return
        worker = self.workers[pid] = WorkerState(pid, region)
        self.style = style
        self.documents = (documents, supported)
        try:
            worker.pidfd = os.pidfd_open(pid)
        except (OSError, AttributeError):
            pass  # an older kernel: tick() notices by the slot table
        else:
            self.loop.add_reader(worker.pidfd, self.worker_died, worker)
        self.on_ready()
        self.pump()
        if self.ticking is None:
            self.ticking = self.loop.call_later(TICK_SECONDS, self.tick)

    def worker_died(self, worker: WorkerState) -> None:
        if worker.pidfd >= 0:
            self.loop.remove_reader(worker.pidfd)
            os.close(worker.pidfd)
        self.readable()  # what it said last
        self.workers.pop(worker.pid, None)
        self.death_at = time.monotonic()
        for slot in range(self.table.slots):
            call = self.flying.pop(self.table.row(worker.region, slot)[0], None)
            if call is not None:
                self.counters["workers_lost"] += 1
                call.fail(WorkerLost("The worker process that ran this request ended before it answered."))
                call.release()
        self.table.clear(worker.region)
        self.pump()

    def resubmit(self, job: int) -> None:
        """A job that a worker took but died before it started."""
        call = self.flying.pop(job)
        if call.answered:
            call.release()
        else:
            self.waiting.appendleft(call)

    # time

    def tick(self) -> None:
        """Every 20 ms while there is something to watch."""
        self.ticking = None
        now = time.monotonic()
        started = self.watch_running(now)
        self.watch_waiting(now, started)
        if now - self.death_at < 2:
            self.watch_lost(now, started)
        if self.flying or self.waiting or now - self.death_at < 2:
            self.ticking = self.loop.call_later(TICK_SECONDS, self.tick)

    def watch_running(self, now: float) -> set[int]:
        started = set()
        for worker in list(self.workers.values()):
            if worker.pidfd < 0 and self.table.header(worker.region) != (worker.pid, wire.SERVING) and gone(worker.pid):
                self.worker_died(worker)
                continue
            for slot in range(self.table.slots):
                job, since = self.table.row(worker.region, slot)
                call = self.flying.get(job)
                if call is None:
                    continue
                started.add(job)
                if call.timed_out_at:
                    self.watch_stuck(worker, slot, call, now)
                elif self.timeout_ms and not call.streaming and (now - since) * 1000 >= self.timeout_ms:
                    self.time_out(worker, slot, call, now)
        return started

    def time_out(self, worker: WorkerState, slot: int, call: Call, now: float) -> None:
        self.counters["timeouts"] += 1
        call.timed_out_at = call.signalled_at = now
        self.interrupt(worker, slot, call)
        call.fail(ScriptTimedOut(self.timeout_ms))

    def interrupt(self, worker: WorkerState, slot: int, call: Call) -> None:
        self.table.tell(worker.region, slot, wire.INTERRUPTED, call.id)
        kill(worker.pid, signal.SIGRTMIN + wire.INTERRUPT_SIGNAL_OFFSET)

    def watch_stuck(self, worker: WorkerState, slot: int, call: Call, now: float) -> None:
        """A run() that ignores its timeout: remind it, and after the grace period have its worker replaced."""
        if worker.killed_at:
            if now - worker.killed_at > 0.3:
                kill(worker.pid, signal.SIGKILL)
        elif now - call.timed_out_at >= self.grace_seconds:
            logger.error(
                "run() in the worker with pid %s goes on %.0f s after its timeout; the worker is replaced. It is here:",
                *(worker.pid, now - call.timed_out_at),
            )
            kill(worker.pid, signal.SIGRTMIN + wire.WHERE_SIGNAL_OFFSET)
            worker.killed_at = now
        elif now - call.signalled_at >= 1:
            call.signalled_at = now
            self.interrupt(worker, slot, call)

    def watch_waiting(self, now: float, started: set[int]) -> None:
        while self.waiting and self.waiting[0].expires < now:
            self.refuse(self.waiting.popleft())
        if len(self.flying) > len(started):
            for call in list(self.flying.values()):
                if call.id not in started and call.expires < now and not call.answered and not call.streaming:
                    self.refuse(call)

    def refuse(self, call: Call) -> None:
        self.counters["rejected"] += 1
        waited = f"{self.max_wait * 1000:.0f} ms"
        call.fail(Overloaded(f"The service is overloaded: no slot became free in {waited}.", self.retry_after()))

    def watch_lost(self, now: float, started: set[int]) -> None:
        """After a death: a job that is in no queue and in no slot was taken by the dead one, and had not started."""
        missing = self.flying.keys() - started
        if missing:
            for job in self.channel.take_back():
                if job[0] in missing:
                    missing.discard(job[0])
                    self.suspects.pop(job[0], None)
                    self.resubmit(job[0])
        self.suspects = {job: self.suspects.get(job, now) for job in missing}
        for job, since in list(self.suspects.items()):
            if now - since > LOST_SECONDS:
                del self.suspects[job]
                self.resubmit(job)
        self.pump()

    def place_of(self, job: int) -> tuple[int, int] | None:
        for worker in self.workers.values():
            for slot in range(self.table.slots):
                if self.table.row(worker.region, slot)[0] == job:
                    return worker.region, slot
        return None

    def fail_all(self, error: RequestError) -> None:
        """The grace period is over: nobody is left without an answer."""
        for call in [*self.waiting, *self.flying.values()]:
            if not call.answered:
                call.fail(error)
        self.waiting.clear()


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
