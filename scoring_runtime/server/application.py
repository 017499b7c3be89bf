"""What gunicorn's arbiter runs: settings as it knows them, and with WORKER_PRELOAD a script that loads once."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
import threading
from typing import Any

from gunicorn.app.base import BaseApplication

from scoring_runtime.errors import ScriptError
from scoring_runtime.server import logs
from scoring_runtime.server.boot import HELD, FrontProcess, Nursery
from scoring_runtime.server.user_code import ENDING, UserCode, leave
from scoring_runtime.server.worker import SCRIPT_FAILED, LoadedScript, load, report
from scoring_runtime.settings import Settings

__all__ = ["ScoringApplication"]

logger = logging.getLogger("azmlinfsrv")

HONOURED = {"workers", "timeout", "graceful_timeout", "pidfile", "proc_name"}


class ScoringApplication(BaseApplication):  # type: ignore[misc]
    """What gunicorn asks for: a configuration, and an application, which here is the loaded script."""

    def __init__(
        self, settings: Settings, listeners: list[socket.socket], front: FrontProcess, nursery: Nursery
    ) -> None:
        self.settings = settings
        self.listeners = listeners
        self.front = front
        self.nursery = nursery
        self.user_code = UserCode(nursery)
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "workers": self.settings.worker_count,
            "timeout": self.settings.worker_timeout,
            "graceful_timeout": self.settings.graceful_timeout,
            "preload_app": self.settings.worker_preload,
            "logger_class": logs.GunicornLog,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)
        self.from_environment()

    def from_environment(self) -> None:
        """GUNICORN_CMD_ARGS goes on working for what still has a meaning here."""
        arguments = self.cfg.get_cmd_args_from_env()
        if arguments:
            parsed, unknown = self.cfg.parser().parse_known_args(arguments)
            for name, value in vars(parsed).items():
                if name in HONOURED and value is not None:
                    self.cfg.set(name.lower(), value)
                elif value is not None and name != "args":
                    logger.warning("GUNICORN_CMD_ARGS: %s has no effect here", name)
            if unknown:
                logger.warning("GUNICORN_CMD_ARGS: ignored %s", " ".join(unknown))

    def load(self) -> LoadedScript:
        """Only with WORKER_PRELOAD: init() once, here, its memory shared by every worker that is forked later."""
        logs.set_up(self.settings)
        before = set(threading.enumerate())
        loaded = self.nursery.loaded = load(self.settings)
        threads = [t.name for t in threading.enumerate() if t not in before]
        if threads:
            logger.warning(
                "WORKER_PRELOAD: init() started threads (%s), which do not exist in the forked workers. "
                "Unset WORKER_PRELOAD if the script needs them.",
                ", ".join(threads),
            )
        gc.unfreeze()  # the version before, with its model
        gc.collect()
        gc.freeze()  # or the first collection in each worker would touch, and so copy, every object
        return loaded

    def wsgi(self) -> LoadedScript | None:
        if self.nursery.loaded is None:
            try:
                with self.user_code.running(self.end, self.end, HELD.difference(ENDING, [signal.SIGCHLD])):
                    self.load()
            except ScriptError as error:
                report(error, self.settings)
                sys.exit(SCRIPT_FAILED)
        return self.nursery.loaded

    def end(self, *_: Any) -> None:
        """A signal during the first init(): there is nothing to drain."""
        self.front.end()
        leave(0)
