"""Loads plain.py of the folder BENCHMARK_WORK: predict (a document), predict_array, predict_frame or predict_bytes."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType


def load() -> ModuleType:
    path = Path(os.environ["BENCHMARK_WORK"]) / "plain.py"
    spec = importlib.util.spec_from_file_location("plain", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
