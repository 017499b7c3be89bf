"""The bar of a copy: on a terminal it is redrawn, elsewhere there is a line now and then, short copies show nothing."""

from __future__ import annotations

import io

import pytest

from scoring_runtime.cli.copy_bar import CopyBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(stream: io.StringIO, quiet: bool = False, seconds: float = 1.0, steps: int = 4) -> str:
    """What a copy of 4 MB shows that takes so long for each step."""
    clock = Clock()
    with CopyBar(stream, quiet, clock) as bar:
        for step in range(1, steps + 1):
            clock.now += seconds
            bar(step * 1_000_000, 4_000_000)
    return stream.getvalue()


def test_terminal_sees_a_bar() -> None:
    drawn = shown(Terminal()).split("\r")[1:]

    assert drawn == [
        "[######..................] 25 %  1.0 of 4.0 MB  1 MB/s  0:03 left\x1b[K",
        "[############............] 50 %  2.0 of 4.0 MB  1 MB/s  0:02 left\x1b[K",
        "[##################......] 75 %  3.0 of 4.0 MB  1 MB/s  0:01 left\x1b[K",
        "[########################] 100 %  4.0 of 4.0 MB  1 MB/s  0:00 left\x1b[K\n",
    ]


def test_a_log_gets_a_line_now_and_then_and_the_end() -> None:
    assert shown(io.StringIO(), seconds=3) == (
        "50 %  2.0 of 4.0 MB  0 MB/s  0:06 left\n100 %  4.0 of 4.0 MB  0 MB/s  0:00 left\n"
    )


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_what_is_done_at_once_shows_nothing(stream: io.StringIO) -> None:
    assert shown(stream, seconds=0.01) == ""


def test_quiet_is_quiet() -> None:
    assert shown(Terminal(), quiet=True) == ""
