"""What every engine does with a run: plan it here, have its shares worked on there, and finish it here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from scoring_runtime.batch.job import Job
from scoring_runtime.batch.record import Record
from scoring_runtime.batch.run import Share, prepare, run, sole_writer

__all__ = ["Work", "run_in_shares", "work"]

#: Brings every share to its end, somewhere; raises what a share raised.
Work = Callable[[Job, Sequence[Share]], None]


def run_in_shares(job: Job, engine: Work, shares: int, *, restart: bool = False, retry_failed: bool = False) -> Record:
    """Whatever the engine has not committed when it returns is done here; mostly that is nothing."""
    with sole_writer(job.output, Share()):
        prepare(job, restart=restart, retry_failed=retry_failed)
    engine(replace(job, processes=job.processes or 1), [Share(index, shares) for index in range(shares)])
    return run(job)


def work(job_values: dict[str, Any], share: str) -> str:
    """One share, on the machine that the engine has chosen; returns its status."""
    return run(Job.from_json(job_values), share=Share.parse(share)).status
