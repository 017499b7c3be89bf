"""Bodies of every size come through byte for byte, streams wait for their readers, and nothing is left behind."""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import JSON, Server, serving, until

PLAIN = "def init():\n    pass\ndef run(raw_data):\n    return raw_data\n"

RAW = """
import asyncio, hashlib, os, time
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
closed = []
def init():
    pass

def endless(size):
    try:
        while True:
            yield b"e" * size
    finally:
        closed.append("endless")

async def endless_async(size):
    try:
        while True:
            yield b"a" * size
            await asyncio.sleep(0)
    finally:
        closed.append("endless-async")

def numbers(count, size):
    for n in range(count):
        yield b"%07d;" % n * (size // 8)

async def numbers_async(count, size):
    for n in range(count):
        await asyncio.sleep(0)
        yield b"%07d;" % n * (size // 8)

def breaks(after):
    for n in range(after):
        yield b"piece"
    raise ValueError("on purpose")

@rawhttp
def run(request):
    how = request.args.get("how", "data")
    count, size = int(request.args.get("count", 0)), int(request.args.get("size", 8))
    if how == "data":
        return AMLResponse(request.get_data(), 200)
    if how == "stream":
        pieces = []
        while piece := request.stream.read(50_000):
            pieces.append(piece)
        return AMLResponse(b"".join(pieces), 200)
    if how == "hash":
        return hashlib.sha256(request.get_data()).hexdigest()
    if how == "files":
        return {name: [f.filename, hashlib.sha256(f.read()).hexdigest()] for name, f in request.files.items()}
    if how == "grow":
        return AMLResponse(b"g" * size, 200)
    if how == "pid":
        return os.getpid()
    if how == "closed":
        return closed
    if how == "sleep":
        time.sleep(count / 1000)
        return "slept"
    if how == "late":  # a run() that swallows its timeout, and answers with a stream all the same
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                time.sleep(0.1)
            except TimeoutError:
                pass
        return numbers(5, 8)
    made = {"endless": lambda: endless(size), "endless_async": lambda: endless_async(size),
            "numbers": lambda: numbers(count, size), "numbers_async": lambda: numbers_async(count, size),
            "breaks": lambda: breaks(count)}[how]()
    return AMLResponse(made, 200)
"""

MIB = 1024 * 1024
BOUNDARIES = [0, 1, 59_999, 60_000, 60_001, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1]
SIZES = [*BOUNDARIES, 20_000_000]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def in_chunks(data: bytes, size: int = 100_003) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(text, tmp_path_factory.mktemp(name)))
            for name, text in {"plain": PLAIN, "raw": RAW, "other": RAW}.items()
        }


@pytest.fixture
def raw(servers: dict[str, Server]) -> Server:
    return servers["raw"]


def post(server: Server, content: Any, **params: str | int) -> httpx.Response:
    return server.client.post("/score", content=content, params=params)


@pytest.mark.parametrize("size", SIZES)
def test_text_comes_back_as_it_was(servers: dict[str, Server], size: int) -> None:
    text = "0123456789abcdef"[: size % 16] + "é" * ((size - size % 16) // 2)
    assert len(text.encode()) == size
    for content in (text.encode(), in_chunks(text.encode())):
        answer = servers["plain"].client.post("/score", content=content, headers=JSON)
        assert answer.status_code == 200
        assert answer.json() == text


@pytest.mark.parametrize("how", ["data", "stream"])
@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_as_they_were(raw: Server, size: int, how: str) -> None:
    data = noise(size)
    for content in (data, in_chunks(data)):
        answer = post(raw, content, how=how)
        assert (answer.status_code, len(answer.content)) == (200, size)
        assert answer.content == data


@pytest.mark.parametrize("size", SIZES)
def test_uploaded_files_arrive_whole(raw: Server, size: int) -> None:
    small, large = noise(100), noise(size)
    answer = raw.client.post("/score?how=files", files={"small": ("s.bin", small), "large": ("l.bin", large)})
    assert answer.json() == {
        "small": ["s.bin", hashlib.sha256(small).hexdigest()],
        "large": ["l.bin", hashlib.sha256(large).hexdigest()],
    }


def test_no_byte_of_another_request_is_ever_seen(raw: Server) -> None:
    """Memory files are reused: each request fills them with a letter of its own, long ones before short ones."""
    sizes = [3_000_000, 70_000, 2_000_000, 60_001, 1_000_000, 60_000, 100, 4_300_000, 61_000]

    def ask(n: int) -> set[str]:
        letter, size = bytes([n % 251]), sizes[n % len(sizes)]
        seen = set()
        with httpx.Client(base_url=raw.url, timeout=20, trust_env=False) as client:
            for how in ("data", "stream"):
                body: Any = letter * size if n % 2 else in_chunks(letter * size)
                answer = client.post("/score", content=body, params={"how": how})
                if answer.content.strip(letter) or len(answer.content) != size:
                    seen.add(f"{n} {how} {size}: {len(answer.content)}")
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert set().union(*pool.map(ask, range(90))) == set()


def test_an_answer_larger_than_its_request_and_the_other_way_round(raw: Server) -> None:
    for request, answer in ((70_000, 5_000_000), (70_000, 61_000), (3_000_000, 100), (10, 2_200_000), (0, 60_001)):
        got = post(raw, noise(request), how="grow", size=answer)
        assert got.content == b"g" * answer


# what is left behind


def files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


POOLED = 32  # the pool keeps 16 memory files, and a mapping holds a descriptor of its own


def nameless_files(pid: int, kind: str = "") -> int:
    """Bytes on the pages of memory files ("/memfd:") and unlinked temporary files that the process holds."""
    sizes = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            target = os.readlink(path)
            if "(deleted)" in target and target.startswith(kind):
                sizes[os.stat(path).st_ino] = os.stat(path).st_blocks * 512
        except FileNotFoundError:
            pass
    return sum(sizes.values())


def rss(pid: int) -> int:
    """Bytes of its own, shared memory not counted."""
    text = Path(f"/proc/{pid}/status").read_text()
    [anonymous] = re.findall(r"RssAnon:\s+(\d+) kB", text)
    return int(anonymous) * 1024


def leave(server: Server, head: bytes, body: bytes) -> None:
    """A client that sends, and goes without waiting."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(head + body)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drain(sock: socket.socket) -> None:
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass  # an answer that did not need the body, whose rest nobody read


HEAD = b"%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_clients_that_leave_the_queue_take_their_bodies_along(servers: dict[str, Server], size: int) -> None:
    server = servers["other"]
    front = server.front()
    post(server, noise(size), how="hash")
    before = files_of(front)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, server, b"", how="sleep", count=700)
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        socks = []
        for _ in range(40):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            sock.sendall(HEAD % (b"POST /score?how=hash", size) + b"\r\n" + noise(size))
            socks.append(sock)
        until(lambda: "scoring_queue_depth 40" in server.client.get("/metrics").text)
        for sock in socks:
            sock.close()
        assert running.result().status_code == 200
    until(lambda: files_of(front) <= before + POOLED)
    until(lambda: nameless_files(front) <= 16 * 2 * MIB)


@pytest.mark.parametrize(
    "request_line", [b"POST /score?how=hash", b"GET /", b"OPTIONS /score", b"GET /unknown", b"POST /livez"]
)
@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_answered_or_not_no_body_is_kept(raw: Server, request_line: bytes, size: int) -> None:
    front = raw.front()
    before = files_of(front)
    for _ in range(40):
        with socket.create_connection(("127.0.0.1", raw.port), timeout=5) as sock:
            sock.sendall(HEAD % (request_line, size) + b"Connection: close\r\n\r\n")
            try:
                sock.sendall(b"x" * size)
            except (ConnectionResetError, BrokenPipeError):
                continue
            drain(sock)
    for _ in range(40):  # two in a row, and gone
        leave(raw, HEAD % (request_line, size) + b"\r\n" + b"x" * size, HEAD % (request_line, 9) + b"\r\n" + b"x" * 9)
    for _ in range(40):  # broken off in the middle
        leave(raw, HEAD % (request_line, size + 1) + b"\r\n", b"x" * size)
    for _ in range(40):  # a broken chunk
        head = request_line + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        leave(raw, head, b"%x\r\n%s\r\nbroken" % (size, b"x" * size))
    until(lambda: files_of(front) <= before + POOLED)


def test_a_large_answer_is_not_kept_in_a_memory_file(servers: dict[str, Server]) -> None:
    server = servers["other"]
    for _ in range(10):
        assert len(post(server, b"x" * 70_000, how="grow", size=20_000_000).content) == 20_000_000
    assert nameless_files(server.front()) <= 16 * 2 * MIB


# many at once

HOLDS = """
import os, time
def init():
    pass
def run(raw_data):
    while not os.path.exists("go"):
        time.sleep(0.01)
    return len(raw_data)
"""


def test_all_bodies_together_have_a_limit(tmp_path: Path) -> None:
    with (
        serving(HOLDS, tmp_path, SCORING_MAX_QUEUE_BYTES=str(5 * MIB)) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        waiting = [pool.submit(server.post, "x" * MIB) for _ in range(4)]
        until(lambda: "scoring_queue_depth 3" in server.client.get("/metrics").text)

        announced = server.post("x" * MIB)
        growing = httpx.post(f"{server.url}/score", content=iter([b"y" * MIB] * 2), headers=JSON)
        small = pool.submit(server.post, "z")
        (tmp_path / "go").touch()

        assert [announced.status_code, growing.status_code] == [503, 503]
        assert re.fullmatch(
            r"The service is overloaded: bodies of \d+ bytes are waiting, 5242880 may wait\.",
            announced.json()["message"],
        )
        assert int(announced.headers["retry-after"]) >= 1
        assert [one.result().json() for one in waiting] == [MIB + 2] * 4
        assert small.result().json() == 3
        assert server.post("x" * 6 * MIB).json() == 6 * MIB + 2  # alone it has room


def test_bodies_go_to_disk_when_many_are_held(tmp_path: Path) -> None:
    with serving(HOLDS, tmp_path) as server, ThreadPoolExecutor(90) as pool:
        waiting = [pool.submit(server.post, "x" * 1_900_000) for _ in range(90)]
        until(lambda: "scoring_queue_depth 89" in server.client.get("/metrics").text, 60)

        in_memory = nameless_files(server.front(), "/memfd:")
        (tmp_path / "go").touch()

        assert {one.result().json() for one in waiting} == {1_900_002}
        assert in_memory < 132 * MIB  # of 163


def test_a_body_that_cannot_be_stored_is_said_to_the_client(tmp_path: Path) -> None:
    with serving(PLAIN, tmp_path) as server:
        resource.prlimit(server.front(), resource.RLIMIT_FSIZE, (MIB, MIB))

        for size in (3 * MIB, MIB + MIB // 2):  # on disk, in a memory file
            answer = server.post("x" * size)

            assert (answer.status_code, answer.json()["message"]) == (
                503,
                "The service is overloaded: the request's body cannot be stored: File too large.",
            )
        assert server.post("x").json() == '"x"'


# bodies that go straight into the worker's file


def test_a_large_body_may_come_in_any_pieces_and_another_request_after_it(raw: Server) -> None:
    rng = random.Random(5)
    with socket.create_connection(("127.0.0.1", raw.port), timeout=10) as sock:
        for size in (60_001, 70_000, 200_000, 1_000_003, 2 * MIB, 2 * MIB + 1):
            body = noise(size)
            data = HEAD % (b"POST /score?how=hash", size) + b"\r\n" + body
            at = 0
            while at < len(data):
                piece = rng.choice((1, 100, 5_000, 65_536, 300_000))
                sock.sendall(data[at : at + piece])
                at += piece
            sock.sendall(HEAD % (b"GET /", 0) + b"\r\n")
            got = b""
            while b"Healthy" not in got:
                got += sock.recv(65536)

            assert hashlib.sha256(body).hexdigest().encode() in got


def test_a_large_body_that_stops_is_answered_and_its_file_is_not_given_away(tmp_path: Path) -> None:
    with (
        serving(PLAIN, tmp_path, SCORING_BODY_TIMEOUT_MS="300") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock,
        ThreadPoolExecutor(1) as pool,
    ):
        sock.sendall(HEAD % (b"POST /score", MIB) + b"\r\n" + b"a" * 100_000)
        assert sock.recv(65536).startswith(b"HTTP/1.1 408")
        other = pool.submit(server.post, "b" * MIB)
        try:
            for _ in range(9):
                sock.sendall(b"c" * 100_000)
        except OSError:
            pass  # it has been closed

        assert other.result().json() == f'"{"b" * MIB}"'


# streams


@pytest.mark.parametrize("how", ["numbers", "numbers_async"])
@pytest.mark.parametrize(
    ("count", "size"), [(0, 8), (1, 8), (3000, 8), (10, 59_992), (10, 60_000), (10, 64_000), (5, 2_000_000)]
)
def test_streams_come_whole_and_in_order(raw: Server, how: str, count: int, size: int) -> None:
    answer = post(raw, b"", how=how, count=count, size=size)
    assert answer.headers.get("transfer-encoding") == "chunked"
    assert answer.content == b"".join(b"%07d;" % n * (size // 8) for n in range(count))
    assert raw.client.get("/").text == "Healthy"  # the connection is in step


@pytest.mark.parametrize("how", ["endless", "endless_async"])
@pytest.mark.parametrize("size", [1000, 400_000, 8_000_000])
def test_a_slow_reader_costs_no_memory_and_no_one_else_waits(servers: dict[str, Server], how: str, size: int) -> None:
    server = servers["other"]
    worker, front = server.worker(), server.front()
    assert post(server, b"", how="pid").json() == worker
    before = rss(front), rss(worker)
    name = how.replace("_", "-")
    seen = post(server, b"", how="closed").json().count(name)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(b"GET /score?how=%s&size=%d HTTP/1.1\r\nHost: x\r\n\r\n" % (how.encode(), size))
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        until(lambda: unsent(server) and server.client.get("/livez").status_code == 200)
        settled = [rss(front)]

        def still() -> bool:
            settled.append(rss(front))
            return len(settled) > 5 and settled[-1] - settled[-5] < 100_000

        until(still, every=0.05)
        assert server.client.get("/readyz").status_code == 200
        assert rss(front) - before[0] < 6 * MIB
        assert rss(worker) - before[1] < 12 * MIB
    until(lambda: post(server, b"", how="closed").json().count(name) == seen + 1)  # the generator was closed


def unsent(server: Server) -> bool:
    """The kernel cannot send what the front has written."""
    local = f"0100007F:{server.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1] == local and int(row[4].split(":")[0], 16) > 0 for row in rows)


@pytest.mark.parametrize("how", ["endless", "endless_async"])
def test_a_client_that_leaves_before_its_stream_begins_ends_it_all_the_same(
    servers: dict[str, Server], how: str
) -> None:
    server = servers["other"]
    name = how.replace("_", "-")
    seen = post(server, b"", how="closed").json().count(name)
    for _ in range(10):
        leave(server, b"GET /score?how=%s HTTP/1.1\r\nHost: x\r\n\r\n" % how.encode(), b"")
    assert post(server, b"", how="closed").json().count(name) >= seen  # it is answered: no stream goes on for ever
    assert server.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("count", [1, 100])
def test_a_generator_that_raises_truncates_the_answer(raw: Server, count: int) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        post(raw, b"", how="breaks", count=count)
    assert "ValueError: on purpose" in raw.out()
    assert post(raw, b"", how="numbers", count=1).status_code == 200


def test_a_generator_that_raises_at_once_is_a_500(raw: Server) -> None:
    assert post(raw, b"", how="breaks", count=0).status_code == 500


def test_head_of_a_stream_has_no_body(raw: Server) -> None:
    answer = raw.client.head("/score", params={"how": "numbers", "count": "1000", "size": "8000"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert raw.client.get("/").text == "Healthy"


def test_http_1_0_gets_a_stream_without_chunks_until_the_end(raw: Server) -> None:
    with socket.create_connection(("127.0.0.1", raw.port), timeout=5) as sock:
        sock.sendall(b"GET /score?how=numbers&count=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body == b"0000000;0000001;0000002;"


def test_a_stream_that_comes_after_the_timeout_is_not_mixed_into_the_next_answer(tmp_path: Path) -> None:
    with serving(RAW, tmp_path, SCORING_TIMEOUT_MS="200") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
            sock.sendall(b"GET /score?how=late HTTP/1.1\r\nHost: x\r\n\r\n")
            first = sock.recv(65536)
            assert first.startswith(b"HTTP/1.1 500 ")
            assert first.endswith(b'"Scoring timeout after 200 ms"}')
            until(lambda: "scoring_requests_in_flight 0" in server.client.get("/metrics").text)
            sock.sendall(b"GET /score?how=pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            rest = b""
            while chunk := sock.recv(65536):
                rest += chunk
        assert rest.startswith(b"HTTP/1.1 200 ")
        assert rest.count(b"\r\n\r\n") == 1


def test_documents_larger_than_a_frame_reach_the_front(tmp_path: Path) -> None:
    script = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema
def init():
    pass
@input_schema("data", NumpyParameterType(np.arange(64 * 784).reshape(64, 784) / 3))
def run(data):
    return data.sum()
"""
    with serving(script, tmp_path) as server:
        assert len(server.client.get("/swagger.json").content) > 500_000


def test_headers_larger_than_a_frame_are_a_500_and_no_hang(tmp_path: Path) -> None:
    script = """
from azureml_inference_server_http.api.aml_response import AMLResponse
def init():
    pass
def run(raw_data):
    return AMLResponse("x" * 59_000, 200, {"x-big": "h" * int(raw_data)})
"""
    with serving(script, tmp_path) as server:
        statuses = [
            server.client.post("/score", content=n).status_code for n in ("10", "60000", "70000", "500000", "1")
        ]
        assert statuses == [200, 200, 500, 500, 200]
        assert "The response's headers have" in server.out()
