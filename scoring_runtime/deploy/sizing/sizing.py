"""How many replicas a load needs: the formula of the pages, and what queueing theory says of the result."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

from scoring_runtime.errors import DeployError

__all__ = ["Sizing", "plan_size", "waiting_share"]


MOST_SLOTS = 1_000_000  # that are counted one by one


class Sizing(NamedTuple):
    """The answer: this many run() calls at a time, so this many replicas."""

    rps: float
    seconds: float
    concurrency: int
    utilization: float
    concurrent: float  # run() calls to have room for
    replicas: int
    waiting_share: float  # of the requests, that find every slot busy
    mean_wait_seconds: float

    def document(self) -> dict[str, Any]:
        """For JSON, which has no infinity: None for a queue that grows without end."""
        wait = self.mean_wait_seconds
        return {**self._asdict(), "mean_wait_seconds": wait if math.isfinite(wait) else None}

    def lines(self) -> str:
        slots = self.replicas * self.concurrency
        load = f"{self.rps:g} requests/s x {self.seconds:g} s"
        return (
            f"concurrent = {load} / {self.utilization:g} = {self.concurrent:.1f}\n"
            f"replicas   = {self.concurrent:.1f} / {self.concurrency} per replica, rounded up = {self.replicas}\n"
            f"At that load {self.rps * self.seconds:g} of {slots} slots are busy on average; "
            f"{self.waiting_share:.2%} of the requests have to wait, "
            f"{self.mean_wait_seconds:.3f} s on average over all."
        )


def plan_size(rps: float, seconds: float, concurrency: int = 1, utilization: float = 0.7) -> Sizing:
    """concurrent = rps x seconds / utilization; replicas = concurrent / concurrency, rounded up."""
    for name, value, most in (("rps", rps, math.inf), ("seconds", seconds, math.inf), ("utilization", utilization, 1)):
        if not 0 < value <= most or math.isinf(value):
            expected = "a number greater than 0" if most > 1 else "a share greater than 0 and not greater than 1"
            raise DeployError(f"--{name}: expected {expected}, got {value}. The pages' example is 20 x 10 s / 0.7.")
    if concurrency < 1:
        raise DeployError(
            f"--concurrency: expected run() calls at a time in one replica, 1 or more, got {concurrency}."
        )
    if math.isinf(rps * seconds / utilization):
        raise DeployError(f"--rps: expected a load that can be counted, got {rps} requests/s x {seconds} s.")
    # As written, not as binary fractions: 7 x 1 / 0.7 is 10, and not a little more.
    concurrent = Fraction(str(rps)) * Fraction(str(seconds)) / Fraction(str(utilization))
    replicas = math.ceil(concurrent / concurrency)
    slots = replicas * concurrency
    share = waiting_share(slots, rps * seconds)
    spare = slots / seconds - rps
    wait = share / spare if spare > 0 else math.inf
    return Sizing(rps, seconds, concurrency, utilization, float(concurrent), replicas, share, wait)


def waiting_share(slots: int, busy: float) -> float:
    """Erlang's C: the share of requests that find all slots taken, for arrivals and durations at random.

    It holds for one queue before all slots; with a queue a replica more have to wait.
    """
    if busy >= slots:
        return 1.0
    if slots > MOST_SLOTS:  # Halfin and Whitt's approximation
        spare = (slots - busy) / math.sqrt(busy)
        density = math.exp(-(min(spare, 30.0) ** 2) / 2) / math.sqrt(2 * math.pi)
        return density / (density + spare * (1 + math.erf(spare / math.sqrt(2))) / 2)
    blocked = 1.0  # Erlang's B, slot by slot, which cannot overflow
    for slot in range(1, slots + 1):
        blocked = busy * blocked / (slot + busy * blocked)
    return slots * blocked / (slots - busy * (1 - blocked))
