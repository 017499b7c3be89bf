"""What the agent of a device reports, as one of the five states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, UNHEALTHY, Status

__all__ = ["status_of"]

CODES = {
    400: "the manifest cannot be parsed",
    412: "its schema version is not the agent's",
    417: "it has no manifest",
    500: "the agent failed",
}
STATES = {
    "running": HEALTHY,
    "backoff": UNHEALTHY,
    "unhealthy": UNHEALTHY,
    "stopped": UNHEALTHY,
    "failed": FAILED,
    "dead": FAILED,
}
KILLED = 137


def status_of(twin: Mapping[str, Any], module: str, scoring_uri: str | None) -> Status:
    """Of the twin of $edgeAgent. Running is what a device knows: it asks no route of the module."""
    properties = twin.get("properties", {})
    reported = properties.get("reported", {})
    wanted = properties.get("desired", {}).get("$version")
    last = reported.get("lastDesiredStatus", {})
    if wanted is None or reported.get("lastDesiredVersion") != wanted:
        return Status(TRANSITIONING, "The device has not taken the manifest yet; is it on, and connected?")
    code = last.get("code", 200)
    if code not in (200, 203):
        reason = CODES.get(code, "the device refused the manifest")
        return Status(FAILED, f"{reason} ({code}): {last.get('description', '')}".rstrip(": "))
    found = reported.get("modules", {}).get(module, {})
    state = STATES.get(found.get("runtimeStatus", ""), TRANSITIONING)
    if state == HEALTHY:
        return Status(HEALTHY, None, scoring_uri, 1)
    return Status(state, ended(found) if state != TRANSITIONING else None, scoring_uri)


def ended(found: Mapping[str, Any]) -> str:
    code = found.get("exitCode")
    reason = " (killed, most often for memory: give the module more in createOptions)" if code == KILLED else ""
    more = f", {found['restartCount']} restarts" if found.get("restartCount") else ""
    return f"The module is in {found.get('runtimeStatus')}, its last exit code {code}{reason}{more}."
