"""uvicorn's HTTP protocol with a short way for scores and health: no task, no ASGI messages, from parser to queue.

Every other path takes the ordinary way, through the ASGI application in routes.py.
"""

from __future__ import annotations

import math
import time

import httptools

from scoring_runtime.errors import (
    BadInput,
    HeaderTooLong,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RequestError,
)
from scoring_runtime.server.auth import is_preflight
from scoring_runtime.server.call import Call
from scoring_runtime.server.connection import Connection
from scoring_runtime.server.head import Head
from scoring_runtime.server.identity import identify
from scoring_runtime.server.receiver import receive
from scoring_runtime.server.target import normal_target, split_target, wanted_headers
from scoring_runtime.server.wire import INLINE_BYTES

__all__ = ["ScoringProtocol"]

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 256
HEAD_TOO_LARGE = f"The request's headers exceed {MAX_HEAD_BYTES} bytes."

# What is answered without ASGI. Health is, so that nothing can go wrong with it.
HEALTH_METHODS = frozenset({b"GET", b"HEAD"})
SHORT_WAY = {
    "/score": frozenset({b"POST", b"GET", b"OPTIONS", b"HEAD"}),
    "/": HEALTH_METHODS,
    "/livez": HEALTH_METHODS,
    "/readyz": HEALTH_METHODS,
}

# Of the other paths those that are there; none takes a body.
ROUTED = frozenset({"/", "/score", "/swagger.json", "/metrics", "/info"})
READING = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class ScoringProtocol(Connection):
    """Reads requests: what the parser finds, and what can be refused before the body is read."""

    def data_received(self, data: bytes) -> None:
        if self.discarding and self.call is None:
            return
        known = self.known
        if known is not None and known.begins(data):
            self.repeat(known, data)
            return
        fresh = self.between
        size = self.read_bytes = len(data)
        self.idle_bytes += size
        if self.in_head:
            self.head_bytes += size
        if self.idle_bytes > 2 * MAX_HEAD_BYTES + size:  # headers or trailers without end
            self.refuse(HeaderTooLong(HEAD_TOO_LARGE))
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # h2c is offered, not demanded: one answer in HTTP/1.1, and the parser reads no further
        except httptools.HttpParserError as error:
            self.bad_request(error)
        whole, self.whole = self.whole, None
        if whole is not None and fresh and whole.learn(data):
            self.known = whole
        if self.announced:
            announced, self.announced = self.announced, 0
            call = self.call
            if call is not None and call is self.active and not self.refused and not self.parser.should_upgrade():
                self.receiver = receive(self, call, announced)

    def repeat(self, head: Head, data: bytes) -> None:
        """What the parser would call, for a request whose head it has read before."""
        self.refused = False
        call = Call(self, head)
        self.begin_call(call, self.guard.refusal(head.path, head.found) if self.guard is not None else None)
        if head.length:
            self.on_body(data[-head.length :])
        self.on_message_complete()
        self.whole = None  # nothing new is known of it

    def bad_request(self, error: Exception) -> None:
        cause = error.__context__
        if isinstance(cause, RequestError):
            self.refuse(cause)
        else:
            self.refuse(BadInput("Invalid HTTP request received."))

    def on_message_begin(self) -> None:
        self.known = None
        self.between = False
        self.url = b""
        self.headers = []
        self.call = None
        self.in_head = True
        self.head_bytes = self.read_bytes
        self.refused = False
        self.deadline = time.monotonic() + self.front.header_seconds

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > MAX_HEAD_BYTES:
            raise HeaderTooLong(f"The request line exceeds {MAX_HEAD_BYTES} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer: after the body it can say nothing any more
        self.headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self.discarding or self.transport.is_closing():
            raise BadInput("The connection has had its last answer.")
        if self.head_bytes > MAX_HEAD_BYTES:
            self.check_head()
        if len(self.headers) > MAX_HEADERS:  # so many as to never end are too many bytes
            raise HeaderTooLong(f"The request has more than {MAX_HEADERS} headers.")
        self.idle_bytes = 0
        url = self.url
        found = wanted_headers(self.headers)
        version = self.parser.get_http_version()
        if version == "1.1":
            if b"host" not in found:
                raise BadInput("Invalid HTTP request received: HTTP/1.1 needs a Host header.")
        elif version != "1.0":
            raise BadInput(f"Invalid HTTP request received: HTTP/{version} is not spoken here.")
        method = self.parser.get_method()
        if url == b"/score":
            path, query = "/score", b""
        else:
            path, query = split_target(url)
        refusal = self.guard.refusal(path, found) if self.guard is not None else None
        preflight = refusal is not None and self.front.cors and is_preflight(method, found)
        on_short_way = method in SHORT_WAY.get(path, ())
        if refusal is None and not on_short_way and self.body_in_the_way(method, found):
            refusal = MethodNotAllowed() if path in ROUTED else NotFound()
        if not on_short_way and (refusal is None or preflight):
            self.deadline = math.inf
            self.asgi_request(normal_target(path, query), found)
            return
        if self.guard is not None:
            self.hide_key(found)
        call = Call(self, Head(self, method.decode(), path, query, version, found))
        call.preflight = bool(preflight)
        self.begin_call(call, None if preflight else refusal)

    def body_in_the_way(self, method: bytes, found: dict[bytes, bytes]) -> bool:
        """Whether nobody takes the body that follows, and closing before its end would reset the connection."""
        if method in READING or (b"content-length" not in found and b"transfer-encoding" not in found):
            return False
        return not small(found) or not self.parser.should_keep_alive()

    def hide_key(self, found: dict[bytes, bytes]) -> None:
        """The script gets the headers without it."""
        shown = found.get(b"authorization")
        if shown is not None:
            try:
                self.headers.remove((b"authorization", shown))
            except ValueError:  # there are several
                self.headers[:] = [header for header in self.headers if header[0] != b"authorization"]

    def check_head(self) -> None:
        """The exact limit, for a request whose reads were larger than it."""
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            raise HeaderTooLong(HEAD_TOO_LARGE)

    def asgi_request(self, target: bytes, found: dict[bytes, bytes]) -> None:
        headers = self.headers
        super().on_message_begin()
        self.headers.extend(headers)
        self.url = target
        self.expect_100_continue = found.get(b"expect", b"").lower() == b"100-continue"
        super().on_headers_complete()
        if self.front.draining or self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def begin_call(self, call: Call, refusal: RequestError | None) -> None:
        front = self.front
        found = call.head.found
        call.ids, error = identify(found, front.version_line)
        if found.get(b"x-ms-request-id"):
            front.access_log.add((time.time(), DEPRECATED))
        previous = self.cycle
        self.cycle = self.call = call  # type: ignore[assignment]
        if previous is None or previous.response_complete:
            self.active = call
        else:  # pipelined: read now, answered in turn
            self.flow.pause_reading()
            self.pipeline.appendleft((call, self.app))  # type: ignore[arg-type]
        self.deadline = time.monotonic() + front.body_seconds
        try:
            if error is not None or refusal is not None:
                raise error or refusal  # type: ignore[misc]
            self.check(call)
            if b"expect" in found and found[b"expect"].lower() == b"100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        except RequestError as reason:
            self.refuse_call(call, reason, after_body=reason is refusal and small(found))

    def check(self, call: Call) -> None:
        """What can be refused before the body is read."""
        front = self.front
        head = call.head
        if head.path != "/score" or call.preflight:
            return
        if front.dispatcher.style and front.dispatcher.style != "raw" and head.method in ("OPTIONS", "HEAD"):
            if head.method == "HEAD":
                raise MethodNotAllowed
            return
        length = head.length
        if length > front.max_body_bytes:
            raise PayloadTooLarge(front.max_body_bytes)
        front.admit(length)
        self.announced = length if length > INLINE_BYTES else 0

    def refuse_call(self, call: Call, error: RequestError, *, after_body: bool = False) -> None:
        """Answer now, or when its turn has come; what still arrives of it is read and thrown away.

        After a small body that is on its way the connection can be kept; before it the answer has to close it.
        """
        self.refused = True
        if self.active is call and not after_body:
            call.fail(error)
        else:
            call.refusal = error

    def on_body(self, body: bytes) -> None:
        self.idle_bytes = 0
        call = self.call
        if call is None:
            super().on_body(body)
            return
        if self.refused:
            return
        front = self.front
        try:
            call.add(body)
            if call.size > front.max_body_bytes:
                raise PayloadTooLarge(front.max_body_bytes)
            if front.bodies.overfull(call.size):
                front.make_sure_of_room(0)
        except RequestError as refusal:
            call.release()
            self.refuse_call(call, refusal)
        except OSError as error:
            call.release()
            self.refuse_call(call, front.overloaded(f"the request's body cannot be stored: {error.strerror}."))

    def on_message_complete(self) -> None:
        self.between = True
        call = self.call
        if call is None:
            super().on_message_complete()
            return
        self.call = None
        if self.refused:
            call.received = True
            if call.response_complete:
                self.after_answer(call)
            elif self.active is call and call.refusal is not None:
                call.fail(call.refusal)
            return
        self.whole = call.head
        self.deadline = math.inf
        try:
            call.complete()
        except OSError as error:
            call.refusal = self.front.overloaded(f"the request's body cannot be stored: {error.strerror}.")
            call.release()
        if self.active is call:
            if call.refusal is None:
                self.front.submit(call)
            else:
                call.fail(call.refusal)


def small(found: dict[bytes, bytes]) -> bool:
    """A body that is short or absent, and that the client sends without asking first."""
    length = found.get(b"content-length", b"0")
    return int(length) <= MAX_HEAD_BYTES and b"transfer-encoding" not in found and b"expect" not in found


DEPRECATED = (
    "x-ms-request-id header has been deprecated and will be removed from future versions of the server. "
    "Please use x-ms-client-request-id."
)
