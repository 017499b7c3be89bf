"""One megabyte of every byte value in turn."""

from __future__ import annotations

CONTENT_TYPE = "application/octet-stream"


def body() -> bytes:
    return bytes(range(256)) * (1024 * 1024 // 256)
