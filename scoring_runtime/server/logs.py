"""Logging as log queries know it: the reference's format and logger names; access lines are written by a thread."""

from __future__ import annotations

import builtins
import json
import logging
import os
import queue
import sys
import threading
import time
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


def handler(stream: Any) -> logging.Handler:
    result = logging.StreamHandler(stream)
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


Line = tuple[Any, ...]

PENDING_LINES = 200_000


class AccessLog:
    """Two lines a request, written by a thread, so that a slow reader of stdout delays nobody.

    A line is (time, warning), or (time, method, target, status, milliseconds, length, sent, client, version, referer,
    agent): `length` is what the server's own line says, None of a stream, "" for no such line; `sent` is what the
    access line says, None for no such line. It becomes text at once: the thread would take the interpreter's lock
    away for a millisecond each time, while workers wait for their next job.
    """

    def __init__(self, plain: bool) -> None:
        self.plain = plain
        self.pid = os.getpid()
        self.second = -1
        self.lines: list[Any] = []
        self.batches: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        self.pending = 0
        self.dropped = 0
        self.thread = threading.Thread(target=self.write_forever, name="access-log", daemon=True)
        self.thread.start()

    def add(self, line: Line) -> None:
        self.lines.append(self.text(line) if self.plain else line)

    def flush(self) -> None:
        """Hand over what has come together; lines beyond the limit are counted, not kept."""
        lines, self.lines = self.lines, []
        if self.pending > PENDING_LINES:
            self.dropped += len(lines)
            return
        self.pending += len(lines)
        self.batches.put(lines)

    def close(self, timeout: float = 5.0) -> None:
        self.flush()
        self.batches.put(None)
        self.thread.join(timeout)

    def write_forever(self) -> None:
        write = self.write_text if self.plain else self.write_records
        while (batch := self.batches.get()) is not None:
            try:
                write(batch)
            except OSError:
                pass  # stdout is gone, and so is everyone who could be told
            self.pending -= len(batch)
            if self.dropped:
                count, self.dropped = self.dropped, 0
                logger.warning("%s access log lines were dropped: nobody reads the log fast enough", count)

    def text(self, line: Line) -> str:
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

    def write_text(self, batch: list[str]) -> None:
        data = "".join(batch).encode("utf-8", "backslashreplace")
        fd = sys.stdout.fileno()
        while data:
            data = data[os.write(fd, data) :]

    def write_records(self, batch: list[Line]) -> None:
        access = logging.getLogger("gunicorn.access")
        for line in batch:
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
