"""Measures a running service at rising load, finds where it can do no more, and says what to give it."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from scoring_runtime.deploy.sizing.open_loop import Caller, Connection, Step, offer, percentile
from scoring_runtime.deploy.sizing.sizing import Sizing, plan_size
from scoring_runtime.errors import TargetError

__all__ = ["Profile", "profile_service", "recommend", "saturated"]

WARM_UP = 3
BASE_REQUESTS = 10
SHARES = (0.3, 0.6, 0.85, 1.0)  # of the estimated capacity; then on, until it is too much
GROWTH = 1.3
MOST_STEPS = 14
STEPS_IN_TIME = 10
STEP_REQUESTS = 20
UTILIZATION = 0.7
SLOW = 3.0  # times the latency without load: the knee is behind
LATE_MS = 20.0  # of our own; what is measured beyond that says little about the service


@dataclass(frozen=True)
class Reading:
    """What /metrics said at one moment; None for what it did not."""

    at: float
    slots: int | None = None
    workers: int | None = None
    cpu_seconds: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True)
class Profile:
    """The steps, and what follows from them."""

    base_ms: float  # without load, the median
    slots: int
    workers: int
    steps: list[Step]
    capacity: float  # good answers a second, at the last step before it was too much
    saturated: bool  # whether the end was found
    cpu_per_request: float | None
    memory_bytes: float | None
    advice: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "steps": [step._asdict() for step in self.steps]}


def profile_service(
    caller: Caller,
    *,
    seconds: float = 60.0,
    rps: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Takes about `seconds`, at most; `rps` is the load that the service is meant for."""
    return asyncio.run(climb(caller, seconds, rps, say))


async def climb(caller: Caller, seconds: float, rps: float | None, say: Callable[[str], None]) -> Profile:
    end = time.monotonic() + seconds
    base = await base_latency(caller, end)
    first = await read_metrics(caller)
    slots = first.slots or 1
    estimate = slots / base
    say(f"{base * 1e3:.1f} ms without load, {slots} slots: about {estimate:.1f} requests/s are to be expected")
    steps: list[Step] = []
    while len(steps) < MOST_STEPS and not (steps and saturated(steps[-1], base * 1e3)):
        number = len(steps)
        rate = estimate * SHARES[number] if number < len(SHARES) else steps[-1].rate * GROWTH
        left = end - time.monotonic()
        wanted = max(STEP_REQUESTS / rate, seconds / STEPS_IN_TIME)
        if steps and left < wanted / 2:
            break
        steps.append(await offer(caller, rate, min(wanted, max(left, 1 / rate))))
        say(f"{rate:8.1f}/s offered: {steps[-1].achieved:8.1f}/s answered, p95 {steps[-1].p95:.1f} ms")
    last = await read_metrics(caller)
    good = [step for step in steps if not saturated(step, base * 1e3)]
    found = len(good) < len(steps)
    # What came out under too much load is capacity too, as long as nothing failed.
    clean = [step.achieved for step in steps if not step.failures]
    capacity = max(clean or [step.achieved for step in steps])
    answered = sum(step.answered for step in steps)
    used = None
    if first.cpu_seconds is not None and last.cpu_seconds is not None and answered:
        used = max(0.0, last.cpu_seconds - first.cpu_seconds) / answered
    profile = Profile(
        *(base * 1e3, slots, first.workers or 1, steps, capacity, found, used, last.memory_bytes),
    )
    return Profile(**{**vars(profile), "advice": recommend(profile, rps)})


async def base_latency(caller: Caller, end: float) -> float:
    """Seconds that a request takes alone, after some that warm up; raises TargetError when there is no good answer."""
    connection = Connection(caller)
    times = []
    try:
        for number in range(WARM_UP + BASE_REQUESTS):
            began = time.perf_counter()
            status, body = await connection.ask(caller.request)
            if not 200 <= status < 300:
                text = body[:300].decode("utf-8", "replace")
                raise TargetError(
                    f"The sample request was answered {status}: {text} Give a request that the service takes "
                    "(--data), and its key (--key) where it wants one."
                )
            if number >= WARM_UP or time.monotonic() > end:
                times.append(time.perf_counter() - began)
            if time.monotonic() > end:
                break
    except (OSError, EOFError, asyncio.TimeoutError) as error:
        where = f"{caller.host}:{caller.port}"
        raise TargetError(
            f"{where} does not answer: {error or type(error).__name__}. Is the service running?"
        ) from None
    finally:
        connection.close()
    return percentile(times, 0.5)


async def read_metrics(caller: Caller) -> Reading:
    """Ours says how many slots there are and what they use; of another service nothing is known."""
    connection = Connection(caller)
    try:
        status, body = await connection.ask(caller.get("/metrics"))
    except (OSError, EOFError, asyncio.TimeoutError):
        return Reading(time.monotonic())
    finally:
        connection.close()
    found: dict[str, float] = {}
    for name, value in re.findall(r"^scoring_(\w+)(?:\{[^}]*\})? (\S+)$", body.decode("utf-8", "replace"), re.M):
        found[name] = found.get(name, 0.0) + float(value)
    if status != 200 or not found.get("slots"):
        return Reading(time.monotonic())
    cpu, memory = found.get("cpu_seconds_total"), found.get("memory_bytes")
    return Reading(time.monotonic(), int(found["slots"]), int(found.get("workers", 1)), cpu, memory)


def saturated(step: Step, base_ms: float) -> bool:
    """Too much: answers fall behind, fail, or wait longer than they run."""
    behind = step.achieved < 0.9 * step.rate and step.sent >= STEP_REQUESTS / 2
    return behind or step.p95 > SLOW * base_ms + LATE_MS or sum(step.failures.values()) > 0.01 * step.sent


def recommend(profile: Profile, rps: float | None) -> dict[str, Any]:
    """Settings that fit what was measured."""
    base = profile.base_ms / 1e3
    advice: dict[str, Any] = {"capacity_rps": round(profile.capacity, 1)}
    cpu_share = profile.cpu_per_request / base if profile.cpu_per_request is not None and base else None
    if profile.cpu_per_request is not None:
        busy = profile.cpu_per_request * profile.capacity
        advice["cpu"] = max(0.1, math.ceil(busy * 12) / 10)  # a fifth more than it used, in tenths
    if profile.memory_bytes is not None:
        advice["memory_gb"] = max(0.1, math.ceil(profile.memory_bytes * 1.25 / 1e8) / 10)
    if cpu_share is not None:
        computes = cpu_share > 0.6
        advice["bound_by"] = "cpu" if computes else "waiting"
        advice["workers"] = max(1, math.ceil(advice["cpu"])) if computes else profile.workers
        if not computes:
            advice["max_concurrent_requests"] = min(256, max(2, round(1 / max(cpu_share, 1 / 64))))
    loaded = [step.p99 for step in profile.steps if not saturated(step, profile.base_ms)]
    advice["scoring_timeout_ms"] = max(1000, math.ceil(5 * max([*loaded, profile.base_ms]) / 1000) * 1000)
    health = max((step.health_max for step in profile.steps), default=0.0)
    advice["probes"] = {
        "periodSeconds": 10,
        "timeoutSeconds": max(2, math.ceil(health * 4 / 1e3)),
        "failureThreshold": 3,
    }
    if rps is not None:
        size = size_for(rps, profile)
        advice["replicas"] = size.replicas
        advice["rps"] = rps
    advice["reliable"] = all(step.lateness_p99 < LATE_MS for step in profile.steps)
    return advice


def size_for(rps: float, profile: Profile) -> Sizing:
    """By what a slot really did, which is more than its latency alone says."""
    return plan_size(rps, profile.slots / profile.capacity, profile.slots, UTILIZATION)
