"""One writer for each run: a lock of the kernel in a folder, a lease at a URL.

The lock ends with its process and cannot be had twice. Object stores have no locks: a lease is an object that its owner
renews and that others look at before they begin. Two that begin in the same moment may both go on. Their commits have
the same names and contents, so that the result is right all the same; the work is done twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scoring_runtime.batch import storage
from scoring_runtime.batch.sources import is_remote
from scoring_runtime.errors import BatchResumeError

__all__ = ["locked"]

RENEW_SECONDS = 15.0
STALE_SECONDS = 60.0


@contextmanager
def locked(path: str, *, wait: bool, shared: bool = False) -> Iterator[None]:
    """Raises BatchResumeError if another process has it, unless it is worth waiting for."""
    if is_remote(path):
        if wait:
            yield  # a matter of two shares that write the same bytes
        elif shared:
            refuse_if_held(path)
            yield
        else:
            with leased(path):
                yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BatchResumeError(
                f"Another process is writing this run ({path} is locked). Wait for it, or end it."
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def leased(path: str) -> Iterator[None]:
    refuse_if_held(path)
    owner = {"owner": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid()}
    renew(path, owner)
    if (holder(path) or {}).get("owner") != owner["owner"]:
        raise BatchResumeError(f"Another process has begun this run at the same time ({path}). Wait for it.")
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(RENEW_SECONDS):
            try:
                renew(path, owner)
            except OSError:
                continue  # the store is away for a moment; the lease lives for some renewals

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(RENEW_SECONDS)
        if (holder(path) or {}).get("owner") == owner["owner"]:
            storage.remove(path)


def renew(path: str, owner: dict[str, Any]) -> None:
    storage.write(path, json.dumps({**owner, "renewed": time.time()}).encode())


def holder(path: str) -> dict[str, Any] | None:
    text = storage.read(path)
    if text is None:
        return None
    values: dict[str, Any] = json.loads(text)
    return values


def refuse_if_held(path: str) -> None:
    held = holder(path)
    if held is None or time.time() - held["renewed"] > STALE_SECONDS:
        return
    if held["host"] == socket.gethostname() and not os.path.exists(f"/proc/{held['pid']}"):
        return  # it was killed
    raise BatchResumeError(
        f"Another process is writing this run: {path} is held by process {held['pid']} of {held['host']}. Wait for "
        f"it, or end it; if it was killed there, its lease ends {STALE_SECONDS:.0f} s after the last renewal."
    )
