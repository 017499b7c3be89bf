"""How the front and the workers talk: two kernel queues of marshalled frames, and a table of slots in shared memory.

                 jobs (SEQPACKET, one queue for all workers)
      front  ───────────────────────────────────────────────▶  worker, worker, ...
             ◀───────────────────────────────────────────────
                 results (SEQPACKET, one queue for the front)

The kernel gives each job to exactly one worker that is free, so a request never waits behind another one while a
worker idles, and what no worker has taken yet can be taken back. A body too large for a frame travels in a memory
file whose descriptor is sent along; the answer comes back in the same file, whose pages are then warm. Both ends keep
such files mapped: PLACES of them have a name, by which a worker knows one again.

A slot is a place where one run() can happen. Its row tells the front what runs there and since when, and tells the
worker which run was interrupted: each word has one writer, so there is nothing to lock.
"""

from __future__ import annotations

import marshal
import mmap
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

__all__ = [
    "FRAME_BYTES",
    "INLINE_BYTES",
    "MAPPED_BYTES",
    "NOP",
    "PLACES",
    "Channel",
    "Mappings",
    "SlotTable",
    "attach",
    "file_name",
    "map_file",
    "pack",
    "place_of",
    "read_file",
    "write_file",
]

MAPPED_BYTES = 2 * 1024 * 1024  # of a memory file; a larger body goes to disk while it arrives
PLACES = 16  # as many memory files have names, and are mapped by workers
INLINE_BYTES = 60_000  # below the smallest default socket buffer, headers and all
FRAME_BYTES = 200_000

# Kinds of frames that workers send. A job is answered by RESULT, or by HEAD, any CHUNKs and END, or by SKIPPED.
READY, RESULT, HEAD, CHUNK, END, BROKEN, SKIPPED = range(7)

# Where the body of a frame is.
INLINE, OWN_FILE, SENT_FILE = range(3)

# One descriptor beside a frame (socket.send_fds and recv_fds would drop the flags that keep us from blocking).
ROOM_FOR_FD = socket.CMSG_SPACE(4)
get_fd = struct.Struct("i").unpack_from
put_fd = struct.Struct("i").pack

pack = marshal.dumps
unpack = marshal.loads

NOP = pack((0,))  # wakes a worker that waits for a job, so that it looks at its flags

# Offsets from SIGRTMIN: no script or library is known to use these.
INTERRUPT_SIGNAL_OFFSET = 5
WHERE_SIGNAL_OFFSET = 6
ANNOUNCE_SIGNAL_OFFSET = 7


class Channel:
    """The two queues, made before any fork; every process keeps the ends that it uses."""

    def __init__(self) -> None:
        self.jobs_in, self.jobs_out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.results_in, self.results_out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.jobs_in, self.jobs_out, self.results_in, self.results_out):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        # A worker looks at its flags and beats its heart at least this often.
        half_second = struct.pack("@ll", 0, 500_000)
        self.jobs_out.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, half_second)

    def wake(self, count: int) -> None:
        """Let up to `count` idle workers look at their flags."""
        try:
            for _ in range(count):
                self.jobs_in.send(NOP, socket.MSG_DONTWAIT)
        except OSError:
            pass  # a full queue wakes them all the same

    def take_back(self) -> list[tuple[Any, ...]]:
        """The jobs that no worker has taken, oldest first."""
        taken = []
        try:
            while True:
                frame, ancillary, _, _ = self.jobs_out.recvmsg(FRAME_BYTES, ROOM_FOR_FD, socket.MSG_DONTWAIT)
                if ancillary:
                    os.close(get_fd(ancillary[0][2])[0])
                taken.append(unpack(frame))
        except BlockingIOError:
            return [job for job in taken if job[0]]


# Written by the worker: job id, its start on the monotonic clock. By the front: the job that is interrupted, the one
# whose client has gone, the one whose client reads its stream too slowly.
ROW = struct.Struct("@QdQQQ")  # native: a word is stored in one piece
INTERRUPTED, ABANDONED, PAUSED = 16, 24, 32
WORD = struct.Struct("@Q")
CLOCK = struct.Struct("@d")
START = struct.Struct("@Qd")
HEADER = struct.Struct("@QQdQ")  # per region: pid, state, last heartbeat, runs up to then
BEAT = struct.Struct("@dQ")
EMPTY, BOOTING, SERVING, LEAVING, DEAD = range(5)


class SlotTable:
    """`regions` workers x `slots` rows in memory that is shared by all processes of the server."""

    def __init__(self, regions: int, slots: int) -> None:
        self.regions = regions
        self.slots = slots
        self.region_bytes = HEADER.size + ROW.size * slots
        self.memory = mmap.mmap(-1, max(self.region_bytes * regions, mmap.PAGESIZE))

    def offset(self, region: int, slot: int) -> int:
        return region * self.region_bytes + HEADER.size + slot * ROW.size

    def row(self, region: int, slot: int) -> tuple[int, float]:
        """Which job runs there, since when; no job while the worker is just writing."""
        offset = self.offset(region, slot)
        job, since = START.unpack_from(self.memory, offset)
        if since <= 0.0 or WORD.unpack_from(self.memory, offset)[0] != job:
            return 0, 0.0
        return job, since

    def pid(self, region: int) -> int:
        return HEADER.unpack_from(self.memory, region * self.region_bytes)[0]  # type: ignore[no-any-return]

    def state(self, region: int) -> int:
        return HEADER.unpack_from(self.memory, region * self.region_bytes)[1]  # type: ignore[no-any-return]

    def heartbeat(self, region: int) -> float:
        return HEADER.unpack_from(self.memory, region * self.region_bytes)[2]  # type: ignore[no-any-return]

    def runs(self, region: int) -> int:
        return HEADER.unpack_from(self.memory, region * self.region_bytes)[3]  # type: ignore[no-any-return]

    def beat(self, region: int, now: float, runs: int) -> None:
        BEAT.pack_into(self.memory, region * self.region_bytes + 16, now, runs)

    def occupy(self, region: int, pid: int, state: int) -> None:
        WORD.pack_into(self.memory, region * self.region_bytes, pid)
        WORD.pack_into(self.memory, region * self.region_bytes + 8, state)

    def clear(self, region: int) -> None:
        start = region * self.region_bytes
        self.memory[start : start + self.region_bytes] = bytes(self.region_bytes)

    def free_region(self) -> int | None:
        return next((r for r in range(self.regions) if self.state(r) == EMPTY), None)

    def tell(self, region: int, slot: int, word: int, job: int) -> None:
        WORD.pack_into(self.memory, self.offset(region, slot) + word, job)


def write_file(chunks: Sequence[bytes], fd: int | None = None) -> int:
    """The chunks in a memory file, from its start."""
    if fd is None:
        fd = os.memfd_create("body", os.MFD_CLOEXEC)
    offset = 0
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(fd, view, offset)
            offset += written
            view = view[written:]
    return fd


def read_file(fd: int, size: int) -> bytes:
    """Its first `size` bytes; EOFError where somebody has cut it."""
    data = os.pread(fd, size, 0)
    while len(data) < size:  # one read is at most 2 GiB
        piece = os.pread(fd, size - len(data), len(data))
        if not piece:
            raise EOFError(f"{len(data)} bytes of {size} are there")
        data += piece
    return data


def map_file(fd: int) -> mmap.mmap:
    return mmap.mmap(fd, MAPPED_BYTES)


def file_name(serial: int, place: int) -> int:
    """No two files have one name; those of one place come after each other. 0 is no name."""
    return serial * PLACES + place


def place_of(name: int) -> int:
    return name % PLACES


class Mappings:
    """A worker's views of the front's memory files: a copy through one takes a third of a read's or write's time."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[int, mmap.mmap]] = {}

    def of(self, name: int, fd: int) -> mmap.mmap | None:
        """None for a file without a name, or where there is no room for it."""
        if not name:
            return None
        kept = self.kept.get(place_of(name))
        if kept is None or kept[0] != name:
            try:
                kept = self.kept[place_of(name)] = (name, map_file(fd))
            except OSError:
                return None
        return kept[1]


def attach(sock: socket.socket, frame: bytes, fd: int, flags: int = 0) -> None:
    """Send a frame with a descriptor."""
    sock.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, put_fd(fd))], flags)
