"""A server's life: started in its own session, awaited with a bound, weighed, stopped as a group."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.environments import ROOT

__all__ = ["Running", "ServerFailed", "free_ports", "session_members"]

START_SECONDS = 90.0
STOP_SECONDS = 5.0
REQUEST_SECONDS = 30.0
POLL_SECONDS = 0.002


class ServerFailed(Exception):
    """A server that did not start, ended early, or answered wrongly; the message carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now: all held at once, then let go."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Running:
    """A started server; as a context manager it stops on the way out."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    started: float

    @classmethod
    def start(
        cls, name: str, command: list[str], environ: Mapping[str, str], port: int, log: Path, cwd: Path
    ) -> Running:
        with log.open("wb") as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                command,
                env=dict(environ),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, port, process, log, started)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_for(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> float:
        """Seconds from the start of the process to the first 200 on that request."""
        deadline = self.started + START_SECONDS
        while time.perf_counter() < deadline:
            if self.process.poll() is not None:
                tail = self.log_tail()
                last_line = tail.strip().rpartition("\n")[2]
                raise ServerFailed(f"{self.name} ended with {self.process.returncode}: {last_line}\n{tail}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, answer = self.ask(method, path, body, content_type)
                if status == 200:
                    return time.perf_counter() - self.started
                if body is not None and 400 <= status < 500:
                    raise ServerFailed(f"{self.name} answered {status}: {answer[:300]!r}\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)
        raise ServerFailed(f"{self.name} did not answer {method} {path} in {START_SECONDS} s:\n{self.log_tail()}")

    def ask(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)) as client:
            return _ask(client, method, path, body, content_type)

    def repeat(self, count: int, path: str, body: bytes, content_type: str) -> None:
        """The same request again and again on one connection, for as long as the server keeps it open."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)) as client:
            for _ in range(count):
                status, answer = _ask(client, "POST", path, body, content_type)
                if status != 200:
                    raise ServerFailed(f"{self.name} answered {status}: {answer[:300]!r}\n{self.log_tail()}")

    def memory(self) -> dict[str, Any]:
        """MiB of the whole tree and of its largest process, which is never smaller than the one with the script."""
        rows = sorted(filter(None, map(_weigh, session_members(self.process.pid))), key=lambda row: -row["pss_mib"])
        if not rows:
            raise ServerFailed(f"{self.name} has no process left to weigh:\n{self.log_tail()}")
        total = round(sum(row["pss_mib"] for row in rows), 1)
        return {"total_pss_mib": total, "largest": rows[0], "processes": rows}

    def stop(self) -> None:
        """SIGTERM to the session's processes, SIGKILL to those that stay."""
        for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            if number == signal.SIGTERM and self.process.poll() is None:
                os.killpg(self.process.pid, number)
            elif number == signal.SIGKILL:
                for pid in session_members(self.process.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            deadline = time.perf_counter() + patience
            while time.perf_counter() < deadline:
                if self.process.poll() is not None and not session_members(self.process.pid):
                    return
                time.sleep(0.02)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def _ask(
    client: http.client.HTTPConnection, method: str, path: str, body: bytes | None, content_type: str
) -> tuple[int, bytes]:
    client.request(method, path, body=body, headers={"Content-Type": content_type} if body is not None else {})
    response = client.getresponse()
    return response.status, response.read()


def session_members(session: int) -> list[int]:
    """The living processes of a session (start_new_session made its id the pid of the server)."""
    return [pid for pid, sid, state in _stat_rows() if sid == session and state not in ("Z", "X")]


def _stat_rows() -> Iterator[tuple[int, int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(after_name[3]), after_name[0]


def _weigh(pid: int) -> dict[str, Any] | None:
    """One process in MiB; None if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        command = command.replace(f"{ROOT}/", "")
    except OSError:
        return None
    sizes = {key: int(rest.split()[0]) / 1024 for key, _, rest in (line.partition(":") for line in lines)}
    return {
        "pid": pid,
        "command": command[:100].strip(),
        "rss_mib": round(sizes["Rss"], 1),
        "pss_mib": round(sizes["Pss"], 1),
    }
