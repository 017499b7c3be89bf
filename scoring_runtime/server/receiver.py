"""The rest of a large body, read from the socket straight into the memory file that the worker gets.

On the ordinary way a byte of a body is copied four times before a worker sees it: into uvloop's buffer, into bytes, out
of the parser, into the file. Of a body whose length is known nothing is left to parse.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from scoring_runtime.server import wire
from scoring_runtime.server.bodies import MemoryFile

if TYPE_CHECKING:
    from scoring_runtime.server.call import Call
    from scoring_runtime.server.connection import Connection

__all__ = ["BodyReceiver", "receive"]


class BodyReceiver(asyncio.BufferedProtocol):
    """Takes the connection over from its protocol until the body is complete, or no longer wanted."""

    def __init__(self, protocol: Connection, call: Call, file: MemoryFile, received: int) -> None:
        self.protocol = protocol
        self.call = call
        self.view = memoryview(file.memory)[: call.size]
        self.received = received
        self.hand_over(self)

    def hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        transport = self.protocol.transport
        if not transport.is_closing():
            transport.pause_reading()  # uvloop looks at the kind of its protocol when it starts to read
            transport.set_protocol(protocol)
            transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view[self.received :]

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        if self.received == len(self.view):
            self.stop()
            self.protocol.on_message_complete()

    def stop(self) -> None:
        self.view.release()  # uvloop keeps this object until another one like it comes
        self.protocol.receiver = None
        self.protocol.renew_parser()
        self.hand_over(self.protocol)

    def eof_received(self) -> bool:
        return self.protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()


def receive(protocol: Connection, call: Call, length: int) -> BodyReceiver | None:
    """Begin it for a call whose head is read, where that is worth while."""
    bodies = protocol.front.bodies
    if length - call.size <= wire.INLINE_BYTES or length > min(wire.MAPPED_BYTES, bodies.spool_bytes) or call.fd >= 0:
        return None
    file = bodies.take_mapped()
    if file is None:
        return None
    received = call.size
    wire.write_file(call.chunks, file.fd)
    call.keep_in(file)
    bodies.held_bytes += length - received
    call.size = length
    return BodyReceiver(protocol, call, file, received)
