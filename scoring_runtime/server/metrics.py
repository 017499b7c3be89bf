"""What /metrics shows. One process sees every request, so the numbers are right with any count of workers."""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import TYPE_CHECKING

from scoring_runtime.server.usage import usage

if TYPE_CHECKING:
    from scoring_runtime.server.dispatch import Dispatcher

__all__ = ["Metrics"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts of answers to /score."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def observe(self, status: int, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def text(self, dispatcher: Dispatcher) -> str:
        """The Prometheus text format."""
        lines: list[str] = []

        def family(name: str, kind: str, help: str, *samples: tuple[str, float]) -> None:
            lines.extend((f"# HELP scoring_{name} {help}", f"# TYPE scoring_{name} {kind}"))
            lines.extend(f"scoring_{name}{label} {value:.10g}" for label, value in samples)

        answers = [(f'{{status="{s}"}}', n) for s, n in sorted(self.statuses.items())]
        family("requests_total", "counter", "Answers to /score, by status.", *answers)
        seen = 0
        counts: list[tuple[str, float]] = []
        for bound, count in zip((*BUCKETS, "+Inf"), self.buckets, strict=True):
            seen += count
            counts.append((f'_bucket{{le="{bound}"}}', seen))
        counts += [("_sum", self.seconds), ("_count", seen)]
        family("request_duration_seconds", "histogram", "From the first header to the answer.", *counts)
        slots = dispatcher.slots
        family("workers", "gauge", "Workers that can score.", ("", len(dispatcher.workers)))
        family("slots", "gauge", "run() calls that can go on at a time.", ("", slots))
        family("requests_in_flight", "gauge", "run() calls that go on now.", ("", dispatcher.busy))
        queued = dispatcher.queued
        family("queue_depth", "gauge", "Requests that wait for a slot.", ("", queued))
        family("utilization", "gauge", "Busy slots over slots.", ("", dispatcher.busy / slots if slots else 0))
        wanted = (dispatcher.busy + queued) / max(slots, 1)
        family(
            "load", "gauge", "Busy slots and waiting requests over slots; more than 1 wants more slots.", ("", wanted)
        )
        helps = {
            "timeouts": "run() calls that took longer than SCORING_TIMEOUT_MS.",
            "rejected": "Requests answered 503.",
            "workers_lost": "Requests whose worker died.",
            "gone": "Requests whose client left before the answer.",
        }
        for name, help in helps.items():
            family(f"{name}_total", "counter", help, ("", dispatcher.counters[name]))
        runs = ((f'{{worker="{w.region}"}}', dispatcher.table.runs(w.region)) for w in dispatcher.workers.values())
        family("worker_runs_total", "counter", "run() calls that ended, up to a second ago.", *runs)
        used = {label: usage(pid) for label, pid in processes(dispatcher).items()}
        alive = [(label, *numbers) for label, numbers in used.items() if numbers]
        family("cpu_seconds_total", "counter", "Processor time.", *((label, cpu) for label, cpu, _ in alive))
        family("memory_bytes", "gauge", "Resident memory.", *((label, memory) for label, _, memory in alive))
        for name, (help, samples) in reported(dispatcher).items():
            family(name, "gauge", help, *samples)
        return "\n".join(lines) + "\n"


def processes(dispatcher: Dispatcher) -> dict[str, int]:
    """The pids of the server, by label."""
    workers = {f'{{process="worker",worker="{w.region}"}}': w.pid for w in dispatcher.workers.values()}
    return {'{process="arbiter"}': os.getppid(), '{process="front"}': os.getpid(), **workers}


def reported(dispatcher: Dispatcher) -> dict[str, tuple[str, list[tuple[str, float]]]]:
    """The gauges that scripts report, a sample a worker."""
    found: dict[str, tuple[str, list[tuple[str, float]]]] = {}
    for worker in dispatcher.workers.values():
        for name, (help, value) in worker.status.get("gauges", {}).items():
            found.setdefault(name, (help, []))[1].append((f'{{worker="{worker.region}"}}', value))
    return found
