"""How far a copy is: a bar on a terminal, now and then a line elsewhere, nothing for what is done at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from scoring_runtime.batch.progress import clock_text

__all__ = ["CopyBar"]

REDRAW_SECONDS = 0.2
LINE_SECONDS = 5.0
WIDTH = 24


class CopyBar:
    """Told bytes done and bytes in all. `with CopyBar(...)` ends its line."""

    def __init__(self, stream: TextIO, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.quiet, self.clock = stream, quiet, clock
        self.terminal = stream.isatty()
        self.began = self.shown = clock()
        self.drawn = False

    def __enter__(self) -> CopyBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.drawn and self.terminal:
            self.stream.write("\n")

    def __call__(self, done: int, total: int) -> None:
        now = self.clock()
        finished = done >= total and self.drawn
        if self.quiet or (now - self.shown < (REDRAW_SECONDS if self.terminal else LINE_SECONDS) and not finished):
            return
        self.shown, self.drawn = now, True
        text = line(done, total, now - self.began)
        filled = WIDTH * min(done, total) // max(1, total)
        bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}]"
        self.stream.write(f"\r{bar} {text}\x1b[K" if self.terminal else f"{text}\n")
        self.stream.flush()


def line(done: int, total: int, seconds: float) -> str:
    """For example `45 %  450.0 of 1,000.0 MB  312 MB/s  0:02 left`."""
    rate = done / seconds if seconds > 0 else 0.0
    left = clock_text((total - done) / rate) if rate else "-:--"
    percent = 100 * done // max(1, total)
    return f"{percent} %  {done / 1e6:,.1f} of {total / 1e6:,.1f} MB  {rate / 1e6:,.0f} MB/s  {left} left"
