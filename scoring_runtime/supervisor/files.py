"""The files between a supervisor and those who tell it what to do, all in the `run` folder of its service.

lock          held by the supervisor as long as it lives: the one proof that there is one
wanted.json   what should run, written by deployers; SIGHUP says that it changed
state.json    what runs, written by the supervisor, true as long as the lock is held
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from typing import Any

from scoring_runtime.durable import write_file

__all__ = ["is_held", "read_state", "read_wanted", "take_lock", "write_private", "write_state", "write_wanted"]


def read_wanted(folder: str) -> dict[str, Any]:
    return read(os.path.join(folder, "wanted.json"))


def write_wanted(folder: str, document: Mapping[str, Any]) -> None:
    """It has the service's environment variables, so it is for the owner's eyes."""
    write_private(os.path.join(folder, "wanted.json"), json.dumps(document, indent=1))


def read_state(folder: str) -> dict[str, Any]:
    """What the last supervisor wrote; empty when there was none."""
    return read(os.path.join(folder, "state.json"))


def write_state(folder: str, document: Mapping[str, Any]) -> None:
    write_private(os.path.join(folder, "state.json"), json.dumps(document, indent=1))


def take_lock(folder: str) -> int | None:
    """A descriptor that holds the lock, or None when another process does."""
    descriptor = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(folder: str) -> bool:
    """Looks without taking the lock for more than a moment, and makes no file."""
    try:
        descriptor = os.open(os.path.join(folder, "lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_private(path: str, text: str) -> None:
    """As write_file(), readable by the owner only from its first byte on."""
    write_file(path, text.encode(), private=True)


def read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document: dict[str, Any] = json.load(file)
            return document
    except (FileNotFoundError, ValueError):
        return {}
