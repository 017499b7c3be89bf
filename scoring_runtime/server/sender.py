"""The answer that is too large to be read at once: a piece leaves its file when the client has read the one before.

So it holds up nobody else, and when its client reads slowly, or not at all, it takes no memory here.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoring_runtime.server.call import Call

__all__ = ["AnswerFile"]

PIECE_BYTES = 1024 * 1024  # above the marks at which transports say that they have enough, with and without TLS


class AnswerFile:
    """The first `size` bytes of a file, as the body of an answer. Raises EOFError where somebody has cut it."""

    def __init__(self, fd: int, size: int) -> None:
        if os.fstat(fd).st_size < size:
            raise EOFError(f"less than {size} bytes are there")
        self.fd = os.dup(fd)
        weakref.finalize(self, os.close, self.fd).atexit = False
        self.size = size
        self.sent = 0

    def __len__(self) -> int:
        return self.size

    def send(self, call: Call) -> None:
        self.call = call
        call.protocol.sender = self
        self.go_on()

    def go_on(self) -> None:
        """One piece; the next one when there is room for it."""
        call, protocol = self.call, self.call.protocol
        if protocol.sender is not self or protocol.transport.is_closing():  # the client has left, or is cut off
            return
        try:
            piece = os.pread(self.fd, min(PIECE_BYTES, self.size - self.sent), self.sent)
        except OSError:
            piece = b""
        protocol.transport.write(piece)
        self.sent += len(piece)
        if piece and self.sent < self.size:
            if protocol.flow.write_paused:
                protocol.pause_stream(call)
            else:
                protocol.front.dispatcher.loop.call_soon(self.go_on)
            return
        protocol.sender = None
        if self.sent < self.size:  # nothing honest can follow
            call.keep_alive = False
        call.finish()
