"""One request for a score, from its first header to the last byte of its answer."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from scoring_runtime.errors import Overloaded, RequestError, Unauthorized
from scoring_runtime.server import wire
from scoring_runtime.server.bodies import MemoryFile, disk_file
from scoring_runtime.server.head import Head
from scoring_runtime.server.identity import merged
from scoring_runtime.server.sender import AnswerFile

if TYPE_CHECKING:
    from scoring_runtime.server.connection import Connection

__all__ = ["Call", "error_head", "message_json"]

PAUSE_BYTES = 256 * 1024

Body = bytes | memoryview | AnswerFile


class Call:
    """Stands where uvicorn's protocol expects its RequestResponseCycle."""

    __slots__ = (
        "answered",
        "began",
        "chunked",
        "chunks",
        "disconnected",
        "expires",
        "fd",
        "file",
        "head",
        "id",
        "ids",
        "keep_alive",
        "losses",
        "message_event",
        "preflight",
        "protocol",
        "received",
        "refusal",
        "response_complete",
        "signalled_at",
        "size",
        "status",
        "streaming",
        "timed_out_at",
        "written",
    )

    def __init__(self, protocol: Connection, head: Head) -> None:
        self.protocol = protocol
        self.head = head
        self.ids = b""  # the header block that says who it is
        self.began = time.perf_counter()
        self.chunks: list[bytes] = []
        self.size = 0
        self.fd = -1
        self.file: MemoryFile | None = None  # behind fd, to be used again
        self.id = 0
        self.expires = 0.0
        self.timed_out_at = 0.0
        self.signalled_at = 0.0
        self.losses = 0  # workers that died with it, before they began
        self.refusal: RequestError | None = None  # of a pipelined request, until its turn has come
        self.preflight = False  # a browser's question, answered by the front
        self.received = False  # the whole request is here
        self.answered = False  # the answer has begun
        self.streaming = False
        self.chunked = False
        self.status = 0
        self.written = 0  # bytes of a stream
        self.keep_alive = head.keep_alive and not protocol.front.draining
        # uvicorn's names
        self.response_complete = False
        self.disconnected = False
        self.message_event = NoEvent

    # the body

    def add(self, data: bytes) -> None:
        """Raises OSError when it cannot be stored."""
        bodies = self.protocol.front.bodies
        self.size += len(data)
        bodies.held_bytes += len(data)
        if self.fd >= 0:
            write(self.fd, data)
            return
        self.chunks.append(data)
        if self.size > bodies.spool_bytes:
            self.fd = disk_file()
            for chunk in self.chunks:
                write(self.fd, chunk)
            self.chunks = []

    def complete(self) -> None:
        """The body is here: into the frame when it is small, else into a memory file. Raises OSError."""
        self.received = True
        if self.fd < 0 and self.size > wire.INLINE_BYTES:
            file = self.protocol.front.bodies.take()
            try:
                wire.write_file(self.chunks, file.fd)
            finally:
                self.keep_in(file)

    def keep_in(self, file: MemoryFile) -> None:
        self.file = file
        self.fd = file.fd
        self.chunks = []

    def job(self) -> tuple[Any, ...]:
        """What the worker needs of it."""
        chunks = self.chunks
        body = None if self.fd >= 0 else chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return self.id, self.expires, self.head.shared, body, self.size, 0 if self.file is None else self.file.name

    def release(self) -> None:
        """No worker has it any more."""
        self.protocol.stop_receiving(self)
        bodies = self.protocol.front.bodies
        bodies.held_bytes -= self.size
        self.size = 0
        if self.fd >= 0:
            if self.file is not None:
                bodies.give(self.file)
                self.file = None
            else:
                os.close(self.fd)
            self.fd = -1
        self.chunks = []

    # the answer

    def take_answer(self, size: int) -> Body:
        """What the worker wrote into this call's file. Raises EOFError and OSError."""
        file = self.file
        bodies = self.protocol.front.bodies
        answer: Body
        if size > wire.MAPPED_BYTES:
            answer = AnswerFile(self.fd, size)
            if file is None:
                return answer
            bodies.close(file)  # so large a file is not worth keeping
        elif file is not None and file.name:
            answer = bodies.lend(file, size)
        else:
            return wire.read_file(self.fd, size)
        self.file = None
        self.fd = -1
        return answer

    def answer(self, status: int, head: bytes, body: Body, own_ids: list[tuple[str, str]] | None = None) -> None:
        self.answered = True
        if self.disconnected:
            return
        protocol = self.protocol
        ids = self.ids if own_ids is None else merged(self.ids, own_ids)
        start = b"%s%s%s%s\r\n" % (protocol.start(status, self.keep_alive), head, ids, self.head.cors)
        length = len(body)
        if self.head.method == "HEAD":
            body = b""
        if len(body) < 16384:
            protocol.transport.write(start + body)  # type: ignore[operator]
        elif isinstance(body, AnswerFile):
            protocol.transport.write(start)
            protocol.unread_since = 0.0
            protocol.log(self, status, length, length)
            body.send(self)
            return
        else:
            protocol.transport.writelines((start, body))
            protocol.unread_since = 0.0
        protocol.log(self, status, length, len(body))
        self.finish()

    def fail(self, error: RequestError) -> None:
        """Answer with an error, whatever state the request is in; a request has one answer."""
        if self.streaming:
            self.break_stream()
            return
        if self.answered:  # its run() was late, and then its worker died
            return
        head, body = error_head(error)
        if not self.received:
            self.keep_alive = False
        self.answer(error.status, head, body)

    def begin_stream(self, status: int, head: bytes, own_ids: list[tuple[str, str]] | None) -> None:
        self.answered = True
        self.streaming = True
        if self.disconnected:
            return
        protocol = self.protocol
        if self.head.version == "1.0":
            self.keep_alive = False
        elif b"content-length:" not in head.lower():
            self.chunked = True
            head += b"Transfer-Encoding: chunked\r\n"
        ids = self.ids if own_ids is None else merged(self.ids, own_ids)
        protocol.transport.write(b"%s%s%s%s\r\n" % (protocol.start(status, self.keep_alive), head, ids, self.head.cors))
        self.status = status
        protocol.log(self, status, None, None)

    def stream(self, piece: bytes) -> None:
        if self.disconnected or self.response_complete or self.head.method == "HEAD":
            return
        self.written += len(piece)
        transport = self.protocol.transport
        transport.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)
        if transport.get_write_buffer_size() > PAUSE_BYTES:
            self.protocol.pause_stream(self)

    def end_stream(self) -> None:
        if not self.disconnected and not self.response_complete:
            if self.chunked and self.head.method != "HEAD":
                self.protocol.transport.write(b"0\r\n\r\n")
            self.finish()

    def break_stream(self) -> None:
        """Nothing honest can follow: the client sees a body that does not end."""
        self.answered = True
        if not self.disconnected and not self.response_complete:
            self.keep_alive = False
            self.finish()

    def finish(self) -> None:
        self.response_complete = True
        if self.streaming:
            self.protocol.log(self, self.status, "", self.written)
        if self.size and self.id not in self.protocol.front.dispatcher.flying:
            self.release()
        self.protocol.call_complete(self)


class NoEvent:
    """uvicorn sets an event when the client leaves; nobody waits for it here."""

    @staticmethod
    def set() -> None: ...


def write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def message_json(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def challenge(reason: str) -> bytes:
    """RFC 6750: no error is named to who showed nothing."""
    named = f' error="invalid_token", error_description="{reason}"' if reason else ""
    return f"WWW-Authenticate: Bearer{named}\r\n".encode()


def error_head(error: RequestError) -> tuple[bytes, bytes]:
    body = message_json(str(error))
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\nx-ms-run-function-failed: %s\r\n" % (
        len(body),
        b"True" if error.run_failed else b"False",
    )
    if isinstance(error, Unauthorized):
        head += challenge(error.reason)
    if isinstance(error, Overloaded):
        head += b"Retry-After: %d\r\n" % error.retry_after_seconds
    return head, body
