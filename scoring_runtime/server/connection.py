"""A connection, whichever way its requests take: who is answered, until when a client may take its time, how it ends.

What a client may do to us (send slowly, send too much, leave, not read) is bounded here, by one deadline a connection
that the front's sweep looks at.
"""

from __future__ import annotations

import fcntl
import math
import struct
import termios
import time
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from scoring_runtime.errors import RequestError, RequestTimeout
from scoring_runtime.server.call import Call, error_head
from scoring_runtime.server.head import Head
from scoring_runtime.server.receiver import BodyReceiver

if TYPE_CHECKING:
    import asyncio

    from scoring_runtime.server.auth import Guard
    from scoring_runtime.server.front import FrontServer
    from scoring_runtime.server.sender import AnswerFile

__all__ = ["Connection"]

DISCARD_SECONDS = 5.0
READ_AGAIN_SECONDS = 0.5
SOON_READ_BYTES = 8192
INT = struct.Struct("i")


class Connection(HttpToolsProtocol):
    """uvicorn's, with one deadline, and with answers that need no ASGI."""

    # Set on a subclass for each port, once, by the front.
    front: FrontServer
    guard: Guard | None = None

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.between = True  # the parser has read to the end of a message
        self.whole: Head | None = None  # of the request that ended in the bytes that came last
        self.known: Head | None = None  # of the last request, as long as the parser has seen nothing after it
        self.call: Call | None = None  # the /score request that is being read
        self.active: Call | None = None  # the one that is being answered
        self.deadline = math.inf
        self.in_head = False
        self.idle_bytes = 0  # read since the parser had a whole head, or a piece of a body
        self.read_bytes = 0
        self.head_bytes = 0  # of all reads that a head was in
        self.refused = False
        self.discarding = False
        self.half_closed = False
        self.paused_call: Call | None = None
        self.unread_since = 0.0  # when the sweep first saw an answer that the client has not read to its end
        self.announced = 0  # bytes of the body that is being read, where its length is known
        self.receiver: BodyReceiver | None = None
        self.sender: AnswerFile | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadline = time.monotonic() + self.front.header_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        waiting: list[Any] = [cycle for cycle, _ in self.pipeline]
        for call in {self.active, self.call, *waiting}:
            if isinstance(call, Call) and not call.response_complete:
                call.disconnected = True
                if call.received:
                    self.front.dispatcher.gone(call)
                else:
                    call.release()
        super().connection_lost(exc)
        self.active = self.call = self.known = self.whole = self.sender = None
        self.cycle = None  # type: ignore[assignment]  # they know each other, and heads can be large

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. It may still read, unless its request only waits in the queue."""
        self.half_closed = True
        call = self.active
        if call is None or call.response_complete or self.scheme == "https":  # TLS has no half
            return False
        return self.sender is not None or self.front.dispatcher.begun(call)

    def renew_parser(self) -> None:
        """The rest of the message was not the parser's to read."""
        if self.parser is not None:
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def stop_receiving(self, call: Call) -> None:
        """Its answer came before its end; what still arrives is thrown away."""
        if self.receiver is not None and self.receiver.call is call:
            self.receiver.stop()
            self.call = None
            self.discarding = True

    # answers

    def start(self, status: int, keep_alive: bool) -> bytes:
        line = STATUS_LINE.get(status) or b"HTTP/1.1 %d UNKNOWN\r\n" % status
        return line + (self.front.base_lines if keep_alive else self.front.closing_lines)

    def call_complete(self, call: Call) -> None:
        if call.received:
            self.after_answer(call)
        else:  # the answer came before the end of the request
            self.discarding = True
            self.deadline = time.monotonic() + DISCARD_SECONDS

    def after_answer(self, call: Call) -> None:
        self.active = None
        if self.transport.is_closing():
            return
        if not call.keep_alive or (self.half_closed and not self.pipeline) or self.discarding:
            self.close()
            return
        self.on_response_complete()

    def close(self) -> None:
        """Once the client has read its answer, or has had the time to."""
        if not self.discarding:
            self.deadline = time.monotonic()
            if self.scheme == "https" and self.unsent() > SOON_READ_BYTES:
                # TLS says goodbye within a second, whatever is still to be sent: the sweep closes.
                self.unread_since = self.deadline
                self.discarding = True
                return
        self.transport.close()

    def unsent(self) -> int:
        """Bytes that the client has not read: those that wait here, or under TLS, which hides them, in the kernel."""
        if self.scheme != "https":
            return self.transport.get_write_buffer_size()
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:  # it is being closed
            return 0
        return INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(INT.size)))[0]  # type: ignore[no-any-return]

    def on_response_complete(self) -> None:
        """Both ways end here: start what was pipelined, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.deadline = time.monotonic() + self.front.keep_alive_seconds
        if self.front.draining and not self.pipeline:
            self.deadline = min(self.deadline, time.monotonic() + self.front.linger_seconds)
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            call: Any = cycle
            if isinstance(call, Call):
                self.begin_pipelined(call)
            else:
                self._start_asgi_task(cycle, app)

    def begin_pipelined(self, call: Call) -> None:
        self.active = call
        self.deadline = math.inf
        if call.refusal is not None:
            call.fail(call.refusal)
        elif call.received:
            self.front.submit(call)

    def log(self, call: Call, status: int, length: int | str | None, sent: int | None) -> None:
        front = self.front
        head = call.head
        elapsed = time.perf_counter() - call.began
        if head.path != "/score":
            if head.path in ("/livez", "/readyz"):
                return  # probes ask every few seconds, and nobody wants to read it
            length = ""
        elif sent is not None:
            front.metrics.observe(status, elapsed)
            if status == 431:
                length = ""  # as it never reached the service
        host = self.client[0] if self.client else "-"
        what = (head.method, head.target, status, elapsed * 1e3, length, sent, host)
        front.log((time.time(), *what, head.version, head.referer, head.agent))

    # ending it

    def refuse(self, error: RequestError) -> None:
        """A last answer on a connection that cannot go on; what still comes is not read."""
        active = self.active
        if active is not None and not active.response_complete:
            active.keep_alive = False
            if not active.received:
                self.refused = True
                active.fail(error)
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self.discarding and not self.transport.is_closing():
            head, body = error_head(error)
            self.transport.write(b"%s%s\r\n%s" % (self.start(error.status, False), head, body))
            self.deadline = time.monotonic() + 0.2
        self.call = None
        self.discarding = True

    def sweep(self, now: float) -> None:
        """The connection's deadline is over: what that means depends on what it was waiting for."""
        self.deadline = math.inf
        call = self.active
        if call is not None and not call.received and not call.response_complete:
            self.refused = True
            call.fail(RequestTimeout("The request's body did not arrive in time."))
        elif self.in_head and not self.discarding:
            self.refuse(RequestTimeout("The request's headers did not arrive in time."))
        elif self.unsent():
            self.wait_for_reader(now)
        elif self.unread_since and not self.discarding:  # read by now: from here on the connection is idle
            self.unread_since = 0.0
            self.deadline = now + (self.front.linger_seconds if self.front.draining else self.front.keep_alive_seconds)
        else:
            self.transport.close()

    def wait_for_reader(self, now: float) -> None:
        """The answer is written, but not read: a large one takes its time on a slow line."""
        if self.discarding and not self.unread_since:
            self.transport.abort()
            return
        self.unread_since = self.unread_since or now
        if now - self.unread_since >= self.front.body_seconds:
            self.transport.abort()
        else:
            self.deadline = now + READ_AGAIN_SECONDS

    def shutdown(self) -> None:
        """Draining: what has come is answered, no more; an idle connection gets a moment for what is on its way."""
        if self.pipeline:
            self.pipeline[0][0].keep_alive = False
        elif self.active is not None:
            self.active.keep_alive = False
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.deadline = min(self.deadline, time.monotonic() + self.front.linger_seconds)  # slow readers of streams

    def pause_stream(self, call: Call) -> None:
        if self.paused_call is None:
            self.paused_call = call
            self.unread_since = time.monotonic()
            self.deadline = self.unread_since + self.front.body_seconds
            self.front.dispatcher.pause(call, True)

    def resume_writing(self) -> None:
        super().resume_writing()
        call, self.paused_call = self.paused_call, None
        if call is not None:
            self.unread_since = 0.0
            self.deadline = math.inf
            self.front.dispatcher.pause(call, False)
            if self.sender is not None:
                self.sender.go_on()
