"""Brings every mini-batch of a plan to its commit: hands out, retries, kills what is stuck, replaces what has died."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from scoring_runtime.batch.assembly import check_columns
from scoring_runtime.batch.commits import Commit, Commits
from scoring_runtime.batch.handout import Handout, Task
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.logs import LogTree
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.batch.processes import Start
from scoring_runtime.batch.seats import Seat, wait_for
from scoring_runtime.batch.tally import Tally
from scoring_runtime.errors import BatchOutputError, BatchThresholdError, ScriptInitError, ScriptLoadError

__all__ = ["Dispatcher"]

TICK_SECONDS = 0.2


class Dispatcher:
    """The one thread that decides. It never reads data and never runs the script."""

    def __init__(
        self,
        job: Job,
        kind: str,
        commits: Commits,
        tally: Tally,
        logs: LogTree,
        start: Start,
        on_tick: Callable[[Tally], None],
    ) -> None:
        self._job = job
        self._kind = kind
        self._commits = commits
        self._tally = tally
        self._logs = logs
        self._start = start
        self._on_tick = on_tick
        self._seats: list[Seat] = []
        self._tasks: dict[int, Task] = {}
        self._init_failures = 0
        self._deaths: dict[int, str] = {}
        self._columns: tuple[str, ...] = ()

    def run(self, pending: Iterator[MiniBatch], processes: int) -> None:
        """Raises BatchThresholdError, and ScriptError if the script cannot be loaded or initialised."""
        self._handout = Handout(pending)
        if self._handout.is_empty():
            return
        try:
            for number in range(processes):
                self._seats.append(Seat(number, self._start(number)))
            while not self._handout.is_empty() or self._tasks:
                self._step()
            self._stop()
        finally:
            for seat in self._seats:
                seat.process.kill()
            for seat in self._seats:
                seat.process.ending()
                seat.process.connection.close()
            self._seats = []

    def _step(self) -> None:
        for seat in self._seats:
            self._feed(seat)
        self._listen()
        self._on_tick(self._tally)

    def _listen(self) -> None:
        nearest = min(map(self._deadline, self._seats)) - time.monotonic()
        for seat in wait_for(self._seats, min(TICK_SECONDS, max(0.0, nearest))):
            message = seat.receive()
            if message is None:
                self._replace(seat)
            else:
                getattr(self, f"_on_{message[0]}")(seat, *message[1:])
        for seat in self._seats:
            if time.monotonic() > self._deadline(seat):
                self._kill_stuck(seat)

    def _deadline(self, seat: Seat) -> float:
        return seat.deadline(self._job.run_timeout_seconds, self._job.read_timeout_seconds)

    def _feed(self, seat: Seat) -> None:
        """Keep one mini-batch ahead of the one that runs, two while there are plenty."""
        if not seat.ready or seat.stopping or any(self._tasks[index].alone for index in seat.orders):
            return
        while seat.waiting < (2 if self._handout.plenty else 1):
            task = self._handout.next_for(seat.number, idle=not seat.orders)
            if task is None:
                return
            self._tasks[task.batch.index] = task
            seat.hand(task.batch, task.tries + 1 >= self._job.max_tries)
            if task.alone:
                return

    def _stop(self) -> None:
        """Let every worker's shutdown() run, no longer than a run() may."""
        for seat in self._seats:
            seat.stop()
        until = time.monotonic() + self._job.run_timeout_seconds
        waiting = [seat for seat in self._seats if seat.ready]
        while waiting and time.monotonic() < until:
            for seat in wait_for(waiting, until - time.monotonic()):
                if seat.receive() is None:
                    waiting.remove(seat)

    # -- what workers report ------------------------------------------------------------------------------------------

    def _on_ready(self, seat: Seat, pid: int) -> None:
        seat.ready = True
        seat.process.pid = pid

    def _on_running(self, seat: Seat, index: int) -> None:
        seat.run_began(index)

    def _on_ran(self, seat: Seat, index: int) -> None:
        seat.run_ended()

    def _on_done(self, seat: Seat, index: int) -> None:
        batch = seat.orders.pop(index)
        commit = self._commits.read(batch)
        assert commit is not None, f"mini-batch {index} was reported as done without a commit"
        self._finished(commit)

    def _on_failed(self, seat: Seat, index: int, reason: str, traceback: str) -> None:
        if seat.running == index:  # not where its output could not be written, while the next one runs
            seat.run_ended()
        del seat.orders[index]
        self._failed(index, seat, reason, traceback)

    def _on_unwritable(self, seat: Seat, index: int, reason: str) -> None:
        """Not the mini-batch's doing: where trying again does not help, the run ends and can be continued."""
        task = self._tasks[index]
        if task.tries + 1 >= self._job.max_tries:
            raise BatchOutputError(self._job.output, reason)
        del seat.orders[index]
        self._failed(index, seat, f"its output cannot be written: {reason}")

    def _on_init_failed(self, seat: Seat, text: str, fatal: bool) -> None:
        if fatal:
            raise ScriptLoadError(text)
        self._init_failed(text)
        self._deaths[seat.number] = ""

    # -- what follows -------------------------------------------------------------------------------------------------

    def _finished(self, commit: Commit) -> None:
        del self._tasks[commit.index]
        self._tally.add(commit)
        self._logs.mini_batch(commit)
        if commit.payload_bytes:  # or hours later, when the table is put together
            self._columns = self._columns or commit.columns
            check_columns(self._columns, commit)
        crossed = self._tally.crossed(self._job)
        if crossed:
            raise BatchThresholdError(f"{crossed}. See errors.jsonl and logs/user/error.txt in {self._job.output}.")

    def _failed(self, index: int, seat: Seat, reason: str, traceback: str = "") -> None:
        task = self._tasks[index]
        tries = task.tries + 1
        self._logs.script_error(index, seat.name, tries, reason, traceback)
        if tries < self._job.max_tries:
            del self._tasks[index]
            self._handout.again(Task(task.batch, tries, task.alone))
        else:
            self._finished(self._commits.write_failure(task.batch, self._kind, reason))

    def _init_failed(self, text: str) -> None:
        self._init_failures += 1
        limit = 3 * len(self._seats)
        if self._init_failures >= limit:
            raise ScriptInitError(f"init() failed {self._init_failures} times, the last time with: {text}")

    def _kill_stuck(self, seat: Seat) -> None:
        seconds = f"{self._job.run_timeout_seconds:g} s"
        if seat.running is not None:
            self._deaths[seat.number] = f"run() took longer than {seconds} (run_invocation_timeout)"
        elif seat.ready:
            seconds = f"{self._job.read_timeout_seconds:g} s"
            self._deaths[seat.number] = f"reading its data, or writing its output, took longer than {seconds}"
        else:
            self._deaths[seat.number] = f"init() took longer than 3 x {seconds} + 30 s"
        seat.process.kill()
        self._replace(seat)

    def _replace(self, seat: Seat) -> None:
        """A worker has ended: find out whose fault it was, and put a new one in its place."""
        ending = seat.process.ending()
        seat.process.connection.close()
        reason = self._deaths.pop(seat.number, None)
        if not seat.ready:
            if reason != "":
                self._init_failed(reason or f"the process {ending}")
        else:
            self._settle(seat, reason, f"the process {ending}")
        fresh = Seat(seat.number, self._start(seat.number))
        self._seats[self._seats.index(seat)] = fresh

    def _settle(self, seat: Seat, stuck: str | None, ending: str) -> None:
        """What was in a dead worker's hands is done, or was its death, or may have been, or was only waiting."""
        open_ones = []
        for index, batch in seat.orders.items():
            commit = self._commits.read(batch)
            if commit is not None:
                self._finished(commit)
            else:
                open_ones.append(index)
        for index in open_ones:
            task = self._tasks[index]
            if index == seat.busy_with if stuck else len(open_ones) == 1:
                self._failed(index, seat, stuck or ending)
            else:
                del self._tasks[index]
                self._handout.again(Task(task.batch, task.tries, alone=not stuck))
