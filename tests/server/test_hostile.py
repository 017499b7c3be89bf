"""Bytes that no friendly client sends: 4xx or a closed connection, no traceback, and the next request is served."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from scoring_runtime.server import wire
from scoring_runtime.server.protocol import MAX_HEAD_BYTES, MAX_HEADERS
from tests.serving import JSON, Server, serving, until

PLAIN = """
import json
def init():
    pass
def run(raw_data):
    return raw_data if not raw_data.startswith("parse:") else json.loads(raw_data[6:])
"""

SCHEMA = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema
def init():
    pass
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
def run(data):
    return data.sum()
"""

RAW = """
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
def init():
    pass
@rawhttp
def run(request):
    return [request.method, request.path, sorted(request.args.lists()), len(request.get_data()), request.url]
"""

SCRIPTS = {"plain": PLAIN, "schema": SCHEMA, "raw": RAW}
GOOD = {"plain": "hello", "schema": '{"data": [[3.0, 4.0]]}', "raw": "12345"}
HOST = b"Host: x\r\n"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(text, tmp_path_factory.mktemp(name), SCORING_BODY_TIMEOUT_MS="3000"))
            for name, text in SCRIPTS.items()
        }


@pytest.fixture(params=SCRIPTS)
def style(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Iterator[str]:
    """Each style of run(); at the end it still serves, and its log is clean."""
    yield request.param
    healthy(servers, request.param)


@pytest.fixture
def plain(servers: dict[str, Server]) -> Iterator[Server]:
    yield servers["plain"]
    healthy(servers, "plain")


@pytest.fixture
def raw(servers: dict[str, Server]) -> Iterator[Server]:
    yield servers["raw"]
    healthy(servers, "raw")


def healthy(servers: dict[str, Server], name: str) -> None:
    server = servers[name]
    assert server.client.post("/score", content=GOOD[name], headers=JSON).status_code == 200
    assert server.client.get("/swagger.json").status_code == 200
    assert "Traceback" not in server.out() + server.err()
    assert len(server.workers()) == 1
    assert "exited" not in server.err()


@dataclass
class Reply:
    """One response as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def replies(data: bytes, methods: tuple[str, ...] = ()) -> list[Reply]:
    """Every byte must belong to a well-formed response; the methods say which of them have no body."""
    found: list[Reply] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, head
        first, *lines = head.decode("latin-1").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d{3} [A-Za-z -]+", first), first
        status = int(first.split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status == 100:
            found.append(Reply(100, headers, b""))
            continue
        number = sum(reply.status != 100 for reply in found)
        length = 0 if methods[number : number + 1] == ("HEAD",) else int(headers.get("content-length", "0"))
        assert len(data) >= length
        found.append(Reply(status, headers, data[:length]))
        data = data[length:]
    return found


def talk(server: Server, *pieces: bytes, seconds: float = 5.0, half_close: bool = True) -> bytes:
    """Send the pieces, say that nothing more comes, and read to the end."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as sock:
        try:
            for piece in pieces:
                sock.sendall(piece)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while chunk := sock.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def ask(server: Server, *pieces: bytes) -> list[int]:
    """The statuses that came before the server closed."""
    return [reply.status for reply in replies(talk(server, *pieces))]


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/score") -> bytes:
    return b"\r\n".join([b"POST %s HTTP/1.1" % target, b"Host: x", b"Connection: close", *lines, b"", body])


# JSON


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"data":['])
def test_deep_json_is_refused_and_not_a_crash(servers: dict[str, Server], style: str, opening: str) -> None:
    answer = servers[style].client.post("/score", content=opening * 100_000, headers=JSON)
    assert answer.status_code == (400 if style == "schema" else 200)  # the others hand the text on


def test_deep_json_in_the_query_is_handed_on_as_text(servers: dict[str, Server], style: str) -> None:
    answer = servers[style].client.get("/score", params={"data": "[" * 20_000})
    assert answer.status_code == (400 if style == "schema" else 200)


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": "\\ud800"}',
        b'{"data": "\xed\xa0\x80"}',
        b'{"data": [[1e400, 1]]}x',
        b'{"data": [[1.0, 2.0]',
        b'{"data": [["\xff", 1.0]]}',
        b"\xff\xfe\x00\x00",
        b"\x00",
        b"",
        b"null",
        b'{"\\ud800": 1}',
        b'{"data": ' + b"9" * 10_000 + b"}",
        b'{"data": [[-' + b"1" * 400 + b", 1.0]]}",
        b'\xef\xbb\xbf{"data": }',
    ],
)
def test_broken_json_is_400(servers: dict[str, Server], style: str, body: bytes) -> None:
    expected = {"plain": {200, 400}, "schema": {400}, "raw": {200}}[style]
    assert servers[style].client.post("/score", content=body, headers=JSON).status_code in expected


def test_invalid_utf8_in_the_body_is_400_for_text_and_bytes_for_rawhttp(servers: dict[str, Server]) -> None:
    assert servers["plain"].client.post("/score", content=b"\xff\xfe").status_code == 400
    assert servers["raw"].client.post("/score", content=b"\xff\xfe").json()[3] == 2


def test_a_lone_surrogate_survives_or_is_escaped(plain: Server) -> None:
    answer = plain.client.post("/score", content='parse:{"a": "\\ud800"}')
    assert answer.status_code == 200
    assert json.loads(answer.content) == {"a": "\ud800"}


# request smuggling: two servers in a row must not disagree about where a request ends

SMUGGLING = {
    "length and chunks": [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    "chunks and length": [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    "two lengths": [b"Content-Length: 5", b"Content-Length: 6"],
    "two equal lengths": [b"Content-Length: 5", b"Content-Length: 5"],
    "list of lengths": [b"Content-Length: 5, 6"],
    "list of equal lengths": [b"Content-Length: 5, 5"],
    "signed length": [b"Content-Length: +5"],
    "negative length": [b"Content-Length: -5"],
    "hexadecimal length": [b"Content-Length: 0x5"],
    "underscore in the length": [b"Content-Length: 1_0"],
    "space in the length": [b"Content-Length: 1 0"],
    "length overflow": [b"Content-Length: 18446744073709551621"],
    "space before the colon": [b"Content-Length : 5"],
    "tab before the colon": [b"Content-Length\t: 5"],
    "obsolete folding": [b"X-A: 1", b" Content-Length: 5"],
    "folded length": [b"Content-Length:", b" 5"],
    "identity after chunked": [b"Transfer-Encoding: chunked, identity"],
    "identity": [b"Transfer-Encoding: identity"],
    "unknown coding": [b"Transfer-Encoding: xchunked"],
    "vertical tab": [b"Transfer-Encoding: \x0bchunked"],
    "quoted chunked": [b'Transfer-Encoding: "chunked"'],
    "two codings": [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
    "space in chunked's name": [b"Transfer-Encoding : chunked"],
    "NUL in a value": [b"X-A: a\x00b"],
    "NUL in a name": [b"X-\x00A: b"],
    "carriage return in a value": [b"X-A: a\rContent-Length: 5"],
    "line feed ends a line": [b"X-A: a\nContent-Length: 5"],
    "no colon": [b"Content-Length 5"],
    "empty name": [b": 5"],
    "header that is a request": [b"GET / HTTP/1.1"],
}


@pytest.mark.parametrize("shape", SMUGGLING)
def test_smuggling_shapes_are_refused(plain: Server, shape: str) -> None:
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    statuses = ask(plain, b"POST /score HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join(SMUGGLING[shape]) + b"\r\n\r\n" + body)
    assert statuses == [400]
    assert "/smuggled" not in plain.out()


def test_a_coding_that_ends_in_chunked_is_read_as_chunks(plain: Server) -> None:
    framed = b"4\r\nbody\r\n0\r\n\r\n"
    [reply] = replies(talk(plain, post(b"Transfer-Encoding: gzip, chunked", body=framed)))
    assert (reply.status, reply.body) == (200, b'"body"')


CHUNKS = {
    "no number": b"x\r\n",
    "negative": b"-1\r\n",
    "overflow": b"FFFFFFFFFFFFFFFFF\r\n",
    "hexadecimal prefix": b"0x4\r\nbody\r\n0\r\n\r\n",
    "space before the number": b" 4\r\nbody\r\n0\r\n\r\n",
    "more than announced": b"4\r\nbodyXX\r\n0\r\n\r\n",
    "less than announced": b"6\r\nbody\r\n0\r\n\r\n",
    "no line end after the chunk": b"4\r\nbody0\r\n\r\n",
    "line feed only": b"4\nbody\n0\n\n",
    "empty number": b"\r\n",
    "control in an extension": b"4;a=\x00\r\nbody\r\n0\r\n\r\n",
    "broken trailer": b"0\r\nno colon\r\n\r\n",
}


@pytest.mark.parametrize("shape", CHUNKS)
def test_broken_chunks_are_refused(plain: Server, shape: str) -> None:
    assert ask(plain, post(b"Transfer-Encoding: chunked", body=CHUNKS[shape])) == [400]


def test_chunk_extensions_and_trailers_are_read_and_dropped(raw: Server) -> None:
    framed = b'4;name=value;other="quoted"\r\nbody\r\n0\r\nX-Trailer: 1\r\nHost: other\r\n\r\n'
    [reply] = replies(talk(raw, post(b"Transfer-Encoding: chunked", body=framed)))
    assert reply.status == 200
    assert json.loads(reply.body) == ["POST", "/score", [], 4, "http://x/score"]


@pytest.mark.parametrize("trailer", [b"X-A: " + b"a" * 70_000 + b"\r\n", b"X-A: a\r\n" * 10_000])
def test_endless_trailers_are_refused(raw: Server, trailer: bytes) -> None:
    framed = b"4\r\nbody\r\n0\r\n" + trailer * 20 + b"\r\n"
    statuses = ask(raw, post(b"Transfer-Encoding: chunked", body=framed))
    assert statuses in ([400], [431], [])


# sizes


@pytest.mark.parametrize("pieces", [1, 50])
@pytest.mark.parametrize("size", [70_000, 250_000, 2_000_000])
def test_a_huge_header_is_431(servers: dict[str, Server], style: str, size: int, pieces: int) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-A: " + b"a" * size + b"\r\n\r\n{}"
    step = len(head) // pieces + 1
    assert ask(servers[style], *(head[n : n + step] for n in range(0, len(head), step))) in ([431], [])


@pytest.mark.parametrize(("count", "size"), [(257, 10), (5000, 10), (200, 1000), (250, 900), (100_000, 1)])
def test_many_headers_are_431(servers: dict[str, Server], style: str, count: int, size: int) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"a" * size) for n in range(count))
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n%s\r\n{}" % lines
    assert ask(servers[style], head) in ([431], [])


def test_headers_just_below_the_limit_are_served(servers: dict[str, Server], style: str) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 300) for n in range(200))
    body = GOOD[style].encode() + b" " * 59_000
    head = post(b"Content-Type: application/json", b"Content-Length: %d" % len(body), lines[:-2], body=body)
    assert ask(servers[style], head) == [200]


@pytest.mark.parametrize("size", [70_000, 300_000, 3_000_000])
def test_a_huge_request_line_is_431(servers: dict[str, Server], style: str, size: int) -> None:
    target = b"/score?a=" + b"b" * size
    assert ask(servers[style], b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target) in ([431], [])


def test_a_long_query_is_handed_on(raw: Server) -> None:
    answer = raw.client.get("/score", params={"a": "b" * 50_000})
    assert (answer.status_code, answer.json()[2]) == (200, [["a", ["b" * 50_000]]])


def test_the_body_of_one_request_does_not_count_as_the_head_of_the_next(plain: Server) -> None:
    with socket.create_connection(("127.0.0.1", plain.port), timeout=5) as sock:
        sock.sendall(b"POST /unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"b" * 300_000)
        missing = b""
        while not missing.endswith(b'try again."}'):  # head and body may come apart
            missing += sock.recv(65536)
        assert missing.startswith(b"HTTP/1.1 404 ")
        if b"Connection: close" in missing:  # the answer began before all of the body was here
            assert sock.recv(65536) == b""
            return
        sock.sendall(b"GET /livez HTTP/1.1\r\nHo")
        sock.sendall(b"st: x\r\n")
        sock.sendall(b"X-A: b\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("length", [1 << 40, (1 << 63) - 1, (1 << 64) - 1])
def test_a_terabyte_is_413_at_its_announcement(servers: dict[str, Server], style: str, length: int) -> None:
    assert ask(servers[style], post(b"Content-Length: %d" % length, body=b"x")) == [413]


def test_a_terabyte_in_one_chunk_ends_at_the_limit_or_with_the_client(plain: Server) -> None:
    assert ask(plain, post(b"Transfer-Encoding: chunked", body=b"FFFFFFFFFF\r\n" + b"x" * 100_000)) == []


# paths and queries


@pytest.mark.parametrize(
    "target",
    [
        b"/score?\xff\xfe=1",
        b"/score?a=\xff",
        b"/score?a=%ff%fe",
        b"/score?%",
        b"/score?a=%zz&&&=&=1",
        b"/score?a[]=1&a[]=2",
        b"/score?a=1;b=2#fragment",
        b"/score?" + b"a&" * 5000,
    ],
)
def test_odd_queries_are_never_a_server_error(servers: dict[str, Server], style: str, target: bytes) -> None:
    statuses = ask(servers[style], b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
    assert statuses in ([200], [400])


@pytest.mark.parametrize(
    "target",
    [
        *(b"/\xff\xfe", b"/%ff%fe", b"/%00", b"/%", b"/score%00", b"/score/", b"/score/../etc/passwd", b"/%2e%2e/x"),
        *(
            b"/score%0d%0aX-Injected:%20yes",
            b"/\xc3\xa9",
            b"/score;a=b",
            b"/a:b@c",
            b"http://",
            b"http://x:y/z",
            b"/[::",
        ),
        *(b"http://[::1/score", b"x", b"*", b"?", b"#", b"/#", b"/{}|^`", b"/a b"),
    ],
)
def test_odd_paths_are_client_errors(plain: Server, target: bytes) -> None:
    [reply] = replies(talk(plain, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target))
    assert reply.status in (200, 400, 404, 405)
    assert "x-injected" not in reply.headers
    assert reply.status != 200 or target.lstrip(b"/")[:1] in (b"h", b"?", b"#", b"")


@pytest.mark.parametrize("target", [b"http://x/score", b"HTTP://x:80/score", b"//score", b"/sco%72e", b"/score?"])
def test_other_spellings_of_score_are_score(plain: Server, target: bytes) -> None:
    [reply] = replies(talk(plain, post(b"Content-Length: 2", body=b"hi", target=target)))
    assert (reply.status, reply.body) == (200, b'"hi"')


# protocols


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1.1\r\nHost: x\r\n\r\n",
        b"GET / http/1.1\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        bytes.fromhex("16030100c8010000c40303") + bytes(range(200)),
        b"\x00" * 1000,
        b"\xff" * 1000,
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"\x80\x2e\x01\x00\x02",
    ],
)
def test_what_is_no_http_request_is_400_or_closed(plain: Server, data: bytes) -> None:
    assert ask(plain, data) in ([400], [])


def test_an_empty_connection_and_empty_lines_are_silence(plain: Server) -> None:
    assert talk(plain) == b""
    assert talk(plain, b"\r\n\r\n") == b""


def test_empty_lines_before_a_request_are_skipped(plain: Server) -> None:
    assert ask(plain, b"\r\n\r\n" + post(b"Content-Length: 2", body=b"hi")) == [200]


def test_garbage_after_a_request_is_refused_after_its_answer(plain: Server) -> None:
    good = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
    received = replies(talk(plain, good + b"\x00\x01garbage\r\n\r\n"))
    assert [r.status for r in received] in ([200], [200, 400])
    assert received[0].body == b'"hi"'


def test_bytes_after_connection_close_are_not_served(plain: Server) -> None:
    good = post(b"Content-Length: 2", body=b"hi")
    assert ask(plain, good + good) == [200]


MIXED = [("/score", b'"%d"'), ("/", b"Healthy"), ("/unknown", None), ("/livez", b"Live"), ("/metrics", None)]


def test_pipelined_requests_are_answered_in_order(plain: Server) -> None:
    requests: list[bytes] = []
    expected: list[tuple[int, bytes | None]] = []
    for n in range(30):
        path, body = MIXED[n % len(MIXED)]
        if path == "/score":
            text = b"%d" % n
            requests.append(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            expected.append((200, b'"%d"' % n))
        else:
            requests.append(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            expected.append((404 if path == "/unknown" else 200, body))
    requests[-1] = requests[-1].replace(b"Host", b"Connection: close\r\nHost")
    got = replies(talk(plain, b"".join(requests), half_close=False))
    assert [
        (r.status, r.body if body is not None else None) for r, (_, body) in zip(got, expected, strict=True)
    ] == expected


def test_pipelined_requests_that_have_come_are_answered_while_draining(tmp_path: Path) -> None:
    script = PLAIN.replace("return", "import time; time.sleep(0.1); return")
    with serving(script, tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(
                b"".join(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(6))
            )
            received = sock.recv(65536)
            server.process.send_signal(signal.SIGTERM)
            while chunk := sock.recv(65536):
                received += chunk
        answers = replies(received)
        assert [reply.body for reply in answers] == [b'"%d"' % n for n in range(6)]
        assert [reply.headers.get("connection") for reply in answers] == [None] * 5 + ["close"]
        assert server.stop() == 0


def test_a_pipelined_refusal_waits_for_its_turn(plain: Server) -> None:
    good = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
    big = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n"
    with socket.create_connection(("127.0.0.1", plain.port), timeout=5) as sock:
        sock.sendall(good + big)
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 or not received.endswith(b"}"):
            received += sock.recv(65536)
    assert [r.status for r in replies(received)] == [200, 413]


def test_ten_thousand_pipelined_probes_are_all_answered(plain: Server) -> None:
    data = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", plain.port), timeout=20) as sock:
        sender = threading.Thread(target=sock.sendall, args=(data + last,))
        sender.start()
        received = b""
        while chunk := sock.recv(1 << 20):
            received += chunk
        sender.join()
    assert received.count(b"\r\n\r\nLive") == 10_001


@pytest.mark.parametrize(
    "second", [post(body=b"").replace(b"Host", b"X-Second: 1\r\nHost"), b"GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_nothing_after_a_closing_answer_is_looked_at(tmp_path: Path, second: bytes) -> None:
    script = PLAIN.replace("return", "open('ran', 'a').write('x'); return")
    with serving(script, tmp_path, SCORING_MAX_BODY_BYTES="1000") as server:
        large = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + bytes(2000)
        assert ask(server, large + second) == [413]
        assert ask(server, post(b"Content-Length: 0") + second) == [200]
        assert (tmp_path / "ran").read_text() == "x"
        assert "Traceback" not in server.err() + server.out()


def test_a_head_that_began_in_the_read_of_another_request_keeps_to_its_limit(plain: Server) -> None:
    with socket.create_connection(("127.0.0.1", plain.port), timeout=5) as sock:
        for _ in range(6):  # so that the kernel hands over large pieces
            sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
            assert receive_one(sock).status == 200
        head = b"POST /score HTTP/1.1\r\nHost: x\r\nX-B: %s\r\nContent-Length: 58000\r\n\r\n" % (b"q" * 145_000)
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + head[:-30])
        assert receive_one(sock).body == b"Live"
        try:
            sock.sendall(head[-30:] + b"z" * 58_000)
            assert receive_one(sock).status == 431
        except (ConnectionError, TimeoutError):
            pass  # it was refused even sooner


def test_a_frame_that_no_worker_could_read_is_not_sent() -> None:
    """What the head's limit lets through fits into a frame, however it is cut into headers."""
    name, value = b"a" * 10, b"b" * (MAX_HEAD_BYTES // MAX_HEADERS - 14)
    shared = wire.pack(("POST", "/score", b"", [(name, value)] * MAX_HEADERS, ("127.0.0.1", 1), "http", "1.1"))
    assert len(wire.pack((1, 0.0, shared, bytes(wire.INLINE_BYTES), wire.INLINE_BYTES, 0))) < wire.FRAME_BYTES


# connections


def test_a_half_closed_client_gets_its_answer(plain: Server) -> None:
    assert ask(plain, b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi") == [200]
    assert ask(plain, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == [200]


def test_a_half_closed_client_gets_all_its_answers(plain: Server) -> None:
    assert ask(plain, b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" * 3) == [200] * 3


@pytest.mark.parametrize("path", [b"/swagger.json", b"/metrics", b"/unknown"])
def test_a_half_closed_client_gets_other_answers_too(plain: Server, path: bytes) -> None:
    [reply] = replies(talk(plain, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path))
    assert reply.status in (200, 404)


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("size", [10, 100_000, 5_000_000])
def test_a_reset_during_the_body_leaves_nothing_behind(plain: Server, size: int) -> None:
    for _ in range(10):
        sock = socket.create_connection(("127.0.0.1", plain.port), timeout=5)
        sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (size + 1) + b"x" * size)
        reset(sock)
    until(lambda: connections(plain) == 1)


def connections(server: Server) -> int:
    """Accepted and not yet closed, this client's own included."""
    server.client.get("/livez")
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = f"0100007F:{server.port:04X}"
    return sum(line.split()[1] == local and line.split()[3] in ("01", "08") for line in table)


def test_a_reset_during_the_answer_leaves_nothing_behind(plain: Server) -> None:
    body = b"y" * 20_000_000
    for _ in range(3):
        sock = socket.create_connection(("127.0.0.1", plain.port), timeout=5)
        sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        reset(sock)
    until(lambda: connections(plain) == 1)


@pytest.mark.parametrize("target", [b"/score", b"/", b"/metrics", b"/unknown"])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_an_offered_upgrade_is_declined_and_the_next_request_is_not_lost(
    plain: Server, protocol: bytes, target: bytes
) -> None:
    """As Java's HttpClient asks on its first request; it reuses a connection that is not said to close."""
    body = b"hi" if target == b"/score" else b""
    method = b"POST" if body else b"GET"
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    head = b"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%sUpgrade: %s\r\n\r\n" % (
        *(method, target, len(body)),
        *(offer, protocol),
    )
    with socket.create_connection(("127.0.0.1", plain.port), timeout=3) as sock:
        sock.sendall(head + body)
        first = receive_one(sock)
        assert first.status == (404 if target == b"/unknown" else 200)
        if first.headers.get("connection") == "close":
            assert sock.recv(1000) == b""
        else:
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive_one(sock).body == b"Live"


def receive_one(sock: socket.socket) -> Reply:
    data = b""
    while True:
        data += sock.recv(65536) or b"\0"
        head, end, rest = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if end and (not length or len(rest) >= int(length[1])):
            return replies(data)[0]


def test_expect_continue_is_answered_before_the_body(plain: Server) -> None:
    with socket.create_connection(("127.0.0.1", plain.port), timeout=5) as sock:
        sock.sendall(post(b"Content-Length: 2", b"Expect: 100-continue"))
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hi")
        assert receive_one(sock).body == b'"hi"'


def test_expect_continue_with_the_body_at_once(plain: Server) -> None:
    assert ask(plain, post(b"Content-Length: 2", b"Expect: 100-continue", body=b"hi")) in ([100, 200], [200])


def test_expect_continue_that_is_refused_gets_no_continue(plain: Server) -> None:
    assert ask(plain, post(b"Content-Length: 1099511627776", b"Expect: 100-continue")) == [413]


@pytest.mark.parametrize("expectation", [b"200-ok", b"", b"100-continue, x", b"\xff"])
def test_an_unknown_expectation_is_no_error(plain: Server, expectation: bytes) -> None:
    assert ask(plain, post(b"Content-Length: 2", b"Expect: " + expectation, body=b"hi"))[-1] in (200, 417)


# methods


def test_options_asterisk_connect_and_trace(plain: Server) -> None:
    close = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert ask(plain, b"OPTIONS *" + close) in ([200], [404])
    assert ask(plain, b"CONNECT example.com:443" + close) in ([400], [404], [405])
    assert ask(plain, b"CONNECT /score" + close) in ([400], [404], [405])
    assert ask(plain, b"TRACE /" + close) in ([404], [405])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH"])
def test_other_methods_are_405(plain: Server, method: str) -> None:
    assert plain.client.request(method, "/score", content=b"x").status_code == 405


def test_get_with_a_body_is_served_and_the_connection_stays_in_step(raw: Server) -> None:
    for size in (1, 70_000, 2_500_000):
        answer = raw.client.request("GET", "/score?a=1", content=b"x" * size)
        assert (answer.status_code, answer.json()[3]) == (200, size)
        assert raw.client.request("GET", "/", content=b"x" * size).text == "Healthy"


def test_head_has_no_body(servers: dict[str, Server], style: str) -> None:
    close = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for target in (b"/", b"/score", b"/swagger.json", b"/unknown", b"/metrics"):
        [reply] = replies(talk(servers[style], b"HEAD " + target + close), ("HEAD",))
        assert reply.status in (200, 404, 405)


def test_an_empty_post(servers: dict[str, Server], style: str) -> None:
    answer = servers[style].client.post("/score", content=b"", headers=JSON)
    assert answer.status_code == (400 if style == "schema" else 200)
    assert ask(
        servers[style], post(b"Transfer-Encoding: chunked", b"Content-Type: application/json", body=b"0\r\n\r\n")
    ) == [400 if style == "schema" else 200]


@pytest.mark.parametrize("name", ["x-request-id", "x-ms-request-id", "x-ms-client-request-id", "traceid"])
@pytest.mark.parametrize("value", [b"\xff\xfe", b"a" * 5000, b"a\tb", b"\xe2\x82\xac"])
def test_odd_identifiers_are_never_a_server_error(
    servers: dict[str, Server], style: str, name: str, value: bytes
) -> None:
    for path in ("/score", "/", "/swagger.json"):
        answer = servers[style].client.get(path, params={"data": "[[1.0, 2.0]]"}, headers=[(name.encode(), value)])
        assert answer.status_code in (200, 431)


@pytest.mark.parametrize(
    "content_type",
    [
        b"\xff",
        b"application/json; charset=utf-7",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b'a"b;;;=',
    ],
)
def test_odd_content_types_are_never_a_server_error(
    servers: dict[str, Server], style: str, content_type: bytes
) -> None:
    answer = servers[style].client.post("/score", content=b"x", headers=[(b"content-type", content_type)])
    assert answer.status_code < 500


def test_the_client_gone_before_the_answer_does_not_matter(plain: Server) -> None:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", plain.port)) as sock:
            sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    with httpx.Client(trust_env=False) as client:
        assert client.post(f"{plain.url}/score", content=b"x").status_code == 200


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/score/", 404), ("/swagger.json", 405)])
def test_a_large_body_that_nobody_takes_is_answered_and_not_reset(path: str, status: int, tmp_path: Path) -> None:
    size = 20_000_000
    with serving("def init(): pass\ndef run(raw_data): pass", tmp_path) as server:
        for extra in ("", "Connection: close\r\n"):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {size}\r\n\r\n"
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
                sock.sendall(head.encode())
                sock.sendall(b"x" * size)
                received = b""
                while piece := sock.recv(65536):
                    received += piece

            assert received.startswith(b"HTTP/1.1 %d " % status)
            assert b"Connection: close\r\n" in received
