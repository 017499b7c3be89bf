"""ONNX Runtime sessions in a worker: the share of the processors, or what the script says."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os
os.environ["ORT_NUM_THREADS"] = "3"
{before}
from scoring_runtime.server import onnx_threads
onnx_threads.install()
onnx_threads.install()
import onnxruntime
from onnxruntime.datasets import get_example
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = {asked}
session = onnxruntime.InferenceSession(get_example("logreg_iris.onnx"), {options}, providers=["CPUExecutionProvider"])
print(session.get_session_options().intra_op_num_threads)
"""


@pytest.mark.parametrize(
    ("before", "options", "asked", "threads"),
    [
        ("", "None", 0, "3"),
        ("", "options", 0, "3"),
        ("", "options", 1, "1"),
        ("import onnxruntime", "None", 0, "3"),
    ],
    ids=["no-options", "options-that-do-not-say", "options-that-say", "imported-before"],
)
def test_sessions_get_the_share_unless_the_script_says_otherwise(
    before: str, options: str, asked: int, threads: str
) -> None:
    program = PROGRAM.format(before=before, options=options, asked=asked)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, threads), done.stderr
