"""A listening socket that a supervisor keeps: servers take turns on it, and callers notice nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from scoring_runtime.errors import SettingsError
from scoring_runtime.server.sockets import handed_in
from scoring_runtime.settings import Settings
from tests.serving import ROOT, Server, until

SCRIPT = """
import os, time
def init():
    while not os.path.exists("go"):
        time.sleep(0.01)
def run(raw_data):
    time.sleep(0.002)
    return VERSION
"""


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock


@contextmanager
def version(number: int, folder: Path, public: socket.socket) -> Iterator[Server]:
    """A server of that version on the shared socket, with a health socket of its own; init() waits for `go`."""
    home = folder / f"v{number}"
    home.mkdir()
    script = home / "score.py"
    script.write_text(f"VERSION = {number}\n{SCRIPT}")
    with listening() as health:
        fds = (public.fileno(), health.fileno())
        server = Server(script, folder=home, fds=fds, SCORING_LISTEN_FD="{},{}".format(*fds))
        server.client.base_url = httpx.URL(f"http://127.0.0.1:{health.getsockname()[1]}")
    try:
        yield server
    finally:
        server.end()


def go(server: Server) -> Server:
    (server.folder / "go").touch()
    return server.wait_ready()


class Callers:
    """New connections and kept ones, again and again; every answer and every failure is kept."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/score"
        self.stopped = threading.Event()
        self.versions: list[tuple[float, int]] = []  # when it was asked, and the answer
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self.ask, args=(kept,)) for kept in (True, True, False, False)]
        for thread in self.threads:
            thread.start()

    def ask(self, kept: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=5 if kept else 0)
        with httpx.Client(timeout=20, limits=limits, trust_env=False) as client:
            while not self.stopped.is_set():
                begun = time.monotonic()
                try:
                    answer = client.post(self.url, content="{}")
                    self.versions.append((begun, answer.json() if answer.status_code == 200 else -answer.status_code))
                except httpx.TransportError as error:
                    self.failures.append(repr(error))

    def more(self, count: int) -> list[int]:
        """The versions that answer the next requests."""
        now = time.monotonic()
        return until(lambda: len(later := [v for t, v in self.versions if t > now]) >= count and later)[:count]  # type: ignore[no-any-return]

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)


def test_a_swap_of_servers_on_one_socket_loses_no_request(tmp_path: Path) -> None:
    with ExitStack() as stack:
        public = stack.enter_context(listening())
        old = go(stack.enter_context(version(1, tmp_path, public)))
        callers = Callers(public.getsockname()[1])
        stack.callback(callers.stop)
        assert set(callers.more(50)) == {1}

        new = stack.enter_context(version(2, tmp_path, public))
        until(lambda: new.client.get("/livez").status_code == 200)
        assert new.client.get("/readyz").status_code == 503
        assert set(callers.more(100)) == {1}  # nothing waits for an init() that is not done

        go(new)
        assert old.stop() == 0
        assert set(callers.more(50)) == {2}
        callers.stop()
        assert callers.failures == []
        assert {v for _, v in callers.versions} == {1, 2}


def test_what_waits_in_the_socket_outlives_the_server(tmp_path: Path) -> None:
    with ExitStack() as stack:
        public = stack.enter_context(listening())
        old = go(stack.enter_context(version(1, tmp_path, public)))
        assert old.stop() == 0
        waiting = stack.enter_context(socket.create_connection(public.getsockname(), timeout=20))
        waiting.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        go(stack.enter_context(version(2, tmp_path, public)))

        assert waiting.makefile("rb").read().endswith(b"\r\n\r\n2")


def test_a_replaced_front_takes_the_shared_socket_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        public = stack.enter_context(listening())
        server = go(stack.enter_context(version(1, tmp_path, public)))
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        os.kill(next(int(pid) for pid in children if int(pid) not in server.workers()), 9)

        assert httpx.post(f"http://127.0.0.1:{public.getsockname()[1]}/score", content="{}").json() == 1


def test_systemd_hands_sockets_in_by_its_own_names(tmp_path: Path) -> None:
    """LISTEN_FDS counts only for the process that LISTEN_PID names; the first socket is descriptor 3."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from scoring_runtime.server.sockets import handed_in\n"
        "from scoring_runtime.settings import Settings\n"
        "os.dup2(int(sys.argv[2]), 3)\n"
        "environ = {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid()), 'KEPT': 'yes'}\n"
        "print([s.getsockname()[1] for s in handed_in(Settings({}), environ)], environ)\n"
        "print(handed_in(Settings({}), {'LISTEN_FDS': '1', 'LISTEN_PID': '1'}))\n"
    )
    with listening() as sock:
        command = [sys.executable, "-c", code, str(ROOT), str(sock.fileno())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, pass_fds=(sock.fileno(),))
        port = sock.getsockname()[1]

    assert done.stdout.splitlines() == [f"[{port}] {{'KEPT': 'yes'}}", "[]"], done.stderr


@pytest.mark.parametrize("value", ["x", "99999", "-1", "0"])
def test_what_is_no_listening_socket_is_refused_by_name(value: str) -> None:
    with pytest.raises(SettingsError, match=r"SCORING_LISTEN_FD: expected the descriptors of one or two listening"):
        handed_in(Settings({"listen_fd": value}), {})


def test_a_socket_that_does_not_listen_is_refused_and_left_open() -> None:
    with socket.socket() as idle:
        with pytest.raises(SettingsError, match="listening TCP sockets"):
            handed_in(Settings({"listen_fd": str(idle.fileno())}), {})

        assert os.fstat(idle.fileno())
