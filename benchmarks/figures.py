"""Medians, spreads, percentiles, and the verdict on a run whose own clock was late. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "LATENESS_LIMIT_MS",
    "PERCENTILES",
    "Spread",
    "lateness_verdict",
    "percentile",
    "percentiles",
    "same_value",
    "spread",
]

LATENESS_LIMIT_MS = 1.0
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread | None:
    """None when no round counted."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values), len(values))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values do not exceed; the values must be sorted."""
    if not ordered:
        raise ValueError("no values, so no percentile")
    return ordered[max(0, math.ceil(round(percent / 100 * len(ordered), 6)) - 1)]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{percent:g}": round(percentile(ordered, percent), 4) for percent in PERCENTILES}


def lateness_verdict(lateness_p99_ms: float, errors: int, unanswered: int) -> str | None:
    """Why an open-loop run does not count, or None: a late sender measures itself, not the server."""
    if lateness_p99_ms > LATENESS_LIMIT_MS:
        return f"the generator was {lateness_p99_ms:.2f} ms late at p99 (limit {LATENESS_LIMIT_MS:g} ms)"
    if errors or unanswered:
        return f"{errors} errors, {unanswered} unanswered"
    return None


def same_value(one: Any, other: Any) -> bool:
    """Equal as JSON values; floats may differ in the last digits."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)
