"""Medians, percentiles and the verdicts: what decides whether a number counts."""

from __future__ import annotations

import pytest

from benchmarks.figures import Spread, lateness_verdict, percentile, percentiles, same_value, spread


def test_spread_is_median_lowest_highest():
    assert spread([3.0, 1.0, 10.0]) == Spread(median=3.0, low=1.0, high=10.0, count=3)


def test_no_rounds_have_no_spread():
    assert spread([]) is None


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (90, 90), (99, 99), (99.9, 100), (100, 100), (0, 1)])
def test_percentile_is_the_nearest_rank(percent: float, expected: int):
    assert percentile(range(1, 101), percent) == expected


def test_percentile_of_a_thousand_keeps_the_last_one_out_of_p999():
    assert percentile(range(1, 1001), 99.9) == 999


def test_percentile_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_percentiles_sort_first():
    assert percentiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p90": 3.0, "p99": 3.0, "p99.9": 3.0}


@pytest.mark.parametrize(
    ("lateness_ms", "errors", "unanswered", "expected"),
    [
        (0.4, 0, 0, None),
        (1.0, 0, 0, None),
        (1.01, 0, 0, "the generator was 1.01 ms late at p99 (limit 1 ms)"),
        (0.4, 2, 0, "2 errors, 0 unanswered"),
        (0.4, 0, 1, "0 errors, 1 unanswered"),
    ],
)
def test_a_late_or_failing_run_is_rejected(lateness_ms: float, errors: int, unanswered: int, expected: str | None):
    assert lateness_verdict(lateness_ms, errors, unanswered) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([0.1 + 0.2, 1], [0.3, 1.0], True),
        ({"a": [True]}, {"a": [True]}, True),
        ({"a": [True]}, {"a": [1]}, False),
        ({"a": 1}, {"b": 1}, False),
        ([1, 2], [1], False),
        (b"abc", b"abc", True),
        ("1", 1, False),
        (None, None, True),
    ],
)
def test_answers_are_compared_as_json_values(one: object, other: object, same: bool):
    assert same_value(one, other) is same
