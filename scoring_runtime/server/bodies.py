"""Where the bodies of requests wait: in memory while they are small and few, else on disk, within one budget."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import weakref
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from scoring_runtime.server import wire
from scoring_runtime.server.wire import MAPPED_BYTES

if TYPE_CHECKING:
    import mmap

__all__ = ["Bodies", "MemoryFile", "disk_file"]

KEPT_FILES = 4
CROWDED_BYTES = 128 * 1024 * 1024  # when so much is held, every body does that does not fit into a frame


class MemoryFile:
    """A body's way to a worker; and the way of the answer back."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.fd = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, MAPPED_BYTES)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)  # a script that cut it would end who maps it

    @cached_property
    def memory(self) -> mmap.mmap:
        """Mapped; the mapping is kept, as its pages are."""
        return wire.map_file(self.fd)


class Bodies:
    """What the front holds of all requests that are read, wait, or run; and memory files, kept for the next body."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.files: list[MemoryFile] = []
        self.unused = 0  # of them, since the last tidying
        self.places = list(range(wire.PLACES))
        self.serial = count(time.monotonic_ns())  # workers may still know files of an earlier front by name

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
        return MAPPED_BYTES if self.held_bytes < CROWDED_BYTES else wire.INLINE_BYTES

    # Fresh pages cost more than the copy into them.

    def take(self) -> MemoryFile:
        """Raises OSError."""
        if self.files:
            self.unused = min(self.unused, len(self.files) - 1)
            return self.files.pop()
        file = MemoryFile(wire.file_name(next(self.serial), self.places[-1]) if self.places else 0)
        if self.places:
            self.places.pop()
        return file

    def take_mapped(self) -> MemoryFile | None:
        """None where the system has no room for it; the ordinary way finds out what is wrong."""
        try:
            file = self.take()
        except OSError:
            return None
        try:
            file.memory  # noqa: B018
        except OSError:
            self.close(file)
            return None
        return file

    def give(self, file: MemoryFile) -> None:
        if len(self.files) < wire.PLACES:
            self.files.append(file)
        else:
            self.close(file)

    def tidy(self) -> None:
        """What nobody took since the last time goes back to the system, but for the first KEPT_FILES."""
        for file in self.files[KEPT_FILES : self.unused]:
            self.close(file)
        del self.files[KEPT_FILES : self.unused]
        self.unused = len(self.files)

    def lend(self, file: MemoryFile, size: int) -> memoryview:
        """What it begins with, not copied; the file comes back when nobody needs that any more. Raises OSError."""
        import ctypes

        # Views of views keep alive what they all show, and not each other: so it is another object each time.
        whole = (ctypes.c_ubyte * MAPPED_BYTES).from_buffer(file.memory)
        weakref.finalize(whole, self.give, file).atexit = False
        return memoryview(whole).cast("B")[:size]

    def close(self, file: MemoryFile) -> None:
        os.close(file.fd)
        if file.name:
            self.places.append(wire.place_of(file.name))


def disk_file() -> int:
    """A file without a name, in TMPDIR."""
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
