"""Locks between processes: they end with their process, however that ends, and nobody waits for ever."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scoring_runtime.errors import WorkspaceError

__all__ = ["free", "locked"]

RETRY_SECONDS = 0.01


@contextmanager
def locked(path: str, wait_seconds: float = 60.0, shared: bool = False) -> Iterator[None]:
    """Hold the file's lock. The folder must be there. Raises WorkspaceError when it is not free in time."""
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait_seconds
    with open(path, "ab") as file:
        while not taken(file.fileno(), mode):
            if time.monotonic() > deadline:
                raise WorkspaceError(
                    f"{os.path.dirname(path)}: another process has had its lock for {wait_seconds:g} s. "
                    f"See which one with: fuser -v {path}"
                )
            time.sleep(RETRY_SECONDS)
        yield


@contextmanager
def free(path: str) -> Iterator[bool]:
    """Hold the file's lock if nobody else does; says whether."""
    with open(path, "ab") as file:
        yield taken(file.fileno(), fcntl.LOCK_EX)


def taken(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
