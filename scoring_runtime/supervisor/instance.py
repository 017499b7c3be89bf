"""One server process with its workers: started on the shared socket, asked for its health on a socket of its own."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from scoring_runtime.signals import signal_name
from scoring_runtime.supervisor.identity import identify, kill_group
from scoring_runtime.supervisor.limits import Cage, confine

__all__ = ["Instance", "end_in_words"]

TAIL_BYTES = 32_000
PR_SET_PDEATHSIG = 1


class Instance:
    """Leads a session of its own, so that it ends as a whole; ends with the supervisor, however that ends."""

    def __init__(self, spec: dict[str, Any], public: socket.socket) -> None:
        self.spec = spec
        self.public = public
        self.generation: str = spec["generation"]
        self.born = time.monotonic()
        self.ready_at = 0.0
        self.leaving_at = 0.0
        self.tail = b""
        self.silent = False
        self.probe = Probe()
        memory, cpus = int(spec.get("memory_bytes") or 0), float(spec.get("cpus") or 0)
        self.cage = confine(memory, cpus)
        with listening_anywhere() as health:
            self.health_port: int = health.getsockname()[1]
            try:
                self.process = started(spec, (public.fileno(), health.fileno()), self.cage)
            except BaseException:
                self.cage.remove()
                raise
        assert self.process.stdout is not None
        self.output = self.process.stdout.fileno()
        os.set_blocking(self.output, False)
        self.identity = identify(self.process.pid)

    def describe(self) -> dict[str, Any]:
        """For state.json."""
        return {
            **self.identity,
            "generation": self.generation,
            "revision": self.spec.get("revision"),
            "health_port": self.health_port,
            "limits": self.cage.description,
        }

    def read(self) -> bytes:
        """What it has written since; empty when there is nothing now, and at the end, where it is silent for good."""
        try:
            data = os.read(self.output, 65536)
        except BlockingIOError:
            return b""
        self.silent = not data
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        return data

    def at_end(self) -> bool:
        return self.silent

    def exit_status(self) -> int | None:
        """Its exit code, or minus the signal that ended it. What is left of its session is killed before it is buried:
        as long as the leader is not, nobody else can have its number."""
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        kill_group(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def leave(self) -> None:
        """It answers what it has, and goes."""
        if not self.leaving_at:
            self.leaving_at = time.monotonic()
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        kill_group(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.probe.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.cage.remove()

    def why(self, status: int | None) -> str:
        """In words for people: what it said last, else how it ended."""
        if self.cage.memory_kills():
            return f"It ran out of memory ({self.cage.description}). Give it more, or load less in init()."
        if status is None:
            waited = time.monotonic() - self.born
            return f"init() has not finished in {waited:.0f} s. Make it faster, or raise WORKER_TIMEOUT."
        return end_in_words(self.tail.decode(errors="replace"), status)


class Probe:
    """Asks GET /readyz and never waits: advance() sends, reads, and says what is known."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None

    def advance(self, port: int) -> bool:
        """Whether an answer has come that says ready."""
        try:
            if self.sock is None:
                self.sock = socket.create_connection(("127.0.0.1", port), 0.2)
                self.sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: supervisor\r\nConnection: close\r\n\r\n")
                self.sock.setblocking(False)
            answer = self.sock.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            answer = b""
        self.close()
        return answer.startswith(b"HTTP/1.1 200 ")

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def started(spec: dict[str, Any], fds: tuple[int, int], cage: Cage) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        spec["argv"],
        cwd=spec["cwd"],
        env=environment(spec["environ"], fds),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=fds,
        start_new_session=True,
        preexec_fn=before_exec(cage),
    )


def environment(own: dict[str, str], fds: tuple[int, int]) -> dict[str, str]:
    return {**os.environ, **own, "SCORING_LISTEN_FD": "{},{}".format(*fds)}


def listening_anywhere() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


def before_exec(cage: Cage) -> Callable[[], None]:
    """In the new process: into its cage, and no longer than its supervisor."""
    prctl = ctypes.CDLL(None).prctl
    supervisor = os.getpid()

    def run() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:
            os._exit(1)
        cage.join()

    return run


LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", re.MULTILINE)
LOGGED_ERROR = re.compile(r"^\d{4}-\d\d-\d\d [^\n]*? - ([A-Z]\w*Error: )", re.MULTILINE)
BARE_ERROR = re.compile(r"^([A-Z]\w*Error: )", re.MULTILINE)


def end_in_words(text: str, status: int) -> str:
    """Why a server with this output ended so: the error that it named, else how, with its last lines."""
    error = named_error(text)
    if error and status >= 0:
        return error
    how = signal_name(-status) if status < 0 else f"exit code {status}"
    said = error or "\n".join([line for line in text.splitlines() if line.strip()][-5:])
    return (
        f"It ended with {how}. It said last:\n{said}" if said else f"It ended with {how}, saying nothing. See its logs."
    )


def named_error(text: str) -> str:
    """The last error that the server named, with the lines that belong to it; empty where there is none."""
    found = list(LOGGED_ERROR.finditer(text)) or list(BARE_ERROR.finditer(text))
    if not found:
        return ""
    rest = text[found[-1].start(1) :]
    end = LOG_LINE.search(rest)
    return (rest[: end.start()] if end else rest).strip()
