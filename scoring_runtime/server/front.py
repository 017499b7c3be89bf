"""The front process: it owns the sockets and the queue, and never runs user code, so it can always answer."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from scoring_runtime import threads
from scoring_runtime.errors import MethodNotAllowed, NotReady, Overloaded
from scoring_runtime.memory import keep_freed_memory
from scoring_runtime.server import logs, wire
from scoring_runtime.server.bodies import Bodies
from scoring_runtime.server.boot import HELD
from scoring_runtime.server.call import Call
from scoring_runtime.server.cors import Cors
from scoring_runtime.server.dispatch import Dispatcher
from scoring_runtime.server.metrics import Metrics
from scoring_runtime.server.outlets import AccessLog
from scoring_runtime.server.protocol import ScoringProtocol
from scoring_runtime.server.secured import Secured
from scoring_runtime.server.sockets import Doors
from scoring_runtime.server.watch import kill
from scoring_runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scoring_runtime.server.auth import Guard
    from scoring_runtime.server.keys import Vault

__all__ = ["FrontServer", "run_front"]

logger = logging.getLogger("azmlinfsrv")

NOT_STARTED = "Not ready: init() has not finished yet."
KEPT_BYTES = 16 * 1024 * 1024
LOG_SECONDS = 0.02
HANDSHAKE_SECONDS = 10.0
THROTTLE_SECONDS = 30.0


def run_front(
    settings: Settings,
    listeners: Sequence[socket.socket],
    vault: Vault,
    channel: wire.Channel,
    table: wire.SlotTable,
    lifeline: int,
) -> None:
    """The whole life of the front process."""
    logs.set_up(settings)
    raise_file_limit()
    front = FrontServer(settings, channel, table, vault, plain_log=logs.find_logging_json(settings) is None)
    front.secured.warn()
    uvloop.run(front.serve(listeners, lifeline))
    front.access_log.close()


def raise_file_limit() -> None:
    """Each connection is a descriptor. In this process only: what scripts start may still use select()."""
    import resource

    try:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # as many as it is, then


class FrontServer:
    """Everything that connections share."""

    def __init__(
        self, settings: Settings, channel: wire.Channel, table: wire.SlotTable, vault: Vault, plain_log: bool = True
    ) -> None:
        self.settings = settings
        self.secured = Secured(settings, vault)
        self.dispatcher = Dispatcher(settings, channel, table)
        self.dispatcher.on_ready = self.worker_ready
        self.metrics = Metrics()
        self.cors = Cors(settings.cors_origins)
        self.bodies = Bodies(settings.max_queue_bytes)
        self.access_log = AccessLog(plain_log)
        self.log_at = 0.0
        self.log_timer: asyncio.Handle | None = None
        self.version_line = (
            f"x-ms-server-version: {settings.version_header}\r\n".encode("latin-1") if settings.version_header else b""
        )
        self.max_body_bytes: int = settings.max_body_bytes
        self.header_seconds: float = settings.header_timeout_ms / 1000
        self.body_seconds: float = settings.body_timeout_ms / 1000
        self.keep_alive_seconds: float = settings.keep_alive_seconds
        # A little less than the arbiter allows, so that the last answers are out before it ends us.
        self.graceful_seconds: float = settings.graceful_timeout - min(1.5, 0.3 * settings.graceful_timeout)
        self.linger_seconds = 0.3
        self.started = False  # init() has finished in some worker, once
        self.draining = False
        self.alone = False  # without an arbiter
        self.doors = Doors((), shared=False)
        self.state = ServerState()
        self.quota_at = time.monotonic()
        self.throttled = threads.throttled_periods()
        self.tick_date()

    # lifecycle

    async def serve(self, listeners: Sequence[socket.socket], lifeline: int) -> None:
        loop = asyncio.get_running_loop()
        self.stop_event = asyncio.Event()
        self.dispatcher.start(loop)
        for number in (signal.SIGTERM, signal.SIGQUIT):
            loop.add_signal_handler(number, self.stop_event.set)
        for number in (signal.SIGINT, signal.SIGHUP):  # the arbiter's business
            loop.add_signal_handler(number, lambda: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        loop.add_reader(lifeline, self.orphaned)
        config = Config(
            self.asgi,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            interface="asgi3",
        )
        config.load()

        def port(guard: Guard | None) -> Callable[[], ScoringProtocol]:
            kind = type("Protocol", (ScoringProtocol,), {"front": self, "guard": guard})
            return lambda: kind(config=config, server_state=self.state, app_state={}, _loop=loop)

        self.doors = Doors(listeners, shared=bool(self.settings.listen_fd))
        secured = self.secured
        shaking = min(HANDSHAKE_SECONDS, self.header_seconds)
        await self.doors.open(loop, port(secured.guard), port(secured.probe_guard), secured.context, shaking)
        if self.started:  # a worker of an earlier front
            self.doors.ready()
        second = loop.create_task(self.every_second())
        await self.stop_event.wait()
        loop.remove_reader(lifeline)
        await self.drain()
        second.cancel()
        if self.alone:  # who else would end them
            for pid in self.dispatcher.workers:
                kill(pid, signal.SIGKILL)

    def orphaned(self) -> None:
        """The arbiter is gone."""
        self.alone = True
        self.stop_event.set()

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """The application for everything but scores and health; imported at its first request, or in a quiet moment."""
        await self.app(scope, receive, send)

    @cached_property
    def app(self) -> Any:
        from scoring_runtime.server.routes import create_app

        keep_freed_memory(KEPT_BYTES)  # uvloop hands over what it reads in pieces of up to 256 KiB
        return create_app(self)

    async def every_second(self) -> None:
        while True:
            self.tick_date()
            self.sweep()
            self.watch_quota()
            self.secured.refresh()
            self.bodies.tidy()
            self.dispatcher.tidy()
            await asyncio.sleep(0.25)
            if self.started:
                _ = self.app

    def watch_quota(self) -> None:
        """Say it when the kernel stops us for using up our processor quota: slow answers have a name then."""
        now = time.monotonic()
        if now - self.quota_at < THROTTLE_SECONDS:
            return
        self.quota_at, before = now, self.throttled
        self.throttled = threads.throttled_periods()
        if self.throttled - before > THROTTLE_SECONDS:  # a tenth of the usual periods of 100 ms
            logger.warning(
                "The processor quota was used up %s times in %.0f s; answers are slower for it. Raise the cpu limit, "
                "or lower WORKER_COUNT.",
                *(self.throttled - before, THROTTLE_SECONDS),
            )

    def tick_date(self) -> None:
        date = http_date(time.time())
        self.base_lines = b"Server: scoring-runtime\r\nDate: %s\r\n" % date
        self.closing_lines = self.base_lines + b"Connection: close\r\n"
        self.state.default_headers = [(b"server", b"scoring-runtime"), (b"date", date)]

    def sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self.state.connections):
            if isinstance(connection, ScoringProtocol) and connection.deadline < now:
                connection.sweep(now)

    async def drain(self) -> None:
        """Answer everything that has arrived, the accept backlog included; then there is nothing left to reset."""
        self.draining = True
        deadline = time.monotonic() + self.graceful_seconds
        await self.doors.close()
        for connection in list(self.state.connections):
            connection.shutdown()
        shaking = time.monotonic() + (self.linger_seconds if self.secured.context else 0)  # hands, with TLS
        while (self.state.connections or time.monotonic() < shaking) and time.monotonic() < deadline:
            self.sweep()
            await asyncio.sleep(0.02)
        if self.state.connections:
            error = Overloaded("The service is shutting down.", 1)
            self.dispatcher.fail_all(error)
            await asyncio.sleep(0.1)
        while self.dispatcher.flying and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    # readiness

    def worker_ready(self) -> None:
        if not self.started:
            self.started = True
            self.doors.ready()
            waiting = self.dispatcher.waiting
            early = list(waiting)
            waiting.clear()
            waiting.extend(call for call in early if not self.answered_here(call))

    def not_ready(self) -> str:
        """Why this service should get no requests now; empty when it should."""
        if self.draining or self.stop_event.is_set():
            return "Not ready: the service is shutting down."
        if not self.started:
            return NOT_STARTED
        if not self.dispatcher.workers:
            return "Not ready: no worker is running; a new one is being started."
        if self.dispatcher.stuck:
            return "Not ready: every run() is past its timeout."
        return ""

    # requests

    def admit(self, body_bytes: int) -> None:
        """Refuse, before the body is read, what there is no room for."""
        self.dispatcher.admit()
        self.make_sure_of_room(body_bytes)

    def make_sure_of_room(self, more: int) -> None:
        bodies = self.bodies
        if not bodies.have_room(more):
            raise self.overloaded(f"bodies of {bodies.held_bytes} bytes are waiting, {bodies.limit_bytes} may wait.")

    def overloaded(self, reason: str) -> Overloaded:
        self.dispatcher.counters["rejected"] += 1
        return Overloaded(f"The service is overloaded: {reason}", self.dispatcher.retry_after())

    def submit(self, call: Call) -> None:
        dispatcher = self.dispatcher
        if call.head.path != "/score":
            self.health(call)
            return
        if not dispatcher.style or not self.answered_here(call):
            dispatcher.submit(call)

    def answered_here(self, call: Call) -> bool:
        """What the script is not asked, now that its style is known."""
        head = call.head
        if not call.preflight and (self.dispatcher.style == "raw" or head.method in ("POST", "GET")):
            return False
        if head.method == "OPTIONS":
            call.answer(200, OPTIONS_HEAD, b"")
        else:
            call.fail(MethodNotAllowed())
        return True

    def health(self, call: Call) -> None:
        """No module, no queue and no worker between the question and its answer."""
        reason, good = "", b"Live"
        path = call.head.path
        if path == "/readyz":
            reason, good = self.not_ready(), b"Ready"
        elif path == "/":
            reason, good = "" if self.started else NOT_STARTED, b"Healthy"
        if reason:
            call.fail(NotReady(reason))
        else:
            call.answer(200, HEALTHY_HEAD % len(good), good)

    # logs

    def log(self, line: tuple[Any, ...]) -> None:
        self.access_log.add(line)
        if self.log_timer is None:
            loop = self.dispatcher.loop
            now = loop.time()
            # At once when there is little to log, in batches when there is much.
            if now - self.log_at > LOG_SECONDS:
                self.log_timer = loop.call_soon(self.flush_log)
            else:
                self.log_timer = loop.call_later(LOG_SECONDS, self.flush_log)

    def flush_log(self) -> None:
        self.log_timer = None
        self.log_at = self.dispatcher.loop.time()
        self.access_log.flush()

    def log_asgi(self, scope: Any, message: Any) -> None:
        from scoring_runtime.server.routes import header

        target = scope["path"]
        if scope["query_string"]:
            target = f"{target}?{scope['query_string'].decode('latin-1')}"
        request = scope["headers"]
        length = header(message["headers"], b"content-length")
        client = scope["client"][0] if scope["client"] else "-"
        size = int(length or 0)
        self.log(
            (
                *(time.time(), scope["method"], target, message["status"], 0.0),
                *(size if scope["path"] == "/swagger.json" else "", 0 if scope["method"] == "HEAD" else size, client),
                scope["http_version"],
                header(request, b"referer") or "-",
                header(request, b"user-agent") or "-",
            )
        )


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(at: float) -> bytes:
    """Not strftime, which speaks the language of the locale."""
    t = time.gmtime(at)
    day, month = DAYS[t.tm_wday], MONTHS[t.tm_mon - 1]
    return b"%s, %02d %s %d %02d:%02d:%02d GMT" % (
        *(day.encode(), t.tm_mday, month.encode(), t.tm_year),
        *(t.tm_hour, t.tm_min, t.tm_sec),
    )


HEALTHY_HEAD = b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
OPTIONS_HEAD = b"Content-Type: text/html; charset=utf-8\r\nContent-Length: 0\r\nx-ms-run-function-failed: False\r\n"
