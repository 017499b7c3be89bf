"""What the host is short of stops nobody: readers of the log (nothing is missing when one is back), and open files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import Server, alive, until

SCRIPT = """
import json, os, time
def init(): pass
def run(raw_data):
    while json.loads(raw_data) == "hold":
        try:
            time.sleep(0.05)
        except BaseException:
            pass
    return os.getpid()
"""


class Stalled(Server):
    """Its output goes to one small pipe, or two, that nobody reads before `read` is called."""

    def __init__(self, folder: Path, both: bool, **environ: str) -> None:
        self.text = b""
        self.worker = 0
        self.folder = folder
        os.mkfifo(folder / "stdout.txt")
        if both:
            (folder / "stderr.txt").symlink_to("stdout.txt")
        self.pipe = os.open(folder / "stdout.txt", os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, 65536)
        (folder / "score.py").write_text(SCRIPT)
        super().__init__(folder / "score.py", folder=folder, **environ)

    def stall(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.write(self.pipe, b"." * 4096):
                pass
        with contextlib.suppress(BlockingIOError):
            while os.write(self.pipe, b"."):
                pass

    def out(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe, 65536):
                self.text += data
        return self.text.decode()

    def err(self) -> str:
        return "" if (self.folder / "stderr.txt").is_symlink() else super().err()

    def children(self) -> set[int]:
        pid = self.process.pid
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def end(self) -> None:
        super().end()
        os.close(self.pipe)


@pytest.fixture(params=[False, True], ids=["stdout", "both"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stalled]:
    server = Stalled(
        tmp_path,
        request.param,
        SCORING_TIMEOUT_MS="300",
        SCORING_STUCK_GRACE_MS="300",
        SCORING_GRACEFUL_TIMEOUT="4",
    )
    try:
        (server.worker,) = until(server.wait_ready().workers)
        server.stall()
        yield server
    finally:
        server.end()


def test_health_answers_after_a_run_that_goes_on_and_a_new_worker_serves_when_somebody_reads(server: Stalled) -> None:
    worker = server.worker

    assert server.post("hold").status_code == 500
    until(lambda: not alive(worker))
    assert server.client.get("/livez", timeout=3).status_code == 200
    assert server.client.get("/readyz", timeout=3).status_code == 503
    until(lambda: "goes on" in server.out())
    until(server.ready)

    assert server.post(1).json() != worker
    until(lambda: f"Worker (pid:{worker}) was sent" in server.out() + server.err())


def test_a_dead_worker_and_a_dead_front_are_replaced(server: Stalled) -> None:
    before = server.children()

    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(server.children() - before) == 2)
    until(lambda: live(server))
    until(lambda: server.out() and server.ready())

    assert server.post(1).status_code == 200
    until(lambda: "The front process is gone" in server.out() + server.err())


def live(server: Server) -> bool:
    try:
        return server.client.get("/livez", timeout=3).status_code == 200
    except httpx.TransportError:
        return False


def test_sigterm_ends_it_with_0(server: Stalled) -> None:
    for _ in range(50):
        assert server.post(1).status_code == 200
    start = time.monotonic()

    assert server.stop() == 0

    assert time.monotonic() - start < 4 + 2


LIMIT_SCRIPT = """
import resource
def init(): pass
def run(raw_data):
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""
REQUEST = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1000, reason="the hard limit is low too")
def test_more_connections_than_the_soft_limit_are_answered_and_scripts_keep_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -Sn 256\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "score.py").write_text(LIMIT_SCRIPT)
    server = Server(tmp_path / "score.py", folder=tmp_path, python=python)
    with contextlib.ExitStack() as stack:
        stack.callback(server.end)
        server.wait_ready()
        address = ("127.0.0.1", server.port)

        clients = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(600)]
        for client in clients:
            client.sendall(REQUEST)
        answers = [client.recv(4096) for client in clients]

    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 200"}
    assert {answer.rpartition(b"\r\n\r\n")[2] for answer in answers} == {b"256"}
