"""Results on their way to the disk: while some are made durable others gather, and then go together.

A sync waits for the disk, not for its bytes: ten files take little longer than one. How many gather follows from how
much faster run() is than the disk, up to a number and a size, at which run() has to wait.
"""

from __future__ import annotations

import threading

from scoring_runtime.batch.scorer import Scored

__all__ = ["Outbox"]

MOST = 32
MOST_BYTES = 16 * 1024 * 1024


class Outbox:
    """Filled by the thread that runs, emptied by the one that commits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Scored] = []
        self._bytes = 0
        self._closed = False

    def put(self, scored: Scored) -> None:
        """Waits while there is too much; one that is larger than all goes alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._has_room_for(scored))
            self._waiting.append(scored)
            self._bytes += len(scored.payload)
            self._changed.notify_all()

    def _has_room_for(self, scored: Scored) -> bool:
        return len(self._waiting) < MOST and self._bytes + len(scored.payload) <= MOST_BYTES

    def take(self) -> list[Scored]:
        """All that has gathered, at least one; nothing when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            taken, self._waiting, self._bytes = self._waiting, [], 0
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
