"""A head that repeats the last one's bytes is not parsed again; whatever the bytes, the requests stay the same."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from scoring_runtime.server import head as heads
from scoring_runtime.server.bodies import Bodies
from scoring_runtime.server.call import Call
from scoring_runtime.server.inputs import Job
from scoring_runtime.server.protocol import ScoringProtocol

Seen = list[Any]


class Transport:
    """Takes what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Front:
    """Answers every request at once, and notes what a worker would have got."""

    header_seconds = body_seconds = keep_alive_seconds = linger_seconds = 10.0
    max_body_bytes = 1000
    version_line = b""
    base_lines = closing_lines = b"Server: test\r\n"
    draining = False
    cors = None

    def __init__(self) -> None:
        self.seen: Seen = []
        self.bodies = Bodies(10**9)
        self.dispatcher = SimpleNamespace(style="raw", flying={}, gone=lambda call: None)
        self.metrics = SimpleNamespace(observe=lambda *_: None)
        self.access_log = SimpleNamespace(add=lambda _: None)

    def admit(self, length: int) -> None: ...

    def log(self, line: object) -> None: ...

    def submit(self, call: Call) -> None:
        job = Job(call.job())
        self.seen.append((*job.head, job.body, call.keep_alive, call.ids.count(b"\r\n")))
        call.answer(200, b"Content-Length: 2\r\n", b"ok")


class Known(ScoringProtocol):
    """The other way is noted, and not gone."""

    def asgi_request(self, target: bytes, found: dict[bytes, bytes]) -> None:
        self.front.seen.append(target)  # type: ignore[attr-defined]


class NeverKnown(Known):
    """Parses everything."""

    known = property(lambda self: None, lambda self, head: None)


def connection(kind: type[ScoringProtocol]) -> ScoringProtocol:
    async def no_app(scope: object, receive: object, send: object) -> None: ...

    config = Config(no_app, interface="asgi3", ws="none", lifespan="off", log_config=None)
    config.load()
    kind = type("Protocol", (kind,), {"front": Front()})
    protocol = kind(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.new_event_loop())
    protocol.loop.close()
    protocol.connection_made(Transport())  # type: ignore[arg-type]
    return protocol


def requests_in(chunks: list[bytes], kind: type[ScoringProtocol] = Known) -> tuple[Seen, bool, int]:
    """The requests found, whether the connection was closed, and how many answers were written."""
    protocol = connection(kind)
    for chunk in chunks:
        if not protocol.transport.is_closing():
            protocol.data_received(chunk)
    transport: Any = protocol.transport
    return protocol.front.seen, transport.closing, transport.written.count(b"HTTP/1.1 ")  # type: ignore[attr-defined]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry a head that was parsed."""
    found: list[str] = []
    original = heads.Head.__init__

    def counting(self: heads.Head, *arguments: Any) -> None:
        original(self, *arguments)
        found.append(self.path)

    monkeypatch.setattr(heads.Head, "__init__", counting)
    return found


HEAD = b"POST /score?a=1 HTTP/1.1\r\nHost: h\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"
OTHER = b"POST /score HTTP/1.1\r\nHost: h\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"
GET = b"GET /score HTTP/1.1\r\nHost: h\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /score HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_head_that_comes_again_is_not_parsed_again(parsed: list[str]) -> None:
    chunks = [HEAD + b"abc", HEAD + b"def", HEAD + b"ghi"]
    seen, closed, answers = requests_in(chunks)
    assert (len(parsed), closed, answers) == (1, False, 3)
    assert [request[-3] for request in seen] == [b"abc", b"def", b"ghi"]
    assert len({str(request[:7]) for request in seen}) == 1


@pytest.mark.parametrize(
    ("chunks", "heads_parsed"),
    [
        ([HEAD + b"abc", OTHER + b"abc", HEAD + b"abc", HEAD + b"abc"], 3),
        ([GET, GET], 1),
        ([HEAD + b"abc", HEAD, b"abc", HEAD + b"abc", HEAD + b"abc"], 3),  # one that came in two pieces
        ([HEAD + b"abc", HEAD + b"abc" + GET, GET], 4),  # pipelined
        ([HEAD + b"ab", b"c" + HEAD + b"abc", b"c" + HEAD + b"abc"], 2),  # the last one is no request
        ([HEAD + b"abc\r\n", HEAD + b"abc\r\n"], 2),
        ([HEAD + b"\r\n\r\n\r\n"[:3] + b"\r\n", HEAD + b"abc"], 2),
        ([CHUNKED + b"0\r\n\r\n", CHUNKED + b"0\r\n\r\n"], 2),
        ([HEAD.replace(b"1.1", b"1.0", 1) + b"abc"] * 2, 1),  # closed after the first
        ([GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")] * 2, 1),
        ([HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") + b"abc"] * 2, 2),
        ([READY, READY, METRICS, METRICS, READY], 2),
        ([GET.replace(b"GET", b"OPTIONS")] * 2, 2),
    ],
)
def test_what_is_not_surely_the_same_is_parsed(parsed: list[str], chunks: list[bytes], heads_parsed: int) -> None:
    seen = requests_in(chunks)
    assert len(parsed) == heads_parsed
    assert seen == requests_in(chunks, NeverKnown)


def test_a_request_with_a_known_head_meets_the_limits_of_now() -> None:
    protocol = connection(Known)
    front: Any = protocol.front
    protocol.data_received(HEAD + b"abc")
    front.max_body_bytes = 2
    protocol.data_received(HEAD + b"abc")
    assert b"HTTP/1.1 413 " in protocol.transport.written  # type: ignore[attr-defined]
    assert len(front.seen) == 1


MESSAGES = st.sampled_from(
    [
        *(HEAD + body for body in (b"abc", b"\r\n\r", b"xyz")),
        *(OTHER + b"abc", GET, GET, READY, READY, METRICS, METRICS),
        *(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", CHUNKED + b"0\r\n\r\n", b"\r\n", b"\r\n\r\n"),
        *(HEAD, b"abc", b"PO", b"ST", b"\n\n", HEAD.replace(b"\r\n", b"\n") + b"abc", HEAD.lower() + b"abc"),
        *(HEAD.replace(b": 3", b": 0"), HEAD.replace(b": 3", b": 2000") + bytes(2000), HEAD + b"\x00\x01\x02"),
    ]
)


@given(st.lists(st.lists(MESSAGES, min_size=1, max_size=3).map(b"".join), max_size=8), st.lists(st.integers(1, 400)))
@example([CHUNKED + b"0\r\n\r\n", CHUNKED + b"0\r\n\r\n"], [])
@example([HEAD + b"\r\n\r" + b"\r\n", HEAD + b"abc"], [])
def test_requests_are_the_same_however_the_bytes_come(chunks: list[bytes], cuts: list[int]) -> None:
    assert requests_in(chunks) == requests_in(chunks, NeverKnown)
    pieces, rest = [], b"".join(chunks)
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces = [piece for piece in (*pieces, rest) if piece]
    assert requests_in(pieces) == requests_in(pieces, NeverKnown)
