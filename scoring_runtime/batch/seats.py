"""The places of worker processes: what each is busy with, and since when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.batch.processes import Process, name_of

__all__ = ["Seat", "wait_for"]

INIT_GRACE_SECONDS = 30.0


class Seat:
    """A place for one worker at a time, and what the worker in it is busy with."""

    def __init__(self, number: int, process: Process) -> None:
        self.number = number
        self.name = name_of(number)
        self.process = process
        self.started = time.monotonic()
        self.ready = False
        self.stopping = False
        #: Handed over and not yet reported, in the order in which they will run.
        self.orders: dict[int, MiniBatch] = {}
        self.running: int | None = None
        self.since = self.started
        #: How many of the orders have not begun to run.
        self.waiting = 0

    def __repr__(self) -> str:
        state = f"running {self.running}" if self.running is not None else "ready" if self.ready else "starting"
        return f"<Seat {self.name} {state}, {len(self.orders)} handed over>"

    def hand(self, batch: MiniBatch, last_try: bool) -> None:
        if not self.orders:
            self.since = time.monotonic()
        self.orders[batch.index] = batch
        self.waiting += 1
        self.process.send("score", batch.to_line(), last_try)

    def run_began(self, index: int) -> None:
        if index != self.running:
            self.waiting -= 1
        self.running, self.since = index, time.monotonic()

    def run_ended(self) -> None:
        self.running, self.since = None, time.monotonic()

    @property
    def busy_with(self) -> int | None:
        """What is run; else what is read, as the first that has not begun; else what is written."""
        if self.running is not None or not self.orders:
            return self.running
        return list(self.orders)[-self.waiting if self.waiting else 0]

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            self.process.send("stop")

    def deadline(self, run_seconds: float, read_seconds: float) -> float:
        """When it has to have answered; init() may take three runs and half a minute, as under the original.

        Between runs it reads, or waits for what it writes.
        """
        if not self.ready:
            return self.started + 3 * run_seconds + INIT_GRACE_SECONDS
        if self.running is not None:
            return self.since + run_seconds
        return self.since + read_seconds if self.orders else float("inf")

    def receive(self) -> tuple[Any, ...] | None:
        """Its next message; None if it has ended."""
        try:
            message: tuple[Any, ...] = self.process.connection.recv()
        except (EOFError, OSError):
            return None
        return message


def wait_for(seats: Sequence[Seat], seconds: float) -> list[Seat]:
    """The seats with something to receive."""
    by_connection = {seat.process.connection: seat for seat in seats}
    return [by_connection[each] for each in wait(by_connection, seconds) if isinstance(each, Connection)]
