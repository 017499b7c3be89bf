"""What a script, or a library that it uses, says about itself: shown by the server at /info and /metrics.

    report_status("accelerator", {"wanted": "openvino", "bound": "cpu", "reason": "no device"})
    report_gauge("accelerator_fallback", "1 while a session runs on another device than was wanted.", 1)

Outside a server the words are kept and nobody reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

__all__ = ["on_change", "report_gauge", "report_status", "status"]

GAUGE_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

facts: dict[str, Any] = {}
gauges: dict[str, tuple[str, float]] = {}
listeners: list[Callable[[], None]] = []


def report_status(name: str, value: Any) -> None:
    """Show a JSON value under this name at /info, in the row of this worker; it replaces an earlier one."""
    facts[name] = json.loads(json.dumps(value))  # a copy; TypeError here rather than in the server
    changed()


def report_gauge(name: str, help: str, value: float) -> None:
    """Show a number at /metrics as scoring_<name>, labelled with this worker."""
    if not GAUGE_NAME.match(name):
        raise ValueError(f"A gauge's name is of a-z, 0-9 and _, and starts with a letter; got {name!r}.")
    gauges[name] = (" ".join(help.split()), float(value))
    changed()


def status() -> str:
    """Everything that was reported, as JSON: {"facts": {name: value}, "gauges": {name: [help, value]}}."""
    return json.dumps({"facts": facts, "gauges": gauges})


def on_change(listener: Callable[[], None]) -> None:
    """Call this whenever something is reported from now on; the server does."""
    listeners.append(listener)


def changed() -> None:
    for listener in listeners:
        listener()
