"""Where the bodies of requests wait: in memory while they are small and few, else on disk, within one budget."""

from __future__ import annotations

import mmap
import os
import tempfile

from scoring_runtime.server import wire

__all__ = ["SPOOL_BYTES", "Bodies", "MemoryFile", "disk_file"]

SPOOL_BYTES = 2 * 1024 * 1024  # from here on a body goes to disk while it arrives
CROWDED_BYTES = 128 * 1024 * 1024  # when so much is held, every body does that does not fit into a frame


class MemoryFile:
    """A body's way to a worker; and the way of the answer back."""

    __slots__ = ("fd", "memory")

    def __init__(self) -> None:
        self.fd = os.memfd_create("body", os.MFD_CLOEXEC)
        self.memory: mmap.mmap | None = None

    def mapped(self) -> mmap.mmap:
        """Its first SPOOL_BYTES; the mapping is kept, as its pages are."""
        if self.memory is None:
            os.ftruncate(self.fd, max(SPOOL_BYTES, os.fstat(self.fd).st_size))
            self.memory = mmap.mmap(self.fd, SPOOL_BYTES)
        return self.memory


class Bodies:
    """What the front holds of all requests that are read, wait, or run; and memory files, kept for the next body."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.files: list[MemoryFile] = []

    def __repr__(self) -> str:
        return f"<Bodies {self.held_bytes} of {self.limit_bytes} bytes held>"

    def have_room(self, more: int) -> bool:
        """For so many bytes more. One body alone always has: its own limit is another one."""
        return not self.held_bytes or self.held_bytes + more <= self.limit_bytes

    def overfull(self, size: int) -> bool:
        """Whether a body of this size, which came without saying how long it will be, is one too many."""
        return self.held_bytes > self.limit_bytes and self.held_bytes > size

    @property
    def spool_bytes(self) -> int:
        """The size from which on a body is kept on disk."""
        return SPOOL_BYTES if self.held_bytes < CROWDED_BYTES else wire.INLINE_BYTES

    # Fresh pages cost more than the copy into them.

    def take(self) -> MemoryFile:
        """Raises OSError."""
        return self.files.pop() if self.files else MemoryFile()

    def take_mapped(self) -> MemoryFile | None:
        """None where the system has no room for it; the ordinary way finds out what is wrong."""
        try:
            file = self.take()
        except OSError:
            return None
        try:
            file.mapped()
        except OSError:
            os.close(file.fd)
            return None
        return file

    def give(self, file: MemoryFile) -> None:
        if len(self.files) < 8:
            self.files.append(file)
        else:
            os.close(file.fd)


def disk_file() -> int:
    """A file without a name, in TMPDIR."""
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
