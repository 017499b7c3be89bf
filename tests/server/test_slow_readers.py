"""Clients that take their time to read an answer: they get all of it, and hold nothing for ever."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.certificates import make_pair
from tests.serving import Server, raw_exchange, until

SIZE = 32 * 1024 * 1024  # more than the sockets hold
LARGE = f"""
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    return AMLResponse(bytes({SIZE}), 200)
"""


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings: with a certificate, or without."""
    return {} if request.param == "http" else make_pair(tmp_path, "server").environ


@contextmanager
def asking(server: Server, tls: dict[str, str], *, closing: bool = False) -> Iterator[socket.socket]:
    """A client that has its answer's first bytes, and reads no more."""
    with connected(server, tls) as client:
        extra = b"Connection: close\r\n" if closing else b""
        client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n%s\r\n" % extra)
        assert client.recv(12) == b"HTTP/1.1 200"
        yield client


@contextmanager
def connected(server: Server, tls: dict[str, str]) -> Iterator[socket.socket]:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.settimeout(20)
    client.connect(("127.0.0.1", server.port))
    if tls:
        context = ssl.create_default_context(cafile=tls["SCORING_TLS_CERT"])
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        client = context.wrap_socket(client, server_hostname="localhost")
    with client:
        yield client


@contextmanager
def serving_large(tmp_path: Path, tls: dict[str, str], text: str = LARGE, **settings: str) -> Iterator[Server]:
    script = tmp_path / "score.py"
    script.write_text(text)
    server = Server(script, folder=tmp_path, **tls, **settings)
    if tls:
        server.client = httpx.Client(base_url=f"https://localhost:{server.port}", verify=False, trust_env=False)
    try:
        yield server.wait_ready()
    finally:
        server.end()


def rest(client: socket.socket) -> bytes:
    """The answer's other bytes, or as many as come."""
    data = bytearray()
    while (length := data.find(b"\r\n\r\n", 0, 4096)) < 0 or len(data) < length + 4 + SIZE:
        try:
            piece = client.recv(1 << 20)
        except (ConnectionResetError, ssl.SSLError):
            break
        if not piece:
            break
        data += piece
    return bytes(data)


def body_bytes(answer: bytes) -> int:
    return len(answer) - answer.index(b"\r\n\r\n") - 4


def wait_for_an_idle_connection_to_be_closed(server: Server, tls: dict[str, str]) -> None:
    with connected(server, tls) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        while idle.recv(65536):
            pass


@pytest.mark.parametrize("closing", [False, True], ids=["keep-alive", "close"])
def test_an_answer_that_is_read_slowly_outlives_the_idle_timeout(
    tmp_path: Path, tls: dict[str, str], closing: bool
) -> None:
    with serving_large(tmp_path, tls, SCORING_KEEP_ALIVE="1") as server, asking(server, tls, closing=closing) as client:
        wait_for_an_idle_connection_to_be_closed(server, tls)
        wait_for_an_idle_connection_to_be_closed(server, tls)
        assert body_bytes(rest(client)) == SIZE


ECHO = LARGE.replace(f"bytes({SIZE})", "request.get_data()")


def test_an_answer_that_waits_for_its_reader_is_nobody_elses(tmp_path: Path, tls: dict[str, str]) -> None:
    """It is sent from the memory file that its request came in; that one is not used again before."""
    size, many = 2_000_000, 5  # together more than the sockets hold
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    with serving_large(tmp_path, tls, ECHO) as server, connected(server, tls) as client:
        for n in range(many):
            client.sendall(head + bytes([n]) * size)
        count = f'scoring_requests_total{{status="200"}} {many}\n'
        until(lambda: count in server.client.get("/metrics").text)
        for _ in range(20):
            assert server.client.post("/score", content=b"x" * size).content == b"x" * size
        with client.makefile("rb") as answers:
            for n in range(many):
                while answers.readline() != b"\r\n":
                    pass
                assert answers.read(size) == bytes([n]) * size


def test_a_connection_is_idle_from_when_its_answer_is_read(tmp_path: Path, tls: dict[str, str]) -> None:
    with serving_large(tmp_path, tls, SCORING_KEEP_ALIVE="1") as server, asking(server, tls) as client:
        wait_for_an_idle_connection_to_be_closed(server, tls)
        rest(client)
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert client.recv(65536) == b""


def test_sigterm_waits_for_an_answer_that_is_read_slowly(tmp_path: Path, tls: dict[str, str]) -> None:
    with serving_large(tmp_path, tls) as server, asking(server, tls) as client:
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not server.ready())
        assert body_bytes(rest(client)) == SIZE
        assert server.process.wait(15) == 0


@pytest.mark.parametrize("closing", [False, True], ids=["keep-alive", "close"])
def test_a_client_that_never_reads_is_cut_off(tmp_path: Path, tls: dict[str, str], closing: bool) -> None:
    settings = {"SCORING_KEEP_ALIVE": "1", "SCORING_BODY_TIMEOUT_MS": "1000"}
    with serving_large(tmp_path, tls, **settings) as server, asking(server, tls, closing=closing) as client:
        until(lambda: established(server.port) == 0)
        assert body_bytes(rest(client)) < SIZE


def established(port: int) -> int:
    """Connections of the server's port that the kernel still holds open or is sending for."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


HUGE = 120 * 1024 * 1024
HUGE_ANSWER = LARGE.replace(f"bytes({SIZE})", f"request.get_data()[:1] * {HUGE}")


def test_an_answer_that_nobody_reads_takes_no_memory_of_the_front(tmp_path: Path, tls: dict[str, str]) -> None:
    with serving_large(tmp_path, tls, HUGE_ANSWER) as server:
        before = front_bytes(server)
        with connected(server, tls) as client:
            for letter in b"ab":  # the second one is pipelined
                client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%c" % letter)
            until(lambda: 'scoring_requests_total{status="200"} 1\n' in server.client.get("/metrics").text)
            with client.makefile("rb") as answers:
                for letter in b"ab":
                    assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
                    assert front_bytes(server) - before < 40 * 1024 * 1024
                    while answers.readline() != b"\r\n":
                        pass
                    assert answers.read(HUGE) == b"%c" % letter * HUGE


def front_bytes(server: Server) -> int:
    front = server.front()
    status = Path(f"/proc/{front}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def test_who_has_sent_all_gets_all_of_a_large_answer(tmp_path: Path) -> None:
    with serving_large(tmp_path, {}) as server, asking(server, {}) as client:
        client.shutdown(socket.SHUT_WR)
        assert body_bytes(rest(client)) == SIZE


def test_a_client_that_leaves_in_the_middle_of_a_large_answer_leaves_nothing(tmp_path: Path) -> None:
    with serving_large(tmp_path, {}) as server:
        front = server.front()
        server.client.get("/metrics")
        before = os.listdir(f"/proc/{front}/fd")
        for _ in range(3):
            with asking(server, {}):
                pass
        until(lambda: len(os.listdir(f"/proc/{front}/fd")) <= len(before))
        head = b"HEAD /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert b"Content-Length: %d" % SIZE in raw_exchange(server.port, head)
        until(lambda: len(os.listdir(f"/proc/{front}/fd")) <= len(before))
