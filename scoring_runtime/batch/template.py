"""init() once for all workers: a template process loads the model, and each worker is a fork of it.

The model's memory is shared until someone writes to it. Meant for scripts whose libraries survive a fork after init():
scikit-learn, XGBoost, LightGBM and plain Python do; a CUDA context or a started thread pool does not.

What the parent sends:  {"fork": number, ...} with the worker's socket attached | {"ending": pid}, which is answered
"""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from scoring_runtime.batch.job import Job
from scoring_runtime.batch.logs import LogTree
from scoring_runtime.batch.processes import DYING_SECONDS, Process, environment, in_words, kill_group, name_of
from scoring_runtime.batch.scorer import Scorer
from scoring_runtime.batch.worker import Worker, die_with_parent, init_failed, loaded, main
from scoring_runtime.errors import ScriptError

__all__ = ["Template"]

LONGEST_MESSAGE = 65536
CLOSING_SECONDS = 1.0


class Template:
    """The parent's side: a `Start` whose workers share one init()."""

    def __init__(self, job: Job, kind: str, folder: str, logs: LogTree, processes: int, scratch: str) -> None:
        self._order = (job.to_json(), kind, folder, job.logging_level)
        self._environment = environment(job, logs, 0, processes, scratch)
        self._logs = logs
        self._popen: subprocess.Popen[bytes] | None = None

    def __call__(self, number: int) -> Process:
        ours, theirs = socket.socketpair()
        order = {
            "fork": number,
            "stdout": self._logs.stdout(name_of(number)),
            "stderr": self._logs.stderr(name_of(number)),
        }
        with theirs:
            if self._popen is None or self._popen.poll() is not None or not self._asked(order, theirs):
                self._start()
                self._asked(order, theirs)
        return Forked(self, Connection(ours.detach()))

    def _asked(self, order: dict[str, Any], attached: socket.socket) -> bool:
        try:
            socket.send_fds(self._socket, [json.dumps(order).encode()], [attached.fileno()])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _start(self) -> None:
        self.close()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(DYING_SECONDS)
        control, their_control = socket.socketpair()
        fds = [their_control.fileno(), theirs.fileno()]
        command = [sys.executable, "-m", "scoring_runtime.batch.template", str(fds[0]), str(os.getpid()), str(fds[1])]
        out, err = self._logs.stdout("template"), self._logs.stderr("template")
        with theirs, their_control, open(out, "ab") as stdout, open(err, "ab") as stderr:
            self._popen = subprocess.Popen(
                command,
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self._environment,
            )
        with Connection(control.detach()) as connection:
            connection.send(self._order)

    def kill(self) -> None:
        """For a template that is stuck in init(); its workers go with it."""
        if self._popen is not None:
            self._popen.kill()

    def ending(self, pid: int) -> str:
        try:
            self._socket.send(json.dumps({"ending": pid}).encode())
            answer = self._socket.recv(LONGEST_MESSAGE)
        except OSError:
            answer = b""
        return in_words(json.loads(answer)) if answer else "ended with the template that it was forked from"

    def close(self) -> None:
        """Its closed socket tells it to end, unless it is stuck in init()."""
        if self._popen is not None:
            self._socket.close()
            try:
                self._popen.wait(CLOSING_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
            self._popen = None


class Forked:
    """A worker that the template has forked, or will."""

    pid = 0  # until it says that it is ready

    def __init__(self, template: Template, connection: Connection) -> None:
        self.connection = connection
        self._template = template

    def send(self, *message: Any) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has died; receiving will say so

    def kill(self) -> None:
        # The template has not waited for it yet, so the number is still its own.
        if self.pid:
            kill_group(self.pid)
        else:
            self._template.kill()

    def ending(self) -> str:
        if not self.pid:
            return "ended with the template that it was forked from"
        ending = self._template.ending(self.pid)
        kill_group(self.pid)
        return ending


# -- the template process ---------------------------------------------------------------------------------------------


def serve(control: Connection, parent: int) -> None:
    orders = socket.socket(fileno=int(sys.argv[3]))
    job_values, kind, folder, level = control.recv()
    if os.getppid() != parent:
        return
    try:
        scorer = loaded(Job.from_json(job_values), kind, level)
    except ScriptError as error:
        _, fds, _, _ = socket.recv_fds(orders, LONGEST_MESSAGE, 1)
        Connection(fds[0]).send(init_failed(error))
        return
    gc.freeze()  # the collector must not write to the pages that forks share
    while True:
        message, fds, _, _ = socket.recv_fds(orders, LONGEST_MESSAGE, 1)
        if not message:
            return
        order = json.loads(message)
        if "ending" in order:
            _, status = os.waitpid(order["ending"], 0)
            orders.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
        elif os.fork():
            os.close(fds[0])
        else:
            orders.close()
            become_worker(order, scorer, folder, Connection(fds[0]))


def become_worker(order: dict[str, Any], scorer: Scorer, folder: str, connection: Connection) -> None:
    """What a fork does until it ends."""
    code = 1
    try:
        die_with_parent()
        os.setsid()
        os.environ["SCORING_BATCH_PROCESS"] = name_of(order["fork"])
        for stream, path in ((sys.stdout, order["stdout"]), (sys.stderr, order["stderr"])):
            with open(path, "ab") as file:
                os.dup2(file.fileno(), stream.fileno())
        Worker(scorer, folder, connection).run()
        code = 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv, serve)
