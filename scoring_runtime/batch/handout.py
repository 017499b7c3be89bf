"""Which mini-batch a worker gets next: in input order, a row group or compressed file to one worker, retries first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from scoring_runtime.batch.plan import MiniBatch

__all__ = ["Handout", "Task"]


@dataclass(frozen=True)
class Task:
    """A mini-batch, and the tries that it has had."""

    batch: MiniBatch
    tries: int = 0
    #: With nothing else in the worker's hands, so that a death is this mini-batch's own doing.
    alone: bool = False


class Handout:
    """The mini-batches that are still to do; holds a few, and leaves the rest in the plan."""

    def __init__(self, pending: Iterator[MiniBatch]) -> None:
        self._pending = pending
        self._ahead: MiniBatch | None = next(pending, None)
        self._lanes: dict[int, deque[MiniBatch]] = {}
        self._retries: deque[Task] = deque()
        self._suspects: deque[Task] = deque()

    def __repr__(self) -> str:
        new = "more in the plan" if self._ahead else "none in the plan"
        return f"<Handout {len(self._retries)} to retry, {len(self._suspects)} alone, {new}>"

    def is_empty(self) -> bool:
        return not (self._ahead or self._retries or self._suspects or any(self._lanes.values()))

    @property
    def plenty(self) -> bool:
        """Whether there is so much that a worker may be handed more than it needs at once."""
        return self._ahead is not None

    def again(self, task: Task) -> None:
        (self._suspects if task.alone else self._retries).append(task)

    def next_for(self, seat: int, *, idle: bool) -> Task | None:
        """A worker's next task; `idle` if it holds none."""
        if idle and self._suspects:
            return self._suspects.popleft()
        if self._retries:
            return self._retries.popleft()
        lane = self._lanes.setdefault(seat, deque())
        if not lane:
            self._refill(lane)
        if lane:
            return Task(lane.popleft())
        self._share_longest(lane)
        return Task(lane.popleft()) if lane else None

    def _share_longest(self, lane: deque[MiniBatch]) -> None:
        """The second half of what another worker has before it: going on in a file costs less than going back."""
        longest = max(self._lanes.values(), key=len)
        for _ in range((len(longest) + 1) // 2):
            lane.appendleft(longest.pop())

    def _refill(self, lane: deque[MiniBatch]) -> None:
        """The next mini-batch, with all the others of its row group."""
        first = self._ahead
        while self._ahead is not None:
            lane.append(self._ahead)
            self._ahead = next(self._pending, None)
            if self._ahead is None or first is None or first.group is None or self._ahead.group != first.group:
                return
