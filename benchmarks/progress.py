"""Progress lines with the time gone and the time left; the plan is known before the first request."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["Progress"]


class Progress:
    """`planned_seconds` is the sum of all steps to come; each step says how much of it is now behind us."""

    def __init__(
        self,
        planned_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], object] = sys.stderr.write,
    ) -> None:
        self.planned = planned_seconds
        self.done = 0.0
        self.clock = clock
        self.write = write
        self.started = clock()

    def say(self, text: str) -> None:
        self.write(f"[{self._times()}] {text}\n")

    def step(self, seconds: float) -> None:
        self.done += seconds

    def _times(self) -> str:
        elapsed = self.clock() - self.started
        pace = elapsed / self.done if self.done > 0.05 * self.planned else 1.0
        left = max(0.0, self.planned - self.done) * pace
        return f"{_minutes(elapsed)} gone, about {_minutes(left)} left"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
