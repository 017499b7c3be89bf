"""Runs an operation on a workspace again and again, each time killed one step later.

`python -m tests.deploy.crashing FOLDER OPERATION`: copies FOLDER/before to FOLDER/0, FOLDER/1, ...; in copy N
the operation is killed with SIGKILL as it begins its N-th step on a file, until it comes to its end; that copy is the
last. A step is what Python's audit events tell: opening, making, renaming or removing a file or folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scoring_runtime.deploy import Model, Workspace

STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.listdir", "fcntl.flock"}


def register(ws: Workspace, folder: Path) -> None:
    Model.register(ws, str(folder / "new"), "m", {"a": "1"}, sample_input_dataset=[1])


def register_first(ws: Workspace, folder: Path) -> None:
    Model.register(ws, str(folder / "new"), "first")


def update(ws: Workspace, folder: Path) -> None:
    Model(ws, "m").update({"b": "2"}, "changed", sample_input_dataset=[2])


def tag(ws: Workspace, folder: Path) -> None:
    Model(ws, "m").add_tags({"c": "3"})


def delete(ws: Workspace, folder: Path) -> None:
    Model(ws, "m").delete()


OPERATIONS: dict[str, Callable[[Workspace, Path], None]] = {
    one.__name__: one for one in (register, register_first, update, tag, delete)
}


def killed_at(step: int) -> None:
    """From now on, end as the step begins: nothing of Python's runs any more."""
    seen = 0

    def count(event: str, arguments: Any) -> None:
        nonlocal seen
        if event in STEPS:
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(count)


def main(folder: Path, operation: str) -> None:
    for step in range(1000):
        copy = folder / str(step)
        shutil.copytree(folder / "before", copy)
        child = os.fork()
        if child == 0:
            killed_at(step)
            OPERATIONS[operation](Workspace(str(copy)), folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.WIFSIGNALED(status), f"step {step}: ended with {status}"
    raise AssertionError("no end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
