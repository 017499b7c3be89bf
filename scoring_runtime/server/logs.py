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
from scoring_runtime.settings import Settings

__all__ = ["AccessLog", "GunicornLog", "find_logging_json", "hook_print", "set_up"]

logger = logging.getLogger("azmlinfsrv")


def set_up(settings: Settings) -> None:
    """The user's logging.json where there is one, else lines on stdout (gunicorn.error: stderr)."""
    out = handler(sys.stdout)
    root = logging.getLogger()
    root.handlers[:] = [out]
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
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config.setdefault("disable_existing_loggers", False)
    dictConfig(config)
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
    """Two lines a request, formatted and written by a thread, so that a slow reader of stdout delays nobody.

    Each item is (time, method, target, status, milliseconds, length or None, client, version, referer, agent, both).
    """

    def __init__(self, plain: bool) -> None:
        self.plain = plain
        self.lines: list[Line] = []
        self.batches: queue.SimpleQueue[list[Line] | None] = queue.SimpleQueue()
        self.pending = 0
        self.dropped = 0
        self.thread = threading.Thread(target=self.write_forever, name="access-log", daemon=True)
        self.thread.start()

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
        write = self.write_plain if self.plain else self.write_records
        while (batch := self.batches.get()) is not None:
            try:
                write(batch)
            except (OSError, ValueError):
                pass  # stdout is gone, and so is everyone who could be told
            self.pending -= len(batch)
            if self.dropped:
                count, self.dropped = self.dropped, 0
                logger.warning("%s access log lines were dropped: nobody reads the log fast enough", count)

    def write_plain(self, batch: list[Line]) -> None:
        pid = os.getpid()
        second = -1
        text = []
        for at, method, target, status, ms, length, client, version, referer, agent, both in batch:
            if int(at) != second:
                second = int(at)
                utc = time.gmtime(second)
                stamp = time.strftime("%Y-%m-%d %H:%M:%S", utc)
                clock = time.strftime("%d/%b/%Y:%H:%M:%S +0000", utc)
            start = f"{stamp},{int(at % 1 * 1000):03d} I [{pid}] "
            if both:
                shown = "N/A" if length is None else length
                text.append(f"{start}azmlinfsrv - {method} {target} {status} {ms:.3f}ms {shown}\n")
            if target != "/" or method != "GET":
                shown = "-" if length is None else length
                text.append(
                    f'{start}gunicorn.access - {client} - - [{clock}] "{method} {target} HTTP/{version}" '
                    f'{status} {shown} "{referer}" "{agent}"\n'
                )
        data = "".join(text).encode("utf-8", "backslashreplace")
        fd = sys.stdout.fileno()
        while data:
            data = data[os.write(fd, data) :]

    def write_records(self, batch: list[Line]) -> None:
        access = logging.getLogger("gunicorn.access")
        for at, method, target, status, ms, length, client, version, referer, agent, both in batch:
            if both:
                shown = "N/A" if length is None else length
                logger.info("%s %s %s %.3fms %s", method, target, status, ms, shown)
            clock = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
            shown = "-" if length is None else length
            access.info(
                '%s - - [%s] "%s %s HTTP/%s" %s %s "%s" "%s"',
                *(client, clock, method, target, version, status, shown, referer, agent),
            )
