"""Logging as log queries know it: the reference's format and logger names."""

from __future__ import annotations

import builtins
import json
import logging
import os
import sys
from typing import Any

from scoring_runtime.api.log_config import AMLLogFormatter, RootAccessFilter
from scoring_runtime.errors import SettingsError
from scoring_runtime.server.outlets import drain, outlet_of
from scoring_runtime.settings import Settings

__all__ = ["GunicornLog", "find_logging_json", "hook_print", "set_up"]

logger = logging.getLogger("azmlinfsrv")

CRASH_SECONDS = 0.02


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
