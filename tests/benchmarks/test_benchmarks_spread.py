"""The benchmark of the spread over workers, with a server of ours."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench_spread import CLIENTS, WORKERS, measure, row
from tests.serving import ROOT, serving, until


def test_every_answer_is_counted_for_the_worker_that_gave_it(tmp_path: Path) -> None:
    script = (ROOT / "benchmarks/works/uneven/score.py").read_text()
    with serving(script, tmp_path, WORKER_COUNT=str(WORKERS)) as server:
        until(lambda: len(server.workers()) == WORKERS)
        answers = measure(server.port, seconds=0.3)
        assert {pid for pid, _ in answers} == set(server.workers())
        assert len(answers) >= CLIENTS
        assert all(milliseconds >= 2 for _, milliseconds in answers)


def test_a_worker_without_any_request_has_no_share() -> None:
    line = row("ours", [[(1, 2.0)] * 30 + [(2, 4.0)] * 10])
    assert "share of a worker 0.00-3.00" in line
    assert "13 requests/s (13-13)   p50 2.0 ms   p99 4.0 ms" in line
