"""What malloc does with what a request has freed."""

from __future__ import annotations

import os

__all__ = ["keep_freed_memory"]

# mallopt(3). 32 MiB is where glibc's own adjustment of the thresholds would end.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 32 * 1024 * 1024


def keep_freed_memory() -> None:
    """Keep it for the next request: fresh pages from the kernel cost more than the copy into them."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return  # the operator has decided
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl's malloc has no thresholds
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
