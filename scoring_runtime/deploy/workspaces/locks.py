"""Locks between processes: they end with their process, however that ends, and nobody waits for ever."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from scoring_runtime.errors import WorkspaceError

__all__ = ["free", "locked"]

RETRY_SECONDS = 0.01


@contextmanager
def locked(path: str, wait_seconds: float = 60.0, shared: bool = False) -> Iterator[None]:
    """Hold the file's lock. The folder must be there. Raises WorkspaceError when it is not free in time."""
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait_seconds
    with opened(path) as file:
        while not taken(file.fileno(), mode):
            if time.monotonic() > deadline:
                raise WorkspaceError(
                    f"{os.path.dirname(path)}: another process has had its lock for {wait_seconds:g} s. "
                    f"See which one with: fuser -v {path}"
                )
            time.sleep(RETRY_SECONDS)
        yield


def opened(path: str) -> IO[bytes]:
    try:
        return open(path, "ab")
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be written: {error.strerror}. Check its permissions, and its owner."
        ) from None


@contextmanager
def free(path: str) -> Iterator[bool]:
    """Hold the file's lock if nobody else does; says whether."""
    with opened(path) as file:
        yield taken(file.fileno(), fcntl.LOCK_EX)


def taken(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
