"""A log that cannot grow without bound, and that never stops the one who writes: what does not fit is dropped."""

from __future__ import annotations

import os

__all__ = ["LogFiles", "last_lines"]


class LogFiles:
    """`path`, and the full ones before it as path.1, path.2."""

    def __init__(self, path: str, max_bytes: int = 4_000_000, kept: int = 2) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.kept = kept
        self.descriptor = -1
        self.size = 0
        self.dropped = 0

    def write(self, data: bytes) -> None:
        try:
            if self.descriptor < 0 or self.size + len(data) > self.max_bytes:
                self.turn()
            written = os.write(self.descriptor, data)
            self.size += written
            self.dropped += len(data) - written
        except OSError:  # the disk is full, the folder is gone: the service goes on
            self.dropped += len(data)

    def turn(self) -> None:
        """Open the file, or the next one when this one is full."""
        if self.descriptor >= 0 and self.size:
            for number in range(self.kept, 0, -1):
                source = self.path if number == 1 else f"{self.path}.{number - 1}"
                if os.path.exists(source):
                    os.replace(source, f"{self.path}.{number}")
        self.close()
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self.descriptor).st_size

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def last_lines(path: str, count: int, kept: int = 2) -> str:
    """The newest lines, through the older files as far as needed."""
    lines: list[bytes] = []
    for name in (path, *(f"{path}.{number}" for number in range(1, kept + 1))):
        try:
            with open(name, "rb") as file:
                lines[:0] = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            break
        if len(lines) >= count:
            break
    return b"".join(lines[-count:] if count > 0 else []).decode(errors="replace")
