"""The supervisor's life: what is wanted, compared with what runs; first the new one is ready, then the old one leaves.

starting    boots; nobody is sent to it before it is ready
current     serves
leaving     answer what they have; the port stays, as the supervisor holds it too
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from typing import Any

from scoring_runtime.supervisor.files import read_wanted, write_state
from scoring_runtime.supervisor.identity import identify
from scoring_runtime.supervisor.instance import Instance
from scoring_runtime.supervisor.log_files import LogFiles

__all__ = ["Supervisor", "listen"]

STABLE_SECONDS = 10.0  # one that ends sooner counts as one more failure in a row
MOST_FAILURES = 5
BUSY_SECONDS, IDLE_SECONDS = 0.02, 2.0


class Supervisor:
    """One for each service."""

    def __init__(self, folder: str, public: socket.socket) -> None:
        self.folder = folder
        self.public: socket.socket | None = public
        self.port: int = public.getsockname()[1]
        self.log = LogFiles(os.path.join(os.path.dirname(folder), "logs", "server.log"))
        self.wanted: dict[str, Any] = {}
        self.good: dict[str, Any] = {}  # the last that became ready
        self.current: Instance | None = None
        self.starting: Instance | None = None
        self.leaving: list[Instance] = []
        self.failures = 0
        self.restarts = 0
        self.start_at = 0.0  # when to try again
        self.failed: dict[str, Any] = {}  # generation and reason of what could not be started
        self.stopping = False
        self.look = True
        self.unsaved = True
        self.poll = select.poll()

    def run(self) -> None:
        """Until there is nothing left to supervise."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, self.on_signal)
        self.poll.register(reader, select.POLLIN)
        while self.step():
            self.save()
            for descriptor, _ in self.poll.poll(self.patience() * 1000):
                if descriptor == reader:
                    os.read(reader, 512)
                else:
                    self.copy_output(descriptor)
        self.save()
        self.log.close()

    def on_signal(self, number: int, _: Any) -> None:
        self.look = True
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stopping = True

    def patience(self) -> float:
        moving = self.starting or self.leaving or self.start_at
        return BUSY_SECONDS if moving else IDLE_SECONDS

    def instances(self) -> list[Instance]:
        return [one for one in (self.current, self.starting, *self.leaving) if one is not None]

    # one step

    def step(self) -> bool:
        """Look at everything once, and wait for nothing; false when it is over."""
        self.read_wanted()
        if self.stopping:
            self.stop()
        self.bury()
        if self.starting is not None:
            self.watch_start(self.starting)
        elif self.start_at and time.monotonic() >= self.start_at and not self.stopping:
            self.start(self.good or self.wanted)
        for one in self.leaving:
            if time.monotonic() - one.leaving_at > float(one.spec.get("drain_seconds") or 30) + 5:
                one.kill()
        return not self.stopping or bool(self.instances())

    def read_wanted(self) -> None:
        wanted = read_wanted(self.folder)
        if not wanted or wanted["generation"] == self.wanted.get("generation"):
            return
        self.wanted = wanted
        if wanted.get("stop"):
            self.stopping = True
            return
        self.failures = 0
        self.failed = {}
        self.unsaved = True
        if self.starting is not None:  # nobody wants that one any more
            self.dismiss(self.starting)
            self.starting = None
        if self.current is None or self.current.generation != wanted["generation"]:
            self.start(wanted)

    def start(self, spec: dict[str, Any]) -> None:
        self.start_at = 0.0
        self.unsaved = True
        public = self.public
        try:
            public = self.socket_for(int(spec.get("port") or self.port))
            self.starting = Instance(spec, public)
        except (
            OSError,
            ValueError,
            subprocess.SubprocessError,
        ) as error:  # the interpreter is gone, no memory, the port is taken now
            self.drop(public)
            self.say(f"cannot start generation {spec['generation']}: {error}")
            self.give_up(spec["generation"], f"{type(error).__name__}: {error}")
            return
        self.poll.register(self.starting.output, select.POLLIN)
        self.say(f"started generation {spec['generation']} with pid {self.starting.process.pid}")

    def socket_for(self, port: int) -> socket.socket:
        """The service's own, or one on the port that it is going to move to. Raises OSError."""
        if self.public is not None and port == self.port:
            return self.public
        try:
            return listen(port)
        except OSError as error:
            raise OSError(
                f"Cannot listen on 127.0.0.1:{port}: {error.strerror}. Choose another port, or end the process that "
                f"holds it (ss -ltnp 'sport = :{port}')."
            ) from None

    def drop(self, public: socket.socket | None) -> None:
        """Close a socket that is not the service's."""
        if public is not None and public is not self.public:
            public.close()

    def watch_start(self, one: Instance) -> None:
        if one.probe.advance(one.health_port):
            one.ready_at = time.monotonic()
            self.say(f"generation {one.generation} is ready after {one.ready_at - one.born:.2f} s")
            before, self.current, self.starting = self.current, one, None
            self.good = one.spec
            self.unsaved = True
            before_that, self.public = self.public, one.public
            self.port = one.public.getsockname()[1]
            self.drop(before_that)
            if before is not None:
                self.dismiss(before)
        elif time.monotonic() - one.born > float(one.spec.get("ready_seconds") or 300):
            self.starting = None
            self.dismiss(one)
            one.kill()
            self.start_failed(one, None)

    def dismiss(self, one: Instance) -> None:
        one.leave()
        self.leaving.append(one)

    # the ends of instances

    def bury(self) -> None:
        for one in self.instances():
            status = one.exit_status()
            if status is None:
                continue
            self.unsaved = True
            while self.copy_output(one.output):
                pass
            if not one.at_end():
                self.poll.unregister(one.output)
            if one in self.leaving:
                self.leaving.remove(one)
            elif one is self.starting:
                self.starting = None
                self.start_failed(one, status)
            else:
                self.current = None
                self.crashed(one, status)
            self.drop(one.public)
            one.close()

    def start_failed(self, one: Instance, status: int | None) -> None:
        reason = one.why(status)
        self.say(f"generation {one.generation} could not be started")
        if one.generation != self.good.get("generation"):
            self.give_up(one.generation, reason)
            if self.good and self.current is None and not self.stopping:  # it went meanwhile
                self.start(self.good)
        else:
            self.try_again(one, reason)

    def crashed(self, one: Instance, status: int) -> None:
        self.say(f"the server with pid {one.process.pid} is gone (status {status})")
        if self.stopping:
            return
        if time.monotonic() - one.ready_at > STABLE_SECONDS:
            self.failures = 0
        if self.starting is None:
            self.try_again(one, one.why(status))

    def try_again(self, one: Instance, reason: str) -> None:
        self.failures += 1
        if self.failures > MOST_FAILURES:
            self.good = {}
            self.give_up(one.generation, f"It failed {self.failures} times in a row. The last time: {reason}")
            return
        self.restarts += 1
        self.start_at = time.monotonic() + min(0.1 * 2 ** (self.failures - 1), 10)

    def give_up(self, generation: str, reason: str) -> None:
        """The port is closed when nobody serves: a caller is refused rather than left waiting."""
        self.failed = {"generation": generation, "reason": reason}
        self.unsaved = True
        if self.current is None and not self.good and self.public is not None:
            self.public.close()
            self.public = None

    def stop(self) -> None:
        self.start_at = 0.0
        if self.public is not None:
            self.public.close()
            self.public = None
            self.unsaved = True
        for one in (self.current, self.starting):
            if one is not None:
                self.dismiss(one)
        self.current = self.starting = None

    # what others see

    def copy_output(self, descriptor: int) -> bool:
        for one in self.instances():
            if one.output == descriptor and not one.at_end():
                data = one.read()
                self.log.write(data)
                if not data and one.at_end():
                    self.poll.unregister(descriptor)
                return bool(data)
        return False

    def say(self, text: str) -> None:
        now = time.time()
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        self.log.write(f"{date},{int(now % 1 * 1000):03} I [{os.getpid()}] supervisor - {text}\n".encode())

    def save(self) -> None:
        """When the disk is full it is tried again at the next step."""
        if not self.unsaved:
            return
        document = {
            **identify(os.getpid()),
            "port": self.port,
            "wanted": self.wanted.get("generation"),
            "current": self.current and self.current.describe(),
            "starting": self.starting and self.starting.describe(),
            "leaving": [one.describe() for one in self.leaving],
            "failed": self.failed,
            "good": self.good.get("revision"),
            "restarts": self.restarts,
            "stopping": self.stopping,
        }
        try:
            write_state(self.folder, document)
            self.unsaved = False
        except OSError:
            pass


def listen(port: int) -> socket.socket:
    """The service's own socket, on this machine only. Raises OSError."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(4096)
    except OSError:
        sock.close()
        raise
    return sock
