"""Clients that take their time to read an answer: they get all of it, and hold nothing for ever."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serving import Server, serving, until

SIZE = 32 * 1024 * 1024  # more than the sockets hold
LARGE = f"""
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    return AMLResponse(bytes({SIZE}), 200)
"""


@contextmanager
def asking(server: Server, *, closing: bool = False) -> Iterator[socket.socket]:
    """A client that has its answer's first bytes, and reads no more."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(20)
        client.connect(("127.0.0.1", server.port))
        extra = b"Connection: close\r\n" if closing else b""
        client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n%s\r\n" % extra)
        assert client.recv(12) == b"HTTP/1.1 200"
        yield client


def rest(client: socket.socket) -> bytes:
    """The answer's other bytes, or as many as come."""
    data = bytearray()
    while (length := bytes(data).find(b"\r\n\r\n", 0, 4096)) < 0 or len(data) < length + 4 + SIZE:
        try:
            piece = client.recv(1 << 20)
        except ConnectionResetError:
            break
        if not piece:
            break
        data += piece
    return bytes(data)


def body_bytes(answer: bytes) -> int:
    return len(answer) - answer.index(b"\r\n\r\n") - 4


def wait_for_an_idle_connection_to_be_closed(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        while idle.recv(65536):
            pass


@pytest.mark.parametrize("closing", [False, True], ids=["keep-alive", "close"])
def test_an_answer_that_is_read_slowly_outlives_the_idle_timeout(tmp_path: Path, closing: bool) -> None:
    with serving(LARGE, tmp_path, SCORING_KEEP_ALIVE="1") as server, asking(server, closing=closing) as client:
        wait_for_an_idle_connection_to_be_closed(server)
        wait_for_an_idle_connection_to_be_closed(server)
        assert body_bytes(rest(client)) == SIZE


def test_a_connection_is_idle_from_when_its_answer_is_read(tmp_path: Path) -> None:
    with serving(LARGE, tmp_path, SCORING_KEEP_ALIVE="1") as server, asking(server) as client:
        wait_for_an_idle_connection_to_be_closed(server)
        rest(client)
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert client.recv(65536) == b""


def test_sigterm_waits_for_an_answer_that_is_read_slowly(tmp_path: Path) -> None:
    with serving(LARGE, tmp_path) as server, asking(server) as client:
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not server.ready())
        assert body_bytes(rest(client)) == SIZE
        assert server.process.wait(15) == 0


@pytest.mark.parametrize("closing", [False, True], ids=["keep-alive", "close"])
def test_a_client_that_never_reads_is_cut_off(tmp_path: Path, closing: bool) -> None:
    settings = {"SCORING_KEEP_ALIVE": "1", "SCORING_BODY_TIMEOUT_MS": "1000"}
    with serving(LARGE, tmp_path, **settings) as server, asking(server, closing=closing) as client:
        until(lambda: established(server.port) == 0)
        assert body_bytes(rest(client)) < SIZE


def established(port: int) -> int:
    """Connections of the server's port that the kernel still holds open or is sending for."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")
