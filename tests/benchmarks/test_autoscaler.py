"""The simulated autoscaler: against Erlang's formula, one way against the other, and the decisions themselves."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from benchmarks import autoscaler_page
from benchmarks.autoscaler import Policy, Run, Scaler, bursty, by_counts, by_events, erlang_c, steady, step_up
from benchmarks.bench_autoscaler import main
from tests.serving import ROOT

SERVICE = 0.1


def exponential(seed: int = 2):
    random = numpy.random.default_rng(seed)
    return lambda count: random.exponential(SERVICE, count)


def fixed(servers: int) -> Policy:
    return Policy(minimum=servers, maximum=servers)


@pytest.mark.parametrize(("servers", "load", "waits"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (10, 8.0, 0.4092)])
def test_erlang_s_formula(servers: int, load: float, waits: float):
    assert erlang_c(servers, load) == pytest.approx(waits, abs=1e-4)


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.5), (5, 0.8), (50, 0.9)])
def test_every_request_waits_as_erlang_says(servers: int, utilisation: float):
    rate = servers * utilisation / SERVICE
    run = by_events(fixed(servers), steady(rate), exponential(), seconds=max(400, 60_000 / rate), warm_up=50)
    waits = erlang_c(servers, servers * utilisation)
    drain = (servers - servers * utilisation) / SERVICE

    assert (run.delays > 0).mean() == pytest.approx(waits, rel=0.08)
    assert run.delays.mean() == pytest.approx(waits / drain, rel=0.12)
    assert run.percentile(99) == pytest.approx(math.log(waits / 0.01) / drain, rel=0.12)


def test_counts_wait_as_erlang_says():
    servers, utilisation = 200, 0.95
    run = by_counts(fixed(servers), steady(servers * utilisation / SERVICE), SERVICE, seconds=400, warm_up=50)
    waits, drain = erlang_c(servers, servers * utilisation), servers * (1 - utilisation) / SERVICE

    assert run.delays.mean() == pytest.approx(waits / drain, rel=0.25)
    assert run.mean_replicas == pytest.approx(servers)


@pytest.mark.parametrize("counts_queue", [True, False])
def test_both_ways_scale_alike(counts_queue: bool):
    policy = Policy(cold_start_seconds=2, start=20, counts_queue=counts_queue)
    every = [by_events(policy, step_up(100, 400, 100, 200), exponential(n), 300, 60, seed=n) for n in range(8)]
    counts = [by_counts(policy, step_up(100, 400, 100, 200), SERVICE, 300, 60, seed=n) for n in range(8)]

    def mean(runs: list[Run], of: Callable[[Run], float]) -> float:
        return sum(map(of, runs)) / len(runs)

    assert mean(counts, lambda run: run.mean_replicas) == pytest.approx(
        mean(every, lambda run: run.mean_replicas), rel=0.1
    )
    assert mean(counts, lambda run: run.percentile(99)) == pytest.approx(
        mean(every, lambda run: run.percentile(99)), rel=0.3
    )
    assert mean(counts, lambda run: run.requests) == pytest.approx(mean(every, lambda run: run.requests), rel=0.02)


def test_more_replicas_are_asked_for_at_once_and_come_after_their_cold_start():
    scaler = Scaler(Policy(cold_start_seconds=10))

    scaler.decide(0, busy=1, queued=6)
    scaler.decide(1, busy=1, queued=6)

    assert list(scaler.coming) == [(10, 9)]
    assert (scaler.arrive(9.9), scaler.arrive(10), scaler.replicas) == (0, 9, 10)


def test_replicas_leave_when_they_were_too_many_for_a_minute():
    scaler = Scaler(Policy(start=10))
    scaler.decide(0, busy=7, queued=0)

    assert [scaler.decide(now, busy=1.4, queued=0) for now in (30, 59, 60, 61)] == [0, 0, 8, 8]


def test_the_older_front_end_saw_no_queue():
    scaler = Scaler(Policy(counts_queue=False))

    scaler.decide(0, busy=1, queued=100)

    assert list(scaler.coming) == [(10, 1)]


def test_the_maximum_holds():
    scaler = Scaler(Policy(maximum=3))

    scaler.decide(0, busy=1, queued=100)

    assert list(scaler.coming) == [(10, 2)]


def test_an_overloaded_queue_grows_and_is_not_hidden():
    run = by_counts(fixed(10), steady(150), SERVICE, seconds=60, warm_up=10)

    assert run.left_waiting == pytest.approx(50 * 60, rel=0.1)
    assert run.percentile(50) > 5


def test_bursts_keep_the_mean_rate():
    times = numpy.arange(0, 200_000.0)

    rates = bursty(1000)(times, numpy.random.default_rng(1))

    assert rates.mean() == pytest.approx(1000, rel=0.05)
    assert rates.max() == pytest.approx(4 * rates.min())


# the page

PAGE = ROOT / "docs" / "autoscaling.md"


def test_the_page_and_its_plots_are_those_of_the_results(tmp_path: Path):
    results = json.loads(PAGE.with_suffix("").joinpath("results.json").read_text())
    copy = tmp_path / PAGE.name
    copy.write_text(PAGE.read_text())

    autoscaler_page.write(results, copy)

    assert copy.read_text() == PAGE.read_text(), "run: python -m benchmarks.bench_autoscaler render"
    drawings = sorted(copy.with_suffix("").iterdir())
    assert [path.name for path in drawings] == ["cost.svg", "delay.svg", "nodes.svg", "timeline.svg"]
    for path in drawings:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert path.read_text() == PAGE.with_suffix("").joinpath(path.name).read_text()


def test_a_short_simulation_writes_results_plots_and_tables(tmp_path: Path):
    page = tmp_path / "short.md"
    page.write_text("<!-- nodes -->\n<!-- /nodes -->\n")

    main(["--seconds", "5", "--rates", "100", "--nodes", "3", "--page", str(page)])

    results = json.loads((tmp_path / "short" / "results.json").read_text())
    assert [(row["load"], row["metric"]) for row in results["loads"]] == [
        ("steady", "busy + waiting"),
        ("steady", "busy"),
        ("bursty", "busy + waiting"),
        ("bursty", "busy"),
    ]
    assert results["nodes"][0]["steady"] == pytest.approx(60, rel=0.01)  # nine replicas, by Erlang
    assert "| 3 | 9 | 60 |" in page.read_text()
