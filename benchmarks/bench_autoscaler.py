"""How long requests wait behind the autoscaler, what that costs, and which load a cluster can carry.

python -m benchmarks.bench_autoscaler            simulate (minutes), then write docs/autoscaling/ and the page's tables
python -m benchmarks.bench_autoscaler render     write plots and tables again, from docs/autoscaling/results.json
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from benchmarks import autoscaler_page, machine
from benchmarks.autoscaler import Policy, Run, bursty, by_counts, by_events, erlang_c, steady, step_up

__all__ = ["main"]

SERVICE = 0.1  # seconds that a request takes in run()
RATES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
NODES = (3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 40_000)
REPLICAS_A_NODE = 3  # of one processor, on nodes of four: the rest is the cluster's own
SLOWEST_P99 = 0.1  # "enough": 99 % wait less than this
LOADS: dict[str, Callable[[float], Any]] = {"steady": steady, "bursty": bursty}
METRICS = {"busy + waiting": True, "busy": False}
Results = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["simulate", "render"], default="simulate")
    parser.add_argument("--seconds", type=float, default=1800, help="simulated time of a run, after 300 s of warm-up")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES)
    parser.add_argument("--nodes", type=int, nargs="*", default=NODES)
    parser.add_argument("--page", type=Path, default=Path("docs/autoscaling.md"), help="its plots go beside it")
    options = parser.parse_args(arguments)
    folder = options.page.with_suffix("")
    if options.command == "render":
        results = json.loads((folder / "results.json").read_text())
    else:
        results = simulate(options.rates, options.nodes, options.seconds)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    autoscaler_page.write(results, options.page)
    return 0


def simulate(rates: Sequence[float], nodes: Sequence[int], seconds: float) -> Results:
    began = time.monotonic()
    results: Results = {"service_seconds": SERVICE, "replicas_a_node": REPLICAS_A_NODE, "p99_seconds": SLOWEST_P99}
    results["loads"] = list(compare_loads(rates, seconds))
    results["cold_starts"] = list(compare_cold_starts(seconds))
    results["limits"] = list(compare_limits(seconds))
    results["distributions"] = list(compare_distributions(seconds))
    results["timeline"] = timeline()
    results["nodes"] = [capacity(count, seconds) for count in nodes]
    results["took_seconds"] = round(time.monotonic() - began)
    results["machine"] = machine.describe()
    return results


def figures(run: Run) -> Results:
    return {
        "p50": run.percentile(50),
        "p99": run.percentile(99),
        "p999": run.percentile(99.9),
        "waited": float((run.delays > 0).mean()) if len(run.delays) else 0.0,
        "mean_replicas": run.mean_replicas,
        "most_replicas": int(run.replicas.max()),
        "requests": run.requests,
    }


def warmed(rate: float, **changes: Any) -> Policy:
    """As many replicas at the start as the target wants for this rate: the question is not how a service begins."""
    policy = Policy(**changes)
    return Policy(**{**changes, "start": math.ceil(rate * SERVICE / policy.target)})


def compare_loads(rates: Sequence[float], seconds: float) -> Iterator[Results]:
    for load, arrivals in LOADS.items():
        for metric, counts_queue in METRICS.items():
            for rate in rates:
                run = by_counts(warmed(rate, counts_queue=counts_queue), arrivals(rate), SERVICE, seconds + 300, 300)
                say(load, metric, rate, run)
                yield {"load": load, "metric": metric, "rate": rate, **figures(run)}


def compare_cold_starts(seconds: float, rate: float = 1000) -> Iterator[Results]:
    for metric, counts_queue in METRICS.items():
        for cold in (1, 3, 10, 30, 60):
            policy = warmed(rate, counts_queue=counts_queue, cold_start_seconds=cold)
            run = by_counts(policy, bursty(rate), SERVICE, seconds + 300, 300)
            say("cold start", metric, cold, run)
            yield {"metric": metric, "cold_start_seconds": cold, **figures(run)}


def compare_limits(seconds: float, rate: float = 1000) -> Iterator[Results]:
    """A maximum: what a burst needs at the target, what it needs at 100 %, and less."""
    peak = bursty(rate)(numpy.arange(0, 100_000.0), numpy.random.default_rng(1)).max()
    for metric, counts_queue in METRICS.items():
        for utilisation in (0.7, 0.85, 1.0, 1.1):
            maximum = math.ceil(peak * SERVICE / utilisation)
            policy = warmed(rate, counts_queue=counts_queue, maximum=maximum)
            run = by_counts(policy, bursty(rate), SERVICE, seconds + 300, 300)
            say("maximum", metric, maximum, run)
            yield {"metric": metric, "maximum": maximum, "peak_utilisation": utilisation, **figures(run)}


def compare_distributions(seconds: float, rate: float = 300) -> Iterator[Results]:
    """Every request followed; the first row also says how far the counting way is from it."""
    random = numpy.random.default_rng(5)
    sigma = math.sqrt(math.log(1 + 2**2))  # a coefficient of variation of 2
    services: dict[str, Callable[[int], Any]] = {
        "exponential": lambda count: random.exponential(SERVICE, count),
        "constant": lambda count: numpy.full(count, SERVICE),
        "lognormal, deviation twice the mean": lambda count: random.lognormal(
            math.log(SERVICE) - sigma**2 / 2, sigma, count
        ),
    }
    for load, arrivals in LOADS.items():
        run = by_counts(warmed(rate), arrivals(rate), SERVICE, seconds + 300, 300)
        yield {"load": load, "service": "exponential, by counts", **figures(run)}
        for name, service in services.items():
            run = by_events(warmed(rate), arrivals(rate), service, seconds + 300, 300)
            say(load, name, rate, run)
            yield {"load": load, "service": name, **figures(run)}


def timeline(rate: float = 1000) -> Results:
    """The load is four times as high for two minutes."""
    result: Results = {}
    for metric, counts_queue in METRICS.items():
        run = by_counts(warmed(rate, counts_queue=counts_queue), step_up(rate, 4 * rate, 60, 180), SERVICE, 360, 0)
        result[metric] = {
            "times": run.times.tolist(),
            "rates": run.rates.tolist(),
            "replicas": run.replicas.tolist(),
            "queued": run.queued.tolist(),
        }
    return result


def capacity(nodes: int, seconds: float) -> Results:
    """The highest rates that so many nodes carry with all their replicas running: no autoscaler does better."""
    replicas = nodes * REPLICAS_A_NODE
    policy = Policy(minimum=replicas, maximum=replicas)

    def steady_enough(rate: float) -> bool:
        waits, drain = erlang_c(replicas, rate * SERVICE), replicas / SERVICE - rate
        return waits < 0.01 or math.log(waits / 0.01) / drain < SLOWEST_P99

    def bursty_enough(rate: float) -> bool:
        run = by_counts(policy, bursty(rate), SERVICE, min(seconds, 900) + 60, 60, seed=nodes)
        return run.percentile(99) < SLOWEST_P99

    most = replicas / SERVICE
    found = {"steady": highest(steady_enough, most, 30), "bursty": highest(bursty_enough, most, 8)}
    print(f"{nodes} nodes, {replicas} replicas: {found}", flush=True)
    return {"nodes": nodes, "replicas": replicas, **found}


def highest(enough: Callable[[float], bool], most: float, steps: int) -> float:
    low, high = 0.0, most
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low


def say(*what: Any) -> None:
    *names, run = what
    print(*names, {name: round(value, 4) for name, value in figures(run).items()}, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
