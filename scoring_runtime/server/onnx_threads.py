"""Gives ONNX Runtime sessions this worker's share of the processors, unless the script says otherwise.

It reads no environment variable for its thread pool, so the default of its sessions is set, the moment a script
imports it.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["install"]

PACKAGE = "onnxruntime"
VARIABLE = "ORT_NUM_THREADS"


def install() -> None:
    """Size the sessions of an onnxruntime that is imported from now on, or was before."""
    if PACKAGE in sys.modules:
        size_sessions(sys.modules[PACKAGE])
    elif not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


class Finder:
    """Waits for the one import, lets the usual finders find it, and goes."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                size_sessions(module)

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010 - mypy refuses to assign to a method
        return spec


def size_sessions(onnxruntime: Any) -> None:
    session = onnxruntime.InferenceSession
    create = session.__init__
    threads = int(os.environ.get(VARIABLE) or 0)
    if not threads or getattr(create, "sized", False):
        return

    def sized(self: Any, path_or_bytes: Any, sess_options: Any = None, *args: Any, **kwargs: Any) -> None:
        options = onnxruntime.SessionOptions() if sess_options is None else sess_options
        if options.intra_op_num_threads == 0:  # its own "choose for me"
            options.intra_op_num_threads = threads
        create(self, path_or_bytes, options, *args, **kwargs)

    sized.sized = True  # type: ignore[attr-defined]
    session.__init__ = sized
