"""Open loop: a fixed rate whatever the server does. Starts the generator and judges whether it was on time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import lateness_verdict

__all__ = ["COMMON_RATES", "FRACTIONS", "Rate", "choose_rates", "load"]

FRACTIONS = (0.3, 0.6, 0.85)
COMMON_RATES = (100.0, 300.0, 1000.0, 3000.0)
HEADROOM = 0.95
ROOT = Path(__file__).resolve().parent.parent
LONGEST_DRAIN_SECONDS = 30


@dataclass(frozen=True)
class Rate:
    """Requests a second, and where the figure comes from."""

    per_second: float
    origin: str


def choose_rates(
    capacity: float, fractions: Sequence[float] = FRACTIONS, common: Sequence[float] = COMMON_RATES
) -> list[Rate]:
    """Fractions of this server's own capacity, and the common rates that it can keep up with; lowest first."""
    own = [Rate(round(capacity * part, 1), f"{part:.0%} of capacity") for part in fractions]
    shared = [Rate(rate, "common") for rate in common if rate <= capacity * HEADROOM]
    return sorted(own + shared, key=lambda rate: rate.per_second)


def load(
    port: int,
    path: str,
    body: bytes,
    content_type: str,
    rate: Rate,
    seconds: float,
    warmup_seconds: float,
    connections: int,
) -> dict[str, Any]:
    """One run at one rate; its `rejected` says why it does not count, or is None."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    order = {
        "port": port,
        "payload": (head.encode() + body).decode("latin-1"),
        "rate": rate.per_second,
        "seconds": seconds,
        "warmup_seconds": warmup_seconds,
        "connections": connections,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.generator"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=seconds + warmup_seconds + LONGEST_DRAIN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the generator ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return judged(json.loads(done.stdout), rate)


def judged(result: dict[str, Any], rate: Rate) -> dict[str, Any]:
    lateness = result["lateness_ms"].get("p99", float("inf"))
    verdict = lateness_verdict(lateness, result["errors"], result["unanswered"])
    return {"rate": rate.per_second, "origin": rate.origin, **result, "rejected": verdict}
