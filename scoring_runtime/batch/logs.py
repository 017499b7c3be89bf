"""The log tree of a run, as people know it from the product's batch steps.

logs/job_progress_overview.<time>.txt       how far it is, every ten seconds and at the end
logs/job_result.txt                         how it ended
logs/job_error.txt                          why, if it failed
logs/user/error.txt, user/error/<node>/     exceptions of the script: a line each, and their tracebacks
logs/user/{stdout,stderr}/<node>/           what the script printed, a file for each process
logs/user/entry_script_log/<node>/          EntryScript().logger and files of the script's own
logs/sys/node/<node>/processNNN.txt         a line of JSON for each mini-batch
logs/perf/<node>/                           what the processes use (scoring_runtime.batch.perf)
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict

from scoring_runtime.batch.commits import Commit

__all__ = ["LogTree"]


class LogTree:
    def __init__(self, output: str, node: str = "") -> None:
        self.node = node or socket.gethostname()
        #: The folder of this machine that the script may write to: the run's output, unless that is a URL.
        self.output = os.path.abspath(output)
        self.root = os.path.join(self.output, "logs")
        self._user = os.path.join(self.root, "user")
        self.entry_script = os.path.join(self._user, "entry_script_log", self.node)
        self._processes = os.path.join(self.root, "sys", "node", self.node)
        self.perf = os.path.join(self.root, "perf", self.node)
        self._errors = os.path.join(self._user, "error", self.node)
        for folder in ("stdout", "stderr"):
            os.makedirs(os.path.join(self._user, folder, self.node), exist_ok=True)
        for path in (self.entry_script, self._processes, self._errors):
            os.makedirs(path, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self._overview = os.path.join(self.root, f"job_progress_overview.{stamp}.txt")

    def stdout(self, process: str) -> str:
        return os.path.join(self._user, "stdout", self.node, f"{process}.stdout.txt")

    def stderr(self, process: str) -> str:
        return os.path.join(self._user, "stderr", self.node, f"{process}.stderr.txt")

    def progress(self, line: str) -> None:
        append(self._overview, f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} {line}")

    def mini_batch(self, commit: Commit) -> None:
        record = {**asdict(commit), "failed": commit.failed, "node": self.node}
        del record["failures"]
        append(os.path.join(self._processes, f"{commit.process or 'main'}.txt"), json.dumps(record))

    def script_error(self, index: int, process: str, attempt: int, reason: str, traceback: str) -> None:
        head = f"mini-batch {index}, try {attempt}, {process}: {reason}"
        append(os.path.join(self._user, "error.txt"), head)
        append(os.path.join(self._errors, f"{process}.txt"), f"{head}\n{traceback}")

    def result(self, line: str, error: str = "") -> None:
        append(os.path.join(self.root, "job_result.txt"), line)
        if error:
            append(os.path.join(self.root, "job_error.txt"), error)


def append(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8", errors="replace") as file:
        file.write(text.rstrip("\n") + "\n")
