"""Logging as log queries know it: the reference's format and logger names; front and arbiter wait for no reader."""

from __future__ import annotations

import _thread
import atexit
import builtins
import json
import logging
import os
import queue
import sys
import time
from collections.abc import Callable
from typing import Any

from scoring_runtime.api.log_config import AMLLogFormatter, RootAccessFilter
from scoring_runtime.errors import SettingsError
from scoring_runtime.settings import Settings

__all__ = ["AccessLog", "GunicornLog", "find_logging_json", "hook_print", "set_up"]

logger = logging.getLogger("azmlinfsrv")


def set_up(settings: Settings) -> None:
    """The user's logging.json where there is one, else lines on stdout (gunicorn.error: stderr)."""
    out = handler(sys.stdout)
    root = logging.getLogger()
    root.handlers[:] = [handler(sys.stderr)]
    root.setLevel(settings.log_level)
    configure("azmlinfsrv", out)
    configure("gunicorn.access", out)
    configure("gunicorn.error", handler(sys.stderr))
    access = logging.getLogger("gunicorn.access")
    access.filters[:] = [RootAccessFilter()]
    path = find_logging_json(settings)
    if path is None:
        return
    from logging.config import dictConfig

    from scoring_runtime import compat

    compat.install()  # the file may name the reference's formatter
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        config.setdefault("disable_existing_loggers", False)
        dictConfig(config)
    except Exception as error:  # whatever the handlers that it names may raise
        cause = error.__cause__ or error
        expected = "a JSON file that logging.config.dictConfig takes"
        raise SettingsError(path, f"{type(cause).__name__}: {cause}", expected, "Repair it, or remove it.") from None
    logger.info("Loaded logging config from %s", path)


class PatientHandler(logging.StreamHandler):  # type: ignore[type-arg]  # Python 3.10 takes no argument
    """In the process that made it, lines are left to a thread; in its children, workers, they are written at once."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.pid = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        outlet = outlet_of(self.stream) if os.getpid() == self.pid else None
        if outlet is None:
            super().emit(record)
            return
        try:
            behind = outlet.pending
            outlet.put([self.format(record) + self.terminator])
            if not behind:  # with WORKER_PRELOAD a script may crash this process with its next step
                drain(CRASH_SECONDS, [outlet])
        except Exception:  # as every handler does it
            self.handleError(record)

    def flush(self) -> None:
        if os.getpid() != self.pid:
            super().flush()


def handler(stream: Any) -> logging.Handler:
    result = PatientHandler(stream)
    result.setFormatter(AMLLogFormatter())
    result.setLevel(logging.INFO)
    return result


def configure(name: str, out: logging.Handler) -> None:
    target = logging.getLogger(name)
    target.handlers[:] = [out]
    target.setLevel(logging.INFO)
    target.propagate = False


def find_logging_json(settings: Settings) -> str | None:
    folders = [settings.app_root]
    if settings.entry_script:
        folders.append(os.path.dirname(os.path.join(settings.app_root, settings.entry_script)))
    for folder in folders:
        path = os.path.join(folder, "logging.json")
        if os.path.isfile(path):
            return path
    return None


def hook_print() -> None:
    """print() to stdout becomes a record of `azmlinfsrv.print`; to any other file it stays what it is."""
    original = builtins.print
    if getattr(original, "to_log", False):
        return
    target = logging.getLogger("azmlinfsrv.print")

    def print_to_log(
        *objects: object, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        if file is None or file is sys.stdout:
            target.info("%s", (" " if sep is None else sep).join(map(str, objects)))
        else:
            original(*objects, sep=sep, end=end, file=file, flush=flush)

    print_to_log.to_log = True  # type: ignore[attr-defined]
    builtins.print = print_to_log


class GunicornLog:
    """What gunicorn's arbiter logs to: the logger gunicorn.error, however it is configured."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        log = logging.getLogger("gunicorn.error")
        self.critical, self.error, self.warning = log.critical, log.error, log.warning
        self.info, self.debug, self.exception, self.log = log.info, log.debug, log.exception, log.log

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg

    def access(self, *_: Any) -> None:
        """The front writes access lines."""

    def reopen_files(self) -> None:
        """There are none: logs go to the standard streams, or where logging.json says."""

    def close_on_exec(self) -> None: ...


Batch = list[Any]
Line = tuple[Any, ...]

PENDING_LINES = 200_000
LEAST_BYTES, MOST_BYTES = 4096, 65536  # in one write
SLOW_SECONDS = 0.05
STALL_SECONDS = 1.0
LAST_SECONDS = 0.2
CRASH_SECONDS = 0.02


class Outlet:
    """A thread that writes what others hand over, so that a slow reader delays nobody.

    It starts with the first line. `threading` does not know it: WORKER_PRELOAD looks there for threads of the script.
    """

    def __init__(self) -> None:
        self.batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self.started = False
        self.accepted = self.dropped = 0  # the caller counts these, the thread those
        self.written = self.said = 0
        self.moved_at = 0.0

    @property
    def pending(self) -> int:
        return self.accepted - self.written

    def put(self, batch: Batch) -> None:
        """Lines beyond the limit are counted, not kept."""
        if not batch:
            return
        if self.pending > PENDING_LINES:
            self.dropped += len(batch)
            return
        if not self.pending:
            self.moved_at = time.monotonic()
        self.accepted += len(batch)
        self.batches.put(batch)
        if not self.started:
            try:
                _thread.start_new_thread(self.run, ())
                self.started = True
            except RuntimeError:  # there can be no more threads
                self.step()

    def run(self) -> None:
        while True:
            self.step()

    def step(self) -> None:
        batch = self.batches.get()
        self.moved_at = time.monotonic()
        try:
            self.write(batch)
            if self.said != self.dropped:
                count = self.dropped - self.said
                self.said += count
                self.say(f"{count} log lines were dropped: nobody reads the log fast enough")
        except Exception:
            pass  # the stream is gone, or what logging.json names fails: who could be told?
        self.written += len(batch)

    def write(self, batch: Batch) -> None:
        raise NotImplementedError

    def say(self, warning: str) -> None:
        self.write([(time.time(), warning)])


class FileOutlet(Outlet):
    """Writes text to a standard stream."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd
        self.bytes = MOST_BYTES

    def say(self, warning: str) -> None:
        self.write([Text()((time.time(), warning))])

    def write(self, batch: Batch) -> None:
        data = memoryview("".join(batch).encode("utf-8", "backslashreplace"))
        while data:
            before = time.monotonic()
            try:
                data = data[os.write(self.fd, data[: self.bytes]) :]
            except BlockingIOError:  # somebody else made it so, for all who share it
                time.sleep(SLOW_SECONDS)
                continue
            self.moved_at = time.monotonic()
            # A slow reader gets less at a time, so that one who still reads can be told from one who does not.
            if self.moved_at - before > SLOW_SECONDS:
                self.bytes = max(LEAST_BYTES, self.bytes // 2)
            else:
                self.bytes = min(MOST_BYTES, self.bytes * 2)


class RecordOutlet(Outlet):
    """Logs lines to wherever logging.json says."""

    def write(self, batch: Batch) -> None:
        access = logging.getLogger("gunicorn.access")
        for line in batch:
            self.moved_at = time.monotonic()
            if len(line) == 2:
                logger.warning("%s", line[1])
                continue
            at, method, target, status, ms, length, sent, client, version, referer, agent = line
            if length != "":
                shown = "N/A" if length is None else length
                logger.info("%s %s %s %.3fms %s", method, target, status, ms, shown)
            if sent is not None:
                clock = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
                access.info(
                    '%s - - [%s] "%s %s HTTP/%s" %s %s "%s" "%s"',
                    *(client, clock, method, target, version, status, sent, referer, agent),
                )


outlets: dict[tuple[int, int], Outlet] = {}


def outlet_of(stream: Any) -> Outlet | None:
    """This process's own, for a thread does not survive a fork; None of a stream that is no file."""
    try:
        key = os.getpid(), stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    if key not in outlets:
        outlets[key] = FileOutlet(key[1])
    return outlets[key]


def drain(timeout: float, some: list[Outlet]) -> None:
    """Wait for what is on its way, as long as it moves."""
    start = time.monotonic()
    while waiting := [outlet for outlet in some if outlet.pending]:
        now = time.monotonic()
        # Who has been stalled for long need not prove it again.
        moved_at = max(start + LAST_SECONDS - STALL_SECONDS, *(outlet.moved_at for outlet in waiting))
        if now - start > timeout or now - moved_at > STALL_SECONDS:
            return
        time.sleep(0.0005)


@atexit.register
def drain_all(timeout: float = 5.0) -> None:
    drain(timeout, [outlet for (pid, _), outlet in outlets.items() if pid == os.getpid()])


class AccessLog:
    """Two lines a request, written by a thread.

    A line is (time, warning), or (time, method, target, status, milliseconds, length, sent, client, version, referer,
    agent): `length` is what the server's own line says, None of a stream, "" for no such line; `sent` is what the
    access line says, None for no such line. It becomes text at once: the thread would take the interpreter's lock
    away for a millisecond each time, while workers wait for their next job.
    """

    def __init__(self, plain: bool) -> None:
        self.lines: Batch = []
        # Other lines on stdout take the same way, and so stay in order.
        outlet = outlet_of(sys.stdout) if plain else None
        self.text: Callable[[Line], Any] = Text() if outlet else lambda line: line
        self.outlet = outlet or RecordOutlet()

    def add(self, line: Line) -> None:
        self.lines.append(self.text(line))

    def flush(self) -> None:
        """Hand over what has come together."""
        lines, self.lines = self.lines, []
        self.outlet.put(lines)

    def close(self, timeout: float = 5.0) -> None:
        self.flush()
        drain(timeout, [self.outlet])


class Text:
    """Makes a line text."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.second = -1

    def __call__(self, line: Line) -> str:
        at = line[0]
        second = int(at)
        if second != self.second:
            self.second = second
            utc = time.gmtime(second)
            self.stamp = time.strftime("%Y-%m-%d %H:%M:%S", utc)
            self.clock = time.strftime("%d/%b/%Y:%H:%M:%S +0000", utc)
        start = f"{self.stamp},{int((at - second) * 1000):03d} "
        if len(line) == 2:
            return f"{start}W [{self.pid}] azmlinfsrv - {line[1]}\n"
        _, method, target, status, ms, length, sent, client, version, referer, agent = line
        text = ""
        if length != "":
            shown = "N/A" if length is None else length
            text = f"{start}I [{self.pid}] azmlinfsrv - {method} {target} {status} {ms:.3f}ms {shown}\n"
        if sent is None or (target == "/" and method == "GET"):
            return text
        return (
            f"{text}{start}I [{self.pid}] gunicorn.access - {client} - - [{self.clock}] "
            f'"{method} {target} HTTP/{version}" {status} {sent} "{referer}" "{agent}"\n'
        )
