"""gunicorn keeps the workers alive; this adds the front, rolling replacement, and an orderly end."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from scoring_runtime.errors import ScoringRuntimeError
from scoring_runtime.server import wire
from scoring_runtime.server.application import ScoringApplication
from scoring_runtime.server.boot import HELD, WorkerHandle
from scoring_runtime.server.user_code import leave
from scoring_runtime.server.worker import SCRIPT_FAILED, LoadedScript, report
from scoring_runtime.signals import signal_name

__all__ = ["ScoringArbiter"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before another worker is tried when one failed to boot


class ScoringArbiter(Arbiter):  # type: ignore[misc]
    """Four differences: it owns a front; workers are replaced before they leave; SIGTERM drains; a bad reload keeps."""

    def __init__(self, app: ScoringApplication, workers: list[WorkerHandle]) -> None:
        self.front = app.front
        self.nursery = app.nursery
        self.table = app.nursery.table
        self.channel = app.nursery.channel
        self.LISTENERS = [Listener(s) for s in app.listeners]
        self.WORKERS = {worker.pid: worker for worker in workers}
        self.stopping = self.hurried = False
        self.front_deaths: list[float] = []
        self.pause = 0.0
        self.retry_at = 0.0
        super().__init__(app)

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)

    # workers

    def spawn_worker(self) -> int:
        if time.monotonic() < self.retry_at:
            return 0
        try:
            worker = self.nursery.spawn()
        except RuntimeError as error:
            self.log.error("No room for one more worker: %s.", error)
            return 0
        self.WORKERS[worker.pid] = worker
        return worker.pid

    def spawn_workers(self) -> None:
        while len(self.lasting()) < self.num_workers and self.spawn_worker():
            pass

    def murder_workers(self) -> None:
        """End the workers that have been silent for WORKER_TIMEOUT, in init() or in run()."""
        for worker in self.WORKERS.values() if self.timeout else ():
            if time.monotonic() - max(worker.born, self.table.heartbeat(worker.region)) > self.timeout:
                if not worker.aborted:
                    self.log.critical("WORKER TIMEOUT (pid:%s)", worker.pid)
                self.kill_worker(worker.pid, signal.SIGKILL if worker.aborted else signal.SIGABRT)
                worker.aborted = True

    def kill_worker(self, pid: int, sig: int) -> None:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass

    def serves(self, worker: WorkerHandle) -> bool:
        """A worker that has reached its limit goes on serving; a dead one's region may be another's by now."""
        state = self.table.state(worker.region)
        return state in (wire.SERVING, wire.LEAVING) and self.table.pid(worker.region) == worker.pid

    def lasting(self) -> list[WorkerHandle]:
        """The workers that count: a successor does not, as long as its predecessor is there and not on its way out."""
        staying = [w for w in self.WORKERS.values() if not w.dismissed]
        successors = {w.successor for w in staying}
        return [w for w in staying if w.pid not in successors]

    def manage_workers(self) -> None:
        if self.stopping:
            return
        self.reap_workers()  # one may have died before the arbiter listened for signals
        if not self.front_alive():
            self.respawn_front()
        if any(self.serves(w) and w.born >= self.retry_at for w in self.WORKERS.values()):
            self.pause = 0.0
        self.spawn_workers()
        lasting = sorted(self.lasting(), key=lambda w: (self.serves(w), w.age))
        for worker in lasting[: max(0, len(lasting) - self.num_workers)]:
            self.retire(worker)
        for worker in list(self.WORKERS.values()):
            if worker.outdated or self.table.state(worker.region) == wire.LEAVING:
                self.replace(worker)

    def replace(self, worker: WorkerHandle) -> None:
        """First a successor that serves, then the goodbye."""
        if worker.dismissed:
            return
        successor = self.WORKERS.get(worker.successor)
        if successor is not None:
            if self.serves(successor):
                self.retire(worker)
        elif self.crowd() < 2 * self.num_workers:
            worker.successor = self.spawn_worker()

    def crowd(self) -> int:
        """The workers that take room, and those on their way out for as long as that may take."""
        since = time.monotonic() - self.cfg.graceful_timeout
        return sum(1 for w in self.WORKERS.values() if not w.dismissed or w.dismissed > since)

    def retire(self, worker: WorkerHandle) -> None:
        if not self.serves(worker):
            self.abandon(worker)
        elif not worker.dismissed:  # a second signal could hit an interpreter that is already on its way out
            worker.dismissed = time.monotonic()
            self.kill_worker(worker.pid, signal.SIGTERM)
        self.channel.wake(len(self.WORKERS))

    def abandon(self, worker: WorkerHandle) -> None:
        """It is not to serve any more, and does not yet."""
        worker.abandoned = True
        worker.dismissed = time.monotonic()
        self.kill_worker(worker.pid, signal.SIGKILL)

    def abandon_successors(self) -> None:
        """Those that still boot; one that serves stays."""
        for worker in self.WORKERS.values():
            successor = self.WORKERS.get(worker.successor)
            if successor is not None and not self.serves(successor):
                self.abandon(successor)
                worker.successor = 0

    def reload(self) -> None:
        """SIGHUP: every worker gets a successor with the code and model of now; none leaves before that one serves."""
        self.log.info("Reloading: new workers start, and the old ones leave when those are ready")
        if self.app.settings.worker_preload:
            forget_script(self.nursery.loaded)
            try:
                with self.app.user_code.running(self.end_reload, self.drain):
                    self.app.load()
            except ScoringRuntimeError as error:
                report(error, self.app.settings)
                self.log.error("Reload failed; the previous version goes on serving")
                return
        self.pause = self.retry_at = 0.0
        self.abandon_successors()
        for worker in self.WORKERS.values():
            worker.outdated = True
        self.wakeup()

    def end_reload(self, number: int, frame: FrameType | None) -> None:
        """A signal during init(): the server drains and ends in the middle of it."""
        self.app.user_code.runs = False
        self.init_signals()
        code: Any = 1
        try:
            if number == signal.SIGQUIT:
                self.stop(False)
            self.halt()
        except SystemExit as end:  # a worker that was forked in the drain comes through here too
            code = end.code
        finally:
            self.front.end()
            leave(code)

    def reap_workers(self) -> None:
        """As gunicorn's, but a successor that fails to boot ends the reload, not the server."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.front.pid:
                self.front.pid = 0
                continue
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:  # as PID 1 there are strangers' orphans too: reaped, and no more
                self.bury(worker, pid, status)

    def bury(self, worker: WorkerHandle, pid: int, status: int) -> None:
        booted = True
        state = self.table.state(worker.region)
        if state == wire.EMPTY or any(w.region == worker.region for w in self.WORKERS.values()):
            pass  # the front saw it first and has cleared the region, which another worker may have by now
        elif state == wire.BOOTING:
            booted = False
            self.table.clear(worker.region)
        else:  # the front still has to read what ran there; it clears the region
            self.table.occupy(worker.region, pid, wire.DEAD)
        if worker.abandoned:
            return
        code = os.WEXITSTATUS(status)
        if os.WIFSIGNALED(status):
            name = signal_name(os.WTERMSIG(status))
            hint = " Perhaps out of memory?" if name == "SIGKILL" else ""
            self.log.error("Worker (pid:%s) was sent %s!%s", pid, name, hint)
        elif code:
            self.log.error("Worker (pid:%s) exited with code %s.", pid, code)
        if not booted:
            self.pause_after(worker)
            if code == SCRIPT_FAILED and not self.stopping:
                self.boot_failed(worker)
        elif not self.serving():
            self.retry_at = 0.0  # whatever comes of it, waiting would not be better

    def serving(self) -> bool:
        return any(self.serves(w) for w in self.WORKERS.values())

    def pause_after(self, worker: WorkerHandle) -> None:
        """Longer each time; workers that failed side by side are one time."""
        if worker.born >= self.retry_at:
            self.pause = min(LONGEST_PAUSE, 2 * self.pause or FIRST_PAUSE)
            self.retry_at = time.monotonic() + self.pause

    def boot_failed(self, worker: WorkerHandle) -> None:
        if not self.serving():
            raise HaltServer("Worker failed to boot.", self.WORKER_BOOT_ERROR)
        if worker.outdated or not any(w.outdated for w in self.WORKERS.values() if not w.dismissed):
            self.log.error("Worker failed to boot; the others go on serving, and the next one starts in a moment")
            return
        self.log.error("Reload failed; the previous version goes on serving")
        self.abandon_successors()
        for other in self.WORKERS.values():
            other.outdated = False

    # the front

    def front_alive(self) -> bool:
        return self.front.pid != 0

    def respawn_front(self) -> None:
        now = time.monotonic()
        self.front_deaths = [*(t for t in self.front_deaths if now - t < 60), now]
        if len(self.front_deaths) > 5:
            raise HaltServer("The front process keeps failing.", self.WORKER_BOOT_ERROR)
        self.log.error("The front process is gone; starting another one")
        self.front.spawn()

    # the end

    def handle_int(self) -> None:
        raise StopIteration

    def handle_usr1(self) -> None:
        """Log rotation sends it; there are no log files to open again, and workers are left in peace."""

    def handle_usr2(self) -> None:
        self.log.warning("SIGUSR2: a second server cannot take over this one's port; send SIGHUP to reload")

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        if exit_status:
            self.num_workers = 0  # where none can be had, none is to be replaced during the drain
        super().halt(reason, exit_status)

    def stop(self, graceful: bool = True) -> None:
        """The front drains first, while the workers still work for it; then they go."""
        if self.stopping:
            return
        self.stopping = True
        deadline = time.monotonic() + (self.cfg.graceful_timeout if graceful else 0)
        self.drain()
        while self.front.pid and time.monotonic() < deadline and not self.impatient():
            self.reap_workers()
            self.spawn_workers()  # what waits behind one that died is still to be answered
            time.sleep(0.02)
        self.front.signal(signal.SIGKILL)
        for worker in list(self.WORKERS.values()):
            self.retire(worker)
        deadline = max(deadline, time.monotonic() + 0.5)
        while self.WORKERS and time.monotonic() < deadline and not self.impatient():
            self.channel.wake(len(self.WORKERS))
            self.reap_workers()
            time.sleep(0.02)
        self.kill_workers(signal.SIGKILL)
        while self.WORKERS:
            self.reap_workers()
            time.sleep(0.01)

    def drain(self) -> None:
        for listener in self.LISTENERS:
            listener.close()  # first, so that the front's are the last, and it decides when the port closes
        self.front.signal(signal.SIGTERM)

    def impatient(self) -> bool:
        """A second Ctrl-C, or SIGQUIT: no more waiting, for anything."""
        while not self.SIG_QUEUE.empty():
            if self.SIG_QUEUE.get_nowait() in (signal.SIGINT, signal.SIGQUIT):
                self.hurried = True
        return self.hurried


class Listener:
    """A bound socket in the shape that gunicorn logs and closes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __str__(self) -> str:
        host, port = self.sock.getsockname()[:2]
        return f"http://{host}:{port}"

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()


def forget_script(loaded: LoadedScript | None) -> None:
    """Drop the script's modules, its own helpers included, so that the next import reads them anew."""
    if loaded is None:
        return
    folder = os.path.dirname(os.path.abspath(loaded.script.path)) + os.sep
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        # An environment may live below the script's folder; extension modules in it cannot be imported twice.
        if path.startswith(folder) and "-packages" not in path:
            del sys.modules[name]
