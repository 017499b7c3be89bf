"""Time: what runs too long, what waits too long, what got lost, and who must go for it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import time
from typing import TYPE_CHECKING

from scoring_runtime.errors import Overloaded, ScriptTimedOut
from scoring_runtime.server import wire
from scoring_runtime.settings import Settings

if TYPE_CHECKING:
    from scoring_runtime.server.call import Call
    from scoring_runtime.server.dispatch import Dispatcher, Orphan, WorkerState

__all__ = ["Watch", "kill"]

logger = logging.getLogger("azmlinfsrv")

TICK_SECONDS = 0.02
LOST_SECONDS = 0.25
SPEAK_SECONDS = 0.1
SAY_WHERE_SECONDS = 0.3
AFTER_DEATH_SECONDS = 2.0


class Watch:
    """Looks at the slot table every 20 ms, as long as there is something to watch; no timer a request."""

    def __init__(self, dispatcher: Dispatcher, settings: Settings) -> None:
        self.dispatcher = dispatcher
        self.timeout_ms: int = settings.scoring_timeout_ms
        self.grace_seconds: float = settings.stuck_grace_ms / 1000
        self.patience: float = settings.scoring_timeout_ms / 1000 or math.inf
        self.death_at = -math.inf
        self.suspects: dict[int, float] = {}
        self.timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self.timer is None:
            self.timer = self.dispatcher.loop.call_later(TICK_SECONDS, self.tick)

    def tick(self) -> None:
        self.timer = None
        now = time.monotonic()
        started = self.running(now)
        self.waiting(now, started)
        bereaved = now - self.death_at < AFTER_DEATH_SECONDS or bool(self.suspects)
        if bereaved:
            self.lost(now, started)
        if self.dispatcher.flying or self.dispatcher.waiting or self.dispatcher.orphans or bereaved:
            self.begin()

    def running(self, now: float) -> set[int]:
        started = set()
        orphans = self.dispatcher.orphans
        unannounced = (
            [w for w in self.dispatcher.unannounced if w.pid not in self.dispatcher.workers] if orphans else []
        )
        for worker in [*self.dispatcher.workers.values(), *unannounced]:
            if worker.pidfd < 0 and gone(worker.pid):
                self.dispatcher.worker_died(worker)
                continue
            for slot in range(self.dispatcher.table.slots):
                job, since = self.dispatcher.table.row(worker.region, slot)
                call = self.dispatcher.flying.get(job) or orphans.get(job)
                if call is None:
                    continue
                started.add(job)
                if call.timed_out_at:
                    self.stuck(worker, slot, call, now)
                elif call.streaming and call.disconnected:  # it is told with its next piece, if one comes
                    call.timed_out_at = call.signalled_at = now
                elif self.timeout_ms and not call.streaming and (now - since) * 1000 >= self.timeout_ms:
                    self.time_out(worker, slot, call, now)
        for job in orphans.keys() - started:
            del orphans[job]
        return started

    def time_out(self, worker: WorkerState, slot: int, call: Call | Orphan, now: float) -> None:
        self.dispatcher.counters["timeouts"] += 1
        call.timed_out_at = call.signalled_at = now
        self.interrupt(worker, slot, call)
        call.fail(ScriptTimedOut(self.timeout_ms))

    def interrupt(self, worker: WorkerState, slot: int, call: Call | Orphan) -> None:
        self.dispatcher.table.tell(worker.region, slot, wire.INTERRUPTED, call.id)
        kill(worker.pid, signal.SIGRTMIN + wire.INTERRUPT_SIGNAL_OFFSET)

    def stuck(self, worker: WorkerState, slot: int, call: Call | Orphan, now: float) -> None:
        """A run() that ignores its timeout: remind it, and after the grace period have its worker replaced."""
        table = self.dispatcher.table
        # Of several slots one is enough: the worker leaves, whatever becomes of the others.
        if worker.killed_for == call.id or (worker.killed_for and table.slots > 1):
            waited = now - worker.killed_at
            if waited > SAY_WHERE_SECONDS and (waited > self.patience or not self.others(worker)):
                kill(worker.pid, signal.SIGKILL)
        elif now - call.timed_out_at >= self.grace_seconds:
            logger.error(
                "run() in the worker with pid %s goes on %.0f s past its end; the worker is replaced. It is here:",
                *(worker.pid, now - call.timed_out_at),
            )
            kill(worker.pid, signal.SIGRTMIN + wire.WHERE_SIGNAL_OFFSET)
            if table.slots > 1:  # what runs beside it ends in peace, while a successor starts
                table.occupy(worker.region, worker.pid, wire.LEAVING)
                kill(worker.pid, signal.SIGTERM)
            worker.killed_at = now
            worker.killed_for = call.id
        elif now - call.signalled_at >= 1:
            call.signalled_at = now
            self.interrupt(worker, slot, call)

    def others(self, worker: WorkerState) -> bool:
        """Whether something runs there that has not used up its time."""
        jobs = (self.dispatcher.table.row(worker.region, slot)[0] for slot in range(self.dispatcher.table.slots))
        calls = (self.dispatcher.flying.get(job) for job in jobs)
        return any(call is not None and not call.timed_out_at for call in calls)

    def waiting(self, now: float, started: set[int]) -> None:
        while self.dispatcher.waiting and self.dispatcher.waiting[0].expires < now:
            self.refuse(self.dispatcher.waiting.popleft())
        if len(self.dispatcher.flying) > len(started):
            for call in list(self.dispatcher.flying.values()):
                if call.id not in started and call.expires < now and not call.answered and not call.streaming:
                    self.refuse(call)

    def refuse(self, call: Call) -> None:
        self.dispatcher.counters["rejected"] += 1
        waited = f"{self.dispatcher.max_wait * 1000:.0f} ms"
        if self.dispatcher.style:
            why = f"The service is overloaded: no slot became free in {waited}."
        else:
            why = f"The service is starting: init() did not finish in {waited}."
        call.fail(Overloaded(why, self.dispatcher.retry_after()))

    def lost(self, now: float, started: set[int]) -> None:
        """After a death: a job that is in no queue and in no slot was taken by the dead one, and had not started.

        Unless a living worker has it, and does not get to say so while C code holds its interpreter's lock.
        """
        missing = self.dispatcher.flying.keys() - started
        if missing:
            for job, *_ in self.dispatcher.channel.take_back():
                if job in missing:
                    missing.discard(job)
                    self.suspects.pop(job, None)
                    self.dispatcher.resubmit(job)
        self.suspects = {job: self.suspects.get(job, now) for job in missing}
        for job, since in list(self.suspects.items()):
            if now - since > LOST_SECONDS and all(self.has_spoken(w, since) for w in self.dispatcher.workers.values()):
                del self.suspects[job]
                self.dispatcher.resubmit(job, lost=True)
        self.dispatcher.pump()

    def has_spoken(self, worker: WorkerState, since: float) -> bool:
        """Whether it has had the time to begin what it took: its slots are full, or its heart has beaten."""
        table = self.dispatcher.table
        full = all(table.row(worker.region, slot)[0] for slot in range(table.slots))
        return full or table.heartbeat(worker.region) > since + SPEAK_SECONDS


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
