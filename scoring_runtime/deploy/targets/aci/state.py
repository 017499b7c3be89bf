"""What an engine says of a container, as one of the five states with a reason. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, UNHEALTHY, Status
from scoring_runtime.deploy.targets.log_words import last_words

__all__ = ["exit_reason", "oom_kills", "state_of"]

KILLED, BOOT_ERROR = 137, 3
RESTARTS_TO_GIVE_UP = 3
MIB = 1024**2
Document = Mapping[str, Any]


def state_of(
    container: Document, *, ready: bool, kills: int, log: str, boot_seconds: int, now: datetime, uri: str
) -> Status:
    """`ready`: it answered; `kills`: processes that the kernel killed for memory; `log`: its last lines."""
    state = container["State"]
    restarts = container.get("RestartCount", 0)
    if ready:
        return Status(HEALTHY, killed_words(container, kills) if kills else None, uri, 1)
    if state.get("Status") in ("created", "configured", "initialized"):
        return Status(TRANSITIONING, None, uri)
    booting = state.get("Running") and not restarts and seconds_since(state["StartedAt"], now) < boot_seconds
    if booting and not kills:
        return Status(TRANSITIONING, None, uri)
    words = last_words(log)
    if state.get("Running") and not restarts:
        reason = killed_words(container, kills) if kills else "The container runs, and is not ready."
        return Status(UNHEALTHY, f"{reason} {words}".strip(), uri)
    reason = exit_reason(container, kills)
    final = not state.get("Running") or restarts >= RESTARTS_TO_GIVE_UP or state.get("ExitCode") == BOOT_ERROR
    return Status(FAILED if final else UNHEALTHY, f"{reason} {words}".strip(), uri)


def exit_reason(container: Document, kills: int) -> str:
    """podman does not say that the kernel killed for memory: a limit and 137 that nobody asked for do."""
    state, limit = container["State"], container["HostConfig"].get("Memory", 0)
    code = state.get("ExitCode", 0)
    restarts = f" It was started again {container['RestartCount']} times." if container.get("RestartCount") else ""
    if state.get("OOMKilled") or kills or (code == KILLED and limit):
        return killed_words(container, kills) + restarts
    if code == KILLED:
        return f"The container was killed (exit code {code}).{restarts}"
    if code == BOOT_ERROR:
        return f"The script could not be started (exit code {code}).{restarts}"
    return f"The container ended with exit code {code}.{restarts}"


def killed_words(container: Document, kills: int) -> str:
    limit = container["HostConfig"].get("Memory", 0)
    what = f"{kills} of its processes were" if kills > 1 else "A process of it was" if kills else "It was"
    of = f" of {limit // MIB} MiB" if limit else ""
    return f"Out of memory: {what} killed at the limit{of}. Give the service more (memoryInGB), or a smaller model."


def oom_kills(text: str) -> int:
    """From memory.events (cgroup v2) or memory.oom_control (v1)."""
    return max((int(number) for number in re.findall(r"^oom_kill (\d+)$", text, re.MULTILINE)), default=0)


def seconds_since(moment: str, now: datetime) -> float:
    """Engines write nanoseconds, and zones in two ways."""
    match = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", moment)
    if match is None:
        return 0.0
    zone = "+00:00" if match[2] == "Z" else match[2]
    return (now - datetime.fromisoformat(match[1] + zone).astimezone(timezone.utc)).total_seconds()
