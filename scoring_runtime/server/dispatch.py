"""The queue: which request is where, and what becomes of it when its worker dies."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from scoring_runtime.errors import HeaderTooLong, Overloaded, RequestError, WorkerLost
from scoring_runtime.server import wire
from scoring_runtime.server.sender import AnswerFile
from scoring_runtime.server.watch import Watch, kill
from scoring_runtime.settings import Settings

if TYPE_CHECKING:
    from scoring_runtime.server.call import Body, Call

__all__ = ["Dispatcher"]

logger = logging.getLogger("azmlinfsrv")

READ_AHEAD = 8  # below the kernel's default of 10 datagrams in a queue
READ_AHEAD_MS = 10.0
MAX_LOSSES = 2  # workers that may die of one request before they begin it


class WorkerState:
    """What the front knows about one worker."""

    __slots__ = ("killed_at", "killed_for", "pid", "pidfd", "region", "status")

    def __init__(self, pid: int, region: int) -> None:
        self.pid = pid
        self.region = region
        self.pidfd = -1
        self.killed_at = 0.0
        self.killed_for = 0  # the job that it would not leave
        self.status: dict[str, Any] = {}  # what its script reports


class Orphan:
    """A run that an earlier front let begin: nobody waits for its answer, but it may be late, or never end."""

    streaming = disconnected = False

    def __init__(self, job: int) -> None:
        self.id = job
        self.timed_out_at = 0.0
        self.signalled_at = 0.0

    def fail(self, error: RequestError) -> None: ...


class Dispatcher:
    """Hands calls to workers through the kernel's queue, and answers for those that no worker answers."""

    def __init__(self, settings: Settings, channel: wire.Channel, table: wire.SlotTable) -> None:
        self.channel = channel
        self.table = table
        self.max_queue: int = settings.max_queue_length
        self.max_wait: float = settings.max_queue_wait_ms / 1000
        self.frame = bytearray(wire.FRAME_BYTES)  # for all results: so large a buffer each time can cost 15 µs
        self.waiting: deque[Call] = deque()
        self.flying: dict[int, Call] = {}  # sent to the workers and not yet reported back, answered or not
        self.workers: dict[int, WorkerState] = {}
        self.orphans: dict[int, Orphan] = {}
        self.unannounced: list[WorkerState] = []  # workers that an earlier front had, until they make themselves known
        self.style = ""
        self.documents: tuple[dict[str, bytes], list[str]] | None = None
        self.on_ready: Callable[[], None] = lambda: None
        self.run_ms = 100.0  # moving average; nothing is sent ahead before runs are known to be short
        self.next_id = time.monotonic_ns()  # so that answers to an earlier front's jobs are recognised as such
        self.watch = Watch(self, settings)
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
            pid, state = self.table.pid(region), self.table.state(region)
            if state == wire.DEAD:
                self.table.clear(region)
            elif state in (wire.SERVING, wire.LEAVING):
                self.adopt(pid, region)
                kill(pid, signal.SIGRTMIN + wire.ANNOUNCE_SIGNAL_OFFSET)
        self.watch.begin()

    def adopt(self, pid: int, region: int) -> None:
        """What runs there streams to nobody, and is held to its timeout all the same."""
        for slot in range(self.table.slots):
            job, _ = self.table.row(region, slot)
            if job:
                self.table.tell(region, slot, wire.PAUSED, 0)
                self.table.tell(region, slot, wire.ABANDONED, job)
                self.orphans[job] = Orphan(job)
        self.unannounced.append(WorkerState(pid, region))

    def tidy(self) -> None:
        """Regions of dead workers that this front never knew, or that it cleared before they were marked."""
        known = {worker.region for worker in self.workers.values()}
        for region in range(self.table.regions):
            if self.table.state(region) == wire.DEAD and region not in known:
                self.table.clear(region)

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
        late += sum(1 for orphan in self.orphans.values() if orphan.timed_out_at)
        return bool(self.workers) and late >= self.slots

    def retry_after(self) -> int:
        """Seconds until the queue of now is worked off, at the measured rate."""
        seconds = (self.queued + 1) * self.run_ms / 1000 / max(1, self.slots)
        return max(1, min(600, math.ceil(seconds)))

    def admit(self) -> None:
        """Raise Overloaded when there is no room for one more, before its body is read."""
        ahead = len(self.flying) - self.slots
        if ahead >= 0 and len(self.waiting) + ahead >= self.max_queue:
            self.counters["rejected"] += 1
            raise Overloaded(
                f"The service is overloaded: {self.queued} requests are waiting, {self.max_queue} may wait.",
                self.retry_after(),
            )

    # sending

    def room(self) -> bool:
        """As many as can run, plus a few when runs are so short that handing over costs more than waiting."""
        ahead = min(READ_AHEAD, int(READ_AHEAD_MS / max(self.run_ms, 0.01)))
        return len(self.flying) < self.slots + (ahead if self.workers else 0)

    def submit(self, call: Call) -> None:
        try:
            self.admit()  # once more: while its body came, others may have taken the room
        except Overloaded as refusal:
            call.fail(refusal)
            return
        call.expires = time.monotonic() + self.max_wait
        if self.waiting or not self.room() or not self.send(call):
            self.waiting.append(call)
        self.watch.begin()

    def send(self, call: Call) -> bool:
        self.next_id += 1
        call.id = self.next_id
        frame = wire.pack(call.job())
        if len(frame) > wire.FRAME_BYTES:
            call.fail(HeaderTooLong("The request's headers are too large."))
            return True
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
        if call.id not in self.flying:
            call.release()
        elif not self.abandon(call):
            self.recall()

    def begun(self, call: Call) -> bool:
        """Whether its run() goes on, or is about to: what was sent ahead begins later."""
        if call.id not in self.flying:
            return False
        return call.id in islice(self.flying, self.slots) or self.place_of(call.id) is not None

    def abandon(self, call: Call) -> bool:
        """Tell the worker that nobody reads what it streams, if one has this call."""
        place = self.place_of(call.id)
        if place is not None:
            self.table.tell(*place, wire.ABANDONED, call.id)
        return place is not None

    def recall(self) -> None:
        """Take back what no worker has taken yet, and send again what is still wanted."""
        calls = [self.flying.pop(job) for job, *_ in self.channel.take_back() if job in self.flying]
        for call in reversed(calls):
            if call.disconnected or call.answered:
                call.release()
            else:
                self.waiting.appendleft(call)
        self.pump()

    # receiving

    def readable(self) -> None:
        receive = self.channel.results_in.recvmsg_into
        frame = self.frame
        try:
            for _ in range(64):  # then let the loop see to its sockets
                _, ancillary, _, _ = receive((frame,), wire.ROOM_FOR_FD)
                self.received(wire.unpack(frame), wire.get_fd(ancillary[0][2])[0] if ancillary else -1)
        except BlockingIOError:
            pass
        if self.waiting:
            self.pump()

    def received(self, frame: tuple[Any, ...], fd: int) -> None:
        kind, job = frame[0], frame[1]
        if kind == wire.READY:
            self.worker_ready(*frame[1:4], *wire.unpack(wire.read_file(fd, frame[4])))
            os.close(fd)
            return
        call = self.flying.get(job)
        if kind == wire.RESULT:
            if call is not None:
                del self.flying[job]
                self.measured(frame[6])
                if not (call.answered or call.disconnected):
                    try:
                        body = self.body_of(call, frame[4], frame[5], fd)
                    except (EOFError, OSError):  # a script can cut the file that it finds among its descriptors
                        call.fail(WorkerLost("The worker's answer was cut before it came here."))
                    else:
                        call.answer(frame[2], frame[3], body, frame[7])
                call.release()
        elif call is None:
            pass
        elif kind == wire.HEAD:
            if call.answered or call.disconnected:  # it was late, or its client left before it began
                self.abandon(call)
            if not call.answered:
                call.begin_stream(frame[2], frame[3], frame[5])
        elif kind == wire.CHUNK:
            call.stream(frame[2])
        else:
            del self.flying[job]
            if kind == wire.END:
                self.measured(frame[2])
                call.end_stream()
            elif kind == wire.BROKEN:
                self.measured(frame[2])
                call.break_stream()
            elif not call.answered and not call.disconnected:  # the worker's clock was first to see that it expired
                self.watch.refuse(call)
            call.release()
        if fd >= 0:
            os.close(fd)

    def measured(self, elapsed_ms: float) -> None:
        self.run_ms += (elapsed_ms - self.run_ms) * 0.2

    def body_of(self, call: Call, where: int, body: Any, fd: int) -> Body:
        if where == wire.INLINE:
            return body  # type: ignore[no-any-return]
        if where == wire.OWN_FILE:
            return call.take_answer(body)
        return AnswerFile(fd, body) if body > wire.MAPPED_BYTES else wire.read_file(fd, body)

    def pause(self, call: Call, paused: bool) -> None:
        """A client reads its stream slowly: let the generator wait, and nobody else."""
        place = self.place_of(call.id)
        if place is not None:
            self.table.tell(*place, wire.PAUSED, call.id if paused else 0)

    # workers come and go

    def worker_ready(
        self, pid: int, region: int, style: str, documents: dict[str, bytes], supported: list[str], status: str
    ) -> None:
        if pid in self.workers:
            self.workers[pid].status = json.loads(status)
            return
        worker = self.workers[pid] = WorkerState(pid, region)
        worker.status = json.loads(status)
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
        self.watch.begin()

    def worker_died(self, worker: WorkerState) -> None:
        if worker.pidfd >= 0:
            self.loop.remove_reader(worker.pidfd)
            os.close(worker.pidfd)
        self.readable()  # what it said last
        self.workers.pop(worker.pid, None)
        self.watch.death_at = time.monotonic()
        if self.table.pid(worker.region) == worker.pid:  # else another one has its place by now
            self.mourn(worker)
        self.pump()

    def mourn(self, worker: WorkerState) -> None:
        """Answer for what ran there, and make room for another one."""
        for slot in range(self.table.slots):
            call = self.flying.pop(self.table.row(worker.region, slot)[0], None)
            if call is not None:
                self.counters["workers_lost"] += not call.answered
                call.fail(WorkerLost("The worker process that ran this request ended before it answered."))
                call.release()
        self.table.clear(worker.region)

    def resubmit(self, job: int, *, lost: bool = False) -> None:
        """A job that nobody has begun; `lost` with the worker that had taken it."""
        call = self.flying.pop(job)
        call.losses += lost
        if call.answered or call.disconnected:
            call.release()
        elif call.losses > MAX_LOSSES:
            self.counters["workers_lost"] += 1
            call.fail(WorkerLost(f"{call.losses} worker processes ended when they took this request."))
        else:
            self.waiting.appendleft(call)

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
