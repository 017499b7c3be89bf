"""Starts the real server on a free port, for tests that talk to it over real sockets."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
PORTS = range(10240, 32768)


def free_port() -> int:
    """A port nobody has, outside the range that the kernel gives to others, and no test of this machine gets it soon.

    A port that the kernel gave and took back can be someone else's before the server that was told of it listens.
    """
    with (Path(tempfile.gettempdir()) / f"scoring-tests-port-{os.getuid()}").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        port = int(file.read() or PORTS[-1])
        while True:
            port = port + 1 if port + 1 in PORTS else PORTS[0]
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                break
        file.truncate(0)
        file.write(str(port))
    return port


def until(claim: Any, seconds: float = 15.0, every: float = 0.02) -> Any:
    """The first true value of claim(); fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = claim()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"not true within {seconds} s: {claim}")


class Server:
    """A running `scoring-serve`."""

    def __init__(
        self,
        script: Path,
        *arguments: str,
        folder: Path,
        fds: tuple[int, ...] = (),
        python: Path = Path(sys.executable),
        **environ: str,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.out_path = folder / "stdout.txt"
        self.err_path = folder / "stderr.txt"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AML", "AZUREML", "SCORING", "WORKER"))}
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.process = subprocess.Popen(
                [str(python), "-m", "scoring_runtime", str(script), "--port", str(self.port), *arguments],
                cwd=folder,
                env={**clean, "PYTHONPATH": str(ROOT), **environ},
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=fds,
            )
        self.client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)

    def wait_ready(self) -> Server:
        until(self.ready, 60)  # a busy machine takes its time to import what scripts import
        return self

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.out()}\n{self.err()}")
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def post(self, value: object, **options: Any) -> httpx.Response:
        return self.client.post("/score", content=json.dumps(value), headers=JSON, **options)

    def out(self) -> str:
        return self.out_path.read_text(errors="replace")

    def err(self) -> str:
        return self.err_path.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Pids that have reported ready and still live."""
        pids = [int(pid) for pid in re.findall(r"Worker with pid (\d+) ready for serving traffic", self.out())]
        return [pid for pid in pids if alive(pid)]

    def worker(self) -> int:
        """The only one: it serves a moment before it says so."""
        return until(lambda: len(self.workers()) == 1 and self.workers()[0])  # type: ignore[no-any-return]

    def front(self) -> int:
        """The child that is no worker."""

        def strangers() -> set[int]:
            return self.children() - set(self.workers())

        return until(lambda: len(strangers()) == 1 and strangers().pop())  # type: ignore[no-any-return]

    def children(self) -> set[int]:
        """The pids of front and workers."""
        return set(map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def end(self) -> None:
        self.client.close()
        try:
            self.stop(seconds=10)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


JSON = {"Content-Type": "application/json"}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


@contextlib.contextmanager
def serving(text: str, folder: Path, *arguments: str, **environ: str) -> Iterator[Server]:
    """The script with this text, served until the block ends."""
    script = folder / "score.py"
    script.write_text(text)
    server = Server(script, *arguments, folder=folder, **environ)
    try:
        yield server.wait_ready()
    finally:
        server.end()


def raw_exchange(port: int, data: bytes, seconds: float = 10.0) -> bytes:
    """Everything that comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
        sock.sendall(data)
        received = b""
        try:
            while chunk := sock.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return received
