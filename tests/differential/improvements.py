"""Every deliberate difference between ours and the reference: one row each, with both answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .compare import FAILED_RUN, INTERNAL_ERROR, Differs, Expected, message  # noqa: F401


@dataclass(frozen=True)
class Improvement:
    """A difference that users are better off with, and the cases that show it."""

    name: str
    sentence: str
    cases: dict[str, Differs]


IMPROVEMENTS: tuple[Improvement, ...] = ()


@cache
def differences() -> dict[str, Differs]:
    return {case: differs for row in IMPROVEMENTS for case, differs in row.cases.items()}
