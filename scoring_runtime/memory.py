"""What malloc does with what a request has freed."""

from __future__ import annotations

import os

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)


def keep_freed_memory(kept_bytes: int) -> None:
    """Keep so much of it for the next request: fresh pages from the kernel cost more than the copy into them."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return  # the operator has decided
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl's malloc has no thresholds
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, kept_bytes)
        mallopt(M_TRIM_THRESHOLD, kept_bytes)
