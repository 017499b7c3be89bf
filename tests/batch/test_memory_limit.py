"""A whole job inside a control group with less memory than its input has bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.crashing import command

ROOT = Path("/sys/fs/cgroup/memory")
LIMIT_BYTES = 384 * 1024 * 1024
BLOCK_ROWS = 20_000


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of version 1, in which the kernel holds everything to the limit."""
    if not os.access(ROOT / "memory.limit_in_bytes", os.W_OK):
        pytest.skip("needs root and control groups of version 1; test_memory.py holds each process to a limit")
    folder = ROOT / f"scoring-batch-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    yield folder
    folder.rmdir()


def within(group: Path, argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    enter = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
    return subprocess.run([sys.executable, "-c", enter, str(group / "cgroup.procs"), *argv], capture_output=True)


def test_an_input_larger_than_the_memory_of_the_whole_job(tmp_path, group):
    script, data = tmp_path / "score.py", tmp_path / "data.csv"
    script.write_text("def run(mini_batch):\n    return (mini_batch['a'] + mini_batch['c']).tolist()")
    block = "".join(f"{n},{'1234567890.25,' * 7}{n}.5\n" for n in range(BLOCK_ROWS)).encode()
    blocks = LIMIT_BYTES * 12 // 10 // len(block)
    with data.open("wb") as file:
        file.write(b"a,f1,f2,f3,f4,f5,f6,f7,c\n")
        for _ in range(blocks):
            file.write(block)
    assert data.stat().st_size > LIMIT_BYTES
    too_much = within(group, [sys.executable, "-c", f"print(len(bytearray({LIMIT_BYTES})))"])
    assert too_much.returncode == -9, "the limit is not enforced"
    argv = command(script, data, tmp_path / "out", "--processes", "1", "--mini-batch-size", "4MB")
    run = within(group, argv)
    assert run.returncode == 0, run.stderr.decode()
    with (tmp_path / "out" / "parallel_run_step.txt").open() as lines:
        assert sum(1 for line in lines) == BLOCK_ROWS * blocks
    assert int((group / "memory.max_usage_in_bytes").read_text()) <= LIMIT_BYTES
