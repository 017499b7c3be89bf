"""A worker process: loads the script, runs init(), then scores until it is told to leave."""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import signal
import sys
import time
from types import FrameType
from typing import Any

from scoring_runtime import schemas
from scoring_runtime.api import json_loads, status
from scoring_runtime.errors import ScoringRuntimeError, ScriptError, ScriptInitError
from scoring_runtime.memory import keep_freed_memory
from scoring_runtime.script import Script, extend_path, load_script, model_listing
from scoring_runtime.server import accelerated, logs, onnx_threads, wire
from scoring_runtime.server.boot import HELD
from scoring_runtime.server.inputs import Inputs, choose
from scoring_runtime.server.outputs import Encoder
from scoring_runtime.server.runner import Runner, Slot, choose_runner
from scoring_runtime.settings import Settings

__all__ = ["SCRIPT_FAILED", "LoadedScript", "WorkerProcess", "load", "report"]

logger = logging.getLogger("azmlinfsrv")

KEPT_BYTES = 32 * 1024 * 1024  # where glibc's own adjustment of its thresholds would end
SCRIPT_FAILED = 3  # the arbiter ends the whole server on this exit code


class LoadedScript:
    """A script after its init(), with everything that boot could decide."""

    __slots__ = ("documents", "inputs", "script")

    def __init__(self, script: Script, inputs: Inputs, documents: tuple[dict[str, bytes], list[str]]) -> None:
        self.script = script
        self.inputs = inputs
        self.documents = documents


def load(settings: Settings) -> LoadedScript:
    """Import the script, run its init(), prepare its documents; raises ScriptError."""
    if settings.debug_port:
        connect_debugger(settings.debug_port)
    if os.path.isdir(settings.app_root):
        os.chdir(settings.app_root)
    extend_path(settings.app_root, settings.source_dir, settings.entry_script)
    json_loads.install()
    schemas.install()
    onnx_threads.install()
    print("Initializing logger")
    logs.hook_print()
    logger.info("Starting up app insights client")
    if settings.app_insights_enabled:
        logger.warning("Application Insights is enabled, but this server writes telemetry to its log only.")
    if not settings.model_dir or not os.path.exists(settings.model_dir):
        message = "Model directory is not set or does not exist: %s"
        logging.getLogger("azmlinfsrv.trace").warning(message, settings.model_dir or "")
    if settings.cors_origins:
        origins = ", ".join(o.strip() for o in settings.cors_origins.split(","))
        logger.info("Enabling CORS for the following origins: %s", origins)
    if settings.accelerator:
        accelerated.expect(settings)
    script = load_script(settings.entry_script, settings.app_root)
    inputs = choose(script)
    script.init()
    if settings.accelerator:
        accelerated.verify()
    from scoring_runtime.server import swagger

    documents = swagger.build(
        script.run,
        settings.app_root,
        service_name=settings.service_name,
        service_version=settings.service_version,
        path_prefix=settings.service_path_prefix,
    )
    logger.info("Scoring timeout is set to %s", settings.scoring_timeout_ms)
    return LoadedScript(script, inputs, (documents.documents, documents.supported))


def connect_debugger(port: int) -> None:
    print("!! Starting the inference server in DEBUGGING mode because AZUREML_DEBUG_PORT is set.")
    print("!! This environment variable should not be set in a production environment.")
    try:
        import debugpy
    except ModuleNotFoundError:
        raise ScriptError(
            "** Cannot connect to a debugger because debugpy is not installed. pip install debugpy"
        ) from None
    print(f"** Connecting to debugger at port {port}...")
    debugpy.connect(port)
    debugpy.wait_for_client()


def report(error: ScoringRuntimeError, settings: Settings) -> None:
    """Everything that a person needs to mend the script, once."""
    if isinstance(error, ScriptInitError):
        logger.error("User's init function failed")
    logger.error("%s: %s", type(error).__name__, error)
    if isinstance(error, ScriptInitError):
        for line in model_listing(settings.model_dir):
            logger.info(line)


def hold_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def release_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class WorkerProcess:
    """The life of a worker process, after the fork."""

    def __init__(
        self, settings: Settings, channel: wire.Channel, table: wire.SlotTable, region: int, loaded: LoadedScript | None
    ) -> None:
        self.settings = settings
        self.channel = channel
        self.table = table
        self.region = region
        self.loaded = loaded
        self.arbiter = os.getppid()
        self.alive = True
        self.last_beat = time.monotonic()
        self.limit: int = settings.max_requests
        if self.limit:
            self.limit += random.Random().randint(0, settings.max_requests_jitter)

    def main(self) -> None:
        """Load unless it was preloaded, then score; ends the process if the script cannot be served."""
        self.table.occupy(self.region, os.getpid(), wire.BOOTING)
        self.init_signals()
        gunicorn = logging.getLogger("gunicorn.error")
        gunicorn.info("Booting worker with pid: %s", os.getpid())
        try:
            loaded = self.loaded or load(self.settings)
        except ScriptError as error:
            report(error, self.settings)
            sys.stdout.flush()
            sys.exit(SCRIPT_FAILED)
        self.score(loaded)
        gunicorn.info("Worker exiting (pid: %s)", os.getpid())

    def score(self, loaded: LoadedScript) -> None:
        keep_freed_memory(KEPT_BYTES)  # only now: what init() frees goes back
        slots = [Slot(self.table, self.region, n) for n in range(self.table.slots)]
        runner_class = choose_runner(loaded.inputs.target, len(slots))
        encode = Encoder(self.settings.allow_nan)
        self.runner: Runner = runner_class(self.channel, slots, loaded.inputs, encode, self.beat, self.keep_going)
        self.ready = (wire.READY, os.getpid(), self.region, loaded.inputs.style)
        self.documents = loaded.documents
        # A front that starts just now asks whoever serves: the handler is there first.
        signal.signal(signal.SIGRTMIN + wire.ANNOUNCE_SIGNAL_OFFSET, self.announce)
        self.table.occupy(self.region, os.getpid(), wire.SERVING)
        self.announce()
        status.on_change(self.announce)
        logger.info("Worker with pid %s ready for serving traffic", os.getpid())
        self.runner.run_forever()
        self.table.occupy(self.region, os.getpid(), wire.LEAVING)

    def announce(self, *_: Any) -> None:
        """Tell the front that this worker serves, and what; a new front asks for it, and so do reports."""
        papers = wire.pack((*self.documents, status.status()))
        fd = wire.write_file([papers])  # a large sample makes them larger than a frame
        wire.attach(self.channel.results_out, wire.pack((*self.ready, len(papers))), fd)
        os.close(fd)

    def beat(self) -> None:
        now = time.monotonic()
        if now - self.last_beat > 0.4:
            self.last_beat = now
            self.table.beat(self.region, now, self.runner.served)
            if os.getppid() != self.arbiter:  # it is gone, and with it the one who would end us
                self.alive = False

    def keep_going(self) -> bool:
        if self.limit and self.runner.served >= self.limit:
            # It goes on serving: the arbiter starts a successor first, and says when to leave.
            logger.info("Worker with pid %s has served %s requests and will be replaced", os.getpid(), self.limit)
            self.table.occupy(self.region, os.getpid(), wire.LEAVING)
            self.limit = 0
        return self.alive

    def init_signals(self) -> None:
        for number in range(1, signal.SIGRTMIN):
            if callable(signal.getsignal(number)) and number != signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)  # the arbiter's own
        signal.signal(signal.SIGTERM, self.leave)
        signal.siginterrupt(signal.SIGTERM, False)
        # These reach the whole process group; the arbiter alone decides, and drains first.
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, ignore)
        # Says where a stuck run() is, even when it holds the interpreter lock; the front asks before it ends a worker.
        faulthandler.register(signal.SIGRTMIN + wire.WHERE_SIGNAL_OFFSET, all_threads=True)
        faulthandler.enable()
        signal.signal(signal.SIGABRT, self.abort)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        # A process that the script forks ends by SIGTERM, however early it comes: multiprocessing waits for that.
        os.register_at_fork(before=hold_sigterm, after_in_parent=release_sigterm, after_in_child=self.begin_child)

    def begin_child(self) -> None:
        for number, handler in ((signal.SIGTERM, self.leave), (signal.SIGABRT, self.abort)):
            if signal.getsignal(number) == handler:
                signal.signal(number, signal.SIG_DFL)
        release_sigterm()

    def leave(self, *_: Any) -> None:
        self.alive = False

    def abort(self, sig: int, frame: FrameType | None) -> None:
        """WORKER_TIMEOUT is over: say where the worker was, and go without asking user code."""
        import traceback

        where = "".join(traceback.format_stack(frame))
        logger.critical("Worker with pid %s was silent for too long and ends. It was here:\n%s", os.getpid(), where)
        sys.stdout.flush()
        os._exit(1)


def ignore(*_: Any) -> None:
    """A handler, not SIG_IGN, which programs started by the script would inherit."""
