"""Bounded memory: an input that does not fit into it is scored all the same."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from tests.batch.crashing import command

LIMIT_BYTES = 700 * 1024 * 1024
ROWS_IN_BLOCK = 20_000
BLOCKS = 150
SCRIPT = "def run(mini_batch):\n    return (mini_batch['a'] + mini_batch['b']).tolist()"


def limited(argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))

    return subprocess.run(argv, preexec_fn=limit, capture_output=True, timeout=100, env=ONE_THREAD)


ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


def test_an_input_larger_than_the_memory_limit(tmp_path):
    script, data = tmp_path / "score.py", tmp_path / "data.csv"
    script.write_text(SCRIPT)
    block = "".join(f"{n},{n}.5,{'x' * 30}\n" for n in range(ROWS_IN_BLOCK))
    with data.open("w") as file:
        file.write("a,b,padding\n")
        for _ in range(BLOCKS):
            file.write(block)
    whole = limited([sys.executable, "-c", f"import pandas; pandas.read_csv({str(data)!r})"])
    assert whole.returncode != 0, "the limit is too high to show anything"
    run = limited([*command(script, data, tmp_path / "out"), "--processes", "1", "--mini-batch-size", "4MB"])
    assert run.returncode == 0, run.stderr.decode()
    with (tmp_path / "out" / "parallel_run_step.txt").open() as lines:
        count = sum(1 for line in lines)
    assert count == ROWS_IN_BLOCK * BLOCKS
