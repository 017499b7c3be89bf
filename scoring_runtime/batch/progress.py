"""The progress line on a terminal: how much, how fast, how long still."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from scoring_runtime.batch.tally import Tally

__all__ = ["ProgressBar", "ProgressOff", "clock_text", "line", "progress_on"]

REDRAW_SECONDS = 0.2
WIDTH = 24


class ProgressOff:
    """For pipes, files and --json."""

    def show(self, tally: Tally) -> None:
        pass

    def close(self) -> None:
        pass


class ProgressBar:
    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._drawn = float("-inf")
        self._at_start: int | None = None

    def show(self, tally: Tally) -> None:
        now = self._clock()
        if self._at_start is None:
            self._at_start = tally.succeeded + tally.failed
        if now - self._drawn < REDRAW_SECONDS and tally.done < tally.batches:
            return
        self._drawn = now
        filled = WIDTH * tally.done // max(1, tally.batches)
        text = line(tally, self._at_start, now - self._began)
        self._stream.write(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {text}\x1b[K")
        self._stream.flush()

    def close(self) -> None:
        self._stream.write("\n")
        self._stream.flush()


def line(tally: Tally, items_at_start: int, seconds: float) -> str:
    """For example `45 %  450/1,000 mini-batches  12,345 items/s  ETA 0:12  3 failed`."""
    items = tally.succeeded + tally.failed
    rate = (items - items_at_start) / seconds if seconds > 0 else 0.0
    left = tally.items - items
    eta = clock_text(left / rate) if rate > 0 else "-:--"
    failed = f"  {tally.failed:,} failed" if tally.failed else ""
    percent = 100 * tally.done // max(1, tally.batches)
    return f"{percent} %  {tally.done:,}/{tally.batches:,} mini-batches  {rate:,.0f} items/s  ETA {eta}{failed}"


def clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress_on(stream: TextIO, wanted: bool) -> ProgressBar | ProgressOff:
    return ProgressBar(stream) if wanted and stream.isatty() else ProgressOff()
