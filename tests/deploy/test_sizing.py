"""The formula, and what waits at the size that it gives."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring_runtime.deploy.sizing import sizing
from scoring_runtime.deploy.sizing.sizing import plan_size, waiting_share
from scoring_runtime.errors import DeployError


def test_the_example_of_the_pages() -> None:
    size = plan_size(20, 10, 1, 0.7)

    assert (size.replicas, round(size.concurrent, 2)) == (286, 285.71)
    assert "replicas   = 285.7 / 1 per replica, rounded up = 286" in size.lines()


@pytest.mark.parametrize(
    ("arguments", "replicas"),
    [((7, 1, 1, 0.7), 10), ((20, 10, 4, 0.7), 72), ((0.1, 0.1, 1, 1), 1), ((1000, 0.05, 8, 0.5), 13)],
)
def test_rounded_up_but_not_by_binary_fractions(arguments: tuple[float, float, int, float], replicas: int) -> None:
    assert plan_size(*arguments).replicas == replicas


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "--rps: expected a number greater than 0, got 0"),
        ((1, -1), "--seconds: expected a number greater than 0, got -1"),
        ((math.inf, 1), "--rps: expected a number"),
        ((math.nan, 1), "--rps: expected a number"),
        ((1e300, 1e300), "--rps: expected a load that can be counted"),
        ((1, 1, 0), "--concurrency: expected run"),
        ((1, 1, 1, 0), "--utilization: expected a share"),
        ((1, 1, 1, 70), "--utilization: expected a share greater than 0 and not greater than 1, got 70"),
    ],
)
def test_what_cannot_be_sized_is_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(DeployError, match=message):
        plan_size(*arguments)  # type: ignore[arg-type]


def test_erlang_c_as_in_the_tables() -> None:
    assert waiting_share(1, 0.7) == pytest.approx(0.7)  # one slot: as busy as it is
    assert waiting_share(2, 1) == pytest.approx(1 / 3)
    assert waiting_share(10, 7) == pytest.approx(0.2217, abs=1e-4)
    assert waiting_share(5, 5) == 1.0


def test_very_many_slots_are_not_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = [waiting_share(10_000, busy) for busy in (9_990.0, 9_900.0, 9_800.0, 7_000.0)]
    monkeypatch.setattr(sizing, "MOST_SLOTS", 9_999)

    assert [waiting_share(10_000, busy) for busy in (9_990.0, 9_900.0, 9_800.0, 7_000.0)] == pytest.approx(
        exact, abs=0.005
    )
    assert plan_size(1e200, 1).waiting_share < 1e-100


def test_queue_without_an_end_is_no_number_in_json() -> None:
    assert json.loads(json.dumps(plan_size(20, 10, 1, 1).document(), allow_nan=False))["mean_wait_seconds"] is None


@given(st.floats(0.01, 1e4), st.floats(0.001, 100), st.integers(1, 64), st.floats(0.05, 0.99))
def test_the_size_carries_the_load(rps: float, seconds: float, concurrency: int, utilization: float) -> None:
    if rps * seconds > 1e4:
        seconds = 1e4 / rps
    size = plan_size(rps, seconds, concurrency, utilization)

    assert rps * seconds <= size.replicas * concurrency * utilization * (1 + 1e-9)
    assert 0 <= size.waiting_share <= 1
    assert rps * seconds > (size.replicas - 1) * concurrency * utilization * (1 - 1e-9)
