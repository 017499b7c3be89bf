"""SHA-256 in a thread of its own, so that what is hashed can be read and written meanwhile."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["CHUNK", "Sha256"]

CHUNK = 1 << 20  # bytes; what is smaller is hashed at once


class Sha256:
    """One chunk is hashed while the caller works on the next. `with` ends the thread."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.thread: ThreadPoolExecutor | None = None
        self.before: Future[None] | None = None

    def __enter__(self) -> Sha256:
        return self

    def __exit__(self, *error: object) -> None:
        if self.thread is not None:
            self.thread.shutdown()

    def update(self, chunk: bytes) -> None:
        self.wait()
        if len(chunk) < CHUNK:
            self.digest.update(chunk)
            return
        self.thread = self.thread or ThreadPoolExecutor(1, "sha256")
        self.before = self.thread.submit(self.digest.update, chunk)

    def wait(self) -> None:
        if self.before is not None:
            self.before.result()

    def hexdigest(self) -> str:
        self.wait()
        return self.digest.hexdigest()
