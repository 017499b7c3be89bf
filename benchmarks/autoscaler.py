"""The autoscaler as a queue: arrivals, replicas that come a second late and go after a minute, and who waits how long.

Two ways, held against each other and against Erlang's formula in tests/benchmarks/test_autoscaler.py. `by_events`
follows every request, with any distribution of service times. `by_counts` follows how many there are, in steps of 5 ms,
with exponential service times, and so costs the same for a hundred requests a second as for a million.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy

__all__ = ["Arrivals", "Policy", "Run", "Scaler", "bursty", "by_counts", "by_events", "erlang_c", "steady", "step_up"]

Array = numpy.ndarray
Arrivals = Callable[[Array, numpy.random.Generator], Array]  # times -> requests a second then

TICK_SECONDS = 1.0
STEP_SECONDS = 0.005
SAMPLES = 200_000


@dataclass(frozen=True)
class Policy:
    """The mission's numbers are the defaults."""

    target: float = 0.7  # busy and waiting requests over slots
    up_seconds: float = 1.0  # how often is looked, and so how soon more replicas are asked for
    down_seconds: float = 60.0  # a replica goes when it was too many for so long
    cold_start_seconds: float = 10.0  # from being asked for to the first request
    minimum: int = 1
    maximum: int = 10**9
    slots: int = 1  # requests that a replica works on at a time
    start: int | None = None  # replicas there are at the beginning
    counts_queue: bool = True  # the newer front end; the older one looked at busy replicas alone


@dataclass
class Scaler:
    """Decides; knows nothing of requests."""

    policy: Policy
    replicas: int = 0  # ready
    coming: deque[tuple[float, int]] = field(default_factory=deque)  # when ready, how many
    wanted: deque[tuple[float, int]] = field(default_factory=deque)  # of the last minute, falling

    def __post_init__(self) -> None:
        self.replicas = self.policy.minimum if self.policy.start is None else self.policy.start
        self.wanted.append((0.0, self.replicas))  # they do not go before their minute

    def arrive(self, now: float) -> int:
        """Replicas that have become ready."""
        more = 0
        while self.coming and self.coming[0][0] <= now:
            more += self.coming.popleft()[1]
        self.replicas += more
        return more

    def decide(self, now: float, busy: float, queued: float) -> int:
        """How many ready replicas are too many; those that are too few are asked for."""
        policy = self.policy
        load = busy + queued if policy.counts_queue else busy
        need = math.ceil(load / policy.target / policy.slots - 1e-9)
        need = min(max(need, policy.minimum), policy.maximum)
        while self.wanted and self.wanted[-1][1] <= need:
            self.wanted.pop()
        self.wanted.append((now, need))
        while self.wanted[0][0] <= now - policy.down_seconds:
            self.wanted.popleft()
        there = self.replicas + sum(count for _, count in self.coming)
        if need > there:
            self.coming.append((now + policy.cold_start_seconds, need - there))
        return max(0, self.replicas - max(self.wanted[0][1], policy.minimum))

    def remove(self, count: int) -> None:
        self.replicas -= count


@dataclass
class Run:
    """What came out, after the warm-up."""

    delays: Array  # seconds in the queue, of all requests or of an even sample
    requests: float
    seconds: float
    replica_seconds: float
    left_waiting: float  # at the end
    times: Array  # of each tick: its time, rate, ready replicas, queue
    rates: Array
    replicas: Array
    queued: Array

    def percentile(self, percent: float) -> float:
        return float(numpy.percentile(self.delays, percent)) if len(self.delays) else 0.0

    @property
    def mean_replicas(self) -> float:
        return self.replica_seconds / self.seconds


# arrivals


def steady(rate: float) -> Arrivals:
    return lambda times, random: numpy.full(len(times), float(rate))


def bursty(rate: float, factor: float = 4.0, on_seconds: float = 20.0, off_seconds: float = 120.0) -> Arrivals:
    """Bursts of this factor, exponential in length and distance (a two-state modulated Poisson process)."""
    base = rate * (on_seconds + off_seconds) / (factor * on_seconds + off_seconds)

    def rates(times: Array, random: numpy.random.Generator) -> Array:
        result = numpy.full(len(times), base)
        now, bursting = 0.0, False
        while now < times[-1]:
            length = random.exponential(on_seconds if bursting else off_seconds)
            if bursting:
                result[(times >= now) & (times < now + length)] = base * factor
            now, bursting = now + length, not bursting
        return result

    return rates


def step_up(low: float, high: float, at: float, until: float) -> Arrivals:
    return lambda times, random: numpy.where((times >= at) & (times < until), high, low)


# every request


def by_events(
    policy: Policy, arrivals: Arrivals, service: Callable[[int], Array], seconds: float, warm_up: float, seed: int = 1
) -> Run:
    """`service(n)` gives n service times. One queue, first come first served, a slot a request."""
    random = numpy.random.default_rng(seed)
    ticks = numpy.arange(0.0, seconds, policy.up_seconds)
    rates = arrivals(ticks, random)
    scaler = Scaler(policy)
    free = [0.0] * (scaler.replicas * policy.slots)  # when each slot is free; a heap
    queue: deque[float] = deque()
    delays: list[float] = []
    replica_seconds = requests = 0.0
    replicas, queued = numpy.zeros(len(ticks)), numpy.zeros(len(ticks))
    for n, now in enumerate(ticks):
        for _ in range(scaler.arrive(now) * policy.slots):
            heapq.heappush(free, now)
        busy = sum(1 for at in free if at > now)
        extra = min(scaler.decide(now, busy, len(queue)), (len(free) - busy) // policy.slots)
        for _ in range(extra * policy.slots):
            heapq.heappop(free)  # the idlest
        scaler.remove(extra)
        end = now + policy.up_seconds
        new = numpy.sort(random.uniform(now, end, random.poisson(rates[n] * policy.up_seconds)))
        queue.extend(new.tolist())
        times = service(len(queue)).tolist()
        while queue and free:
            start = max(free[0], queue[0])
            if start >= end:
                break
            came = queue.popleft()
            if came >= warm_up:
                delays.append(start - came)
            heapq.heapreplace(free, start + times.pop())
        if now >= warm_up:
            requests += len(new)
            replica_seconds += scaler.replicas * policy.up_seconds
        replicas[n], queued[n] = scaler.replicas, len(queue)
    return Run(numpy.array(delays), requests, seconds - warm_up, replica_seconds, len(queue),
               ticks, rates, replicas, queued)  # fmt: skip


# how many there are


def by_counts(
    policy: Policy, arrivals: Arrivals, mean_service: float, seconds: float, warm_up: float, seed: int = 1
) -> Run:
    """In each step a Poisson number arrives, and of those in service a binomial number ends.

    Waiting times come from the curves of arrivals and of starts: first come, first served.
    """
    random = numpy.random.default_rng(seed)
    steps = numpy.arange(0.0, seconds, STEP_SECONDS)
    rates = arrivals(steps, random)
    came = random.poisson(rates * STEP_SECONDS)
    ends = STEP_SECONDS / mean_service  # service is geometric in steps, with this mean
    each = round(policy.up_seconds / STEP_SECONDS)
    scaler = Scaler(policy)
    ticks = steps[::each]
    replicas, queued = numpy.zeros(len(ticks)), numpy.zeros(len(ticks))
    starts = numpy.zeros(len(steps), dtype=numpy.int64)
    waiting = serving = ready_steps = 0
    for n, now in enumerate(steps):
        if n % each == 0:
            scaler.arrive(now)
            idle = scaler.replicas * policy.slots - serving
            scaler.remove(min(scaler.decide(now, serving, waiting), idle // policy.slots))
            replicas[n // each], queued[n // each] = scaler.replicas, waiting
        serving -= int(random.binomial(serving, ends)) if serving else 0
        waiting += int(came[n])
        begin = min(waiting, scaler.replicas * policy.slots - serving)
        starts[n] = begin
        waiting -= begin
        serving += begin
        if now >= warm_up:
            ready_steps += scaler.replicas
    return Run(waits_of(came, starts, warm_up), float(came[steps >= warm_up].sum()), seconds - warm_up,
               ready_steps * STEP_SECONDS, waiting,
               ticks, rates[::each], replicas, queued)  # fmt: skip


def waits_of(came: Array, starts: Array, warm_up: float) -> Array:
    """When the k-th request started, less when it came, for an even sample of all that have started."""
    arrived, started = numpy.cumsum(came), numpy.cumsum(starts)
    first = arrived[min(round(warm_up / STEP_SECONDS), len(arrived) - 1)]
    if started[-1] <= first:
        return numpy.zeros(0)
    numbers = numpy.linspace(first + 1, started[-1], min(SAMPLES, int(started[-1] - first))).astype(numpy.int64)
    steps = numpy.searchsorted(started, numbers) - numpy.searchsorted(arrived, numbers)
    return numpy.asarray(steps * STEP_SECONDS)


def erlang_c(servers: int, load: float) -> float:
    """The probability that a request has to wait (M/M/c), for a load of `load` busy servers."""
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = load * blocking / (n + load * blocking)
    return blocking / (1 - load / servers * (1 - blocking))
