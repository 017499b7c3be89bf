"""Which process a number means: its start time and the machine's boot tell it from one that got the number later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["identify", "is_same", "kill_group"]


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_ticks(pid: int) -> str:
    """When the process was started, in ticks since boot; empty when it is gone, or dead and not yet buried."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def identify(pid: int) -> dict[str, Any]:
    return {"pid": pid, "started": start_ticks(pid), "boot": boot_id()}


def is_same(identity: Mapping[str, Any] | None) -> bool:
    """Whether that very process lives."""
    if not identity or identity.get("boot") != boot_id():
        return False
    return identity.get("started") == start_ticks(int(identity["pid"])) != ""


def kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass
