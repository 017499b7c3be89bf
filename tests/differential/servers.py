"""Processes under test: one command with a script, a folder of its own and its output in files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.serving import free_port

from .wire import Answer, BrokenAnswer, exchange, request

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
BOOT_SECONDS = 40.0
POLL_SECONDS = 0.02
PORT_TRIES = 3

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Service:
    """What to serve: a script of scripts/ (or a text), environment, flags, and files beside the script.

    "{root}" in values stands for the folder that the server runs in; "{port}" in flags for a free port.
    """

    script: str | None = "plain.py"
    env: Pairs = ()
    args: tuple[str, ...] = ()
    files: Pairs = ()
    flag: bool = True
    cwd: str = "."


def service(
    script: str | None = "plain.py",
    env: Mapping[str, str] | None = None,
    args: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
    *,
    flag: bool = True,
    cwd: str = ".",
) -> Service:
    return Service(script, tuple((env or {}).items()), args, tuple((files or {}).items()), flag, cwd)


def port_open(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """One running (or failed) server."""

    def __init__(self, command: list[str], what: Service, root: Path) -> None:
        self.command = command
        self.what = what
        self.root = root
        self.port = 0
        self.health_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)
        self.home = root.parent / (root.name + "-home")
        self.home.mkdir(exist_ok=True)
        if what.script:
            shutil.copy(SCRIPTS / what.script, root / what.script)
        for name, text in what.files:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    @property
    def stdout(self) -> str:
        return (self.home / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return (self.home / "stderr").read_text(errors="replace")

    def fill(self, text: str) -> str:
        return text.replace("{root}", str(self.root)).replace("{health_port}", str(self.health_port))

    def launch(self) -> None:
        self.port, self.health_port = free_port(), free_port()
        argv = [*self.command]
        if self.what.script and self.what.flag:
            argv += ["--entry_script", self.what.script]
        if "--port" not in self.what.args and "--help" not in self.what.args:
            argv += ["--port", str(self.port)]
        argv += [self.fill(arg) for arg in self.what.args]
        with open(self.home / "stdout", "wb") as out, open(self.home / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                argv,
                cwd=self.root / self.what.cwd,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """A small environment, the same wherever the suite runs."""
        keep = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")
        environ = {name: os.environ[name] for name in keep if name in os.environ}
        environ |= {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_CORE_"))}
        environ |= {"HOME": str(self.home), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPOSITORY)}
        environ["PYTHONSAFEPATH"] = "1"  # as the installed command: python -m would put the current folder first
        if "azmlinfsrv" in self.command[0]:  # the reference finds no package of ours
            del environ["PYTHONPATH"], environ["PYTHONSAFEPATH"]
        environ |= {name: self.fill(value) for name, value in self.what.env}
        return {name: value for name, value in environ.items() if value != "{unset}"}

    def wait_ready(self, deadline: float) -> bool:
        """True once the server serves; False if it ended first. Ours is healthy before its init() has ended."""
        assert self.process is not None
        path = "/" if "azmlinfsrv" in self.command[0] else "/readyz"
        while time.monotonic() < deadline:
            try:
                answer = exchange(self.port, request("GET", path), timeout=max(0.1, deadline - time.monotonic()))
                if answer.status == 503:
                    raise BrokenAnswer("init() goes on")
            except (BrokenAnswer, OSError):
                if self.process.poll() is not None:
                    return False
                time.sleep(POLL_SECONDS)
            else:
                return True
        raise TimeoutError(f"not ready: {self.describe()}")

    def wait_exit(self, timeout: float = BOOT_SECONDS) -> int:
        assert self.process is not None
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"still running: {self.describe()}") from None

    def port_taken(self) -> bool:
        return "in use" in self.stderr.lower() or "in use" in self.stdout.lower()

    def describe(self) -> str:
        code = self.process.poll() if self.process else None
        return f"{self.command} {self.what}\nexit code {code}\nstdout:\n{self.stdout}\nstderr:\n{self.stderr}"

    def ask(self, raw: bytes, timeout: float = 20.0) -> Answer:
        return exchange(self.port, raw, timeout)

    def children(self) -> list[int]:
        """The processes of this server's group, its own one excepted."""
        assert self.process is not None
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            # state, ppid, pgrp, session
            if int(fields[3]) == self.process.pid and int(entry) != self.process.pid and fields[0] != "Z":
                found.append(int(entry))
        return found

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)


class Pair:
    """The reference and ours, serving the same thing."""

    def __init__(self, reference: Server, ours: Server) -> None:
        self.reference = reference
        self.ours = ours

    @property
    def both(self) -> tuple[Server, Server]:
        return self.reference, self.ours

    def start(self, *, ready: bool = True) -> Pair:
        """Starts both together; waits until both serve, unless a failing start is what is looked for."""
        for server in self.both:
            server.launch()
        if ready:
            for server in self.both:
                self.await_server(server)
        return self

    @staticmethod
    def await_server(server: Server) -> None:
        for _ in range(PORT_TRIES):
            if server.wait_ready(time.monotonic() + BOOT_SECONDS):
                return
            if not server.port_taken():
                break
            server.stop()
            server.launch()
        raise AssertionError(f"the server did not start: {server.describe()}")

    def end(self) -> None:
        """Asks ours to end, so that coverage is written; kills the reference, which has nothing to say."""
        for server in self.both:
            if server.process is not None and server.process.poll() is None:
                if "azmlinfsrv" in server.command[0]:
                    os.killpg(server.process.pid, signal.SIGKILL)
                else:
                    server.process.terminate()

    def stop(self) -> None:
        self.end()
        for server in self.both:
            server.stop()


def our_command() -> list[str]:
    """Ours, or what SCORING_SERVE_COMMAND names (the reference itself, to prove the suite)."""
    override = os.environ.get("SCORING_SERVE_COMMAND")
    return override.split() if override else [sys.executable, "-m", "scoring_runtime"]


def standing_in() -> bool:
    """Whether the reference plays our part."""
    return "azmlinfsrv" in our_command()[0]
