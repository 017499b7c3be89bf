"""Counts of a run, as the contract counts them, and when they are too bad to go on."""

from __future__ import annotations

from dataclasses import dataclass

from scoring_runtime.batch.commits import Commit
from scoring_runtime.batch.job import Job

__all__ = ["Tally"]


@dataclass
class Tally:
    """What is done of `batches` mini-batches with `items` items: files, or rows of tables."""

    batches: int
    items: int
    done: int = 0
    succeeded: int = 0
    failed: int = 0
    failed_batches: int = 0
    run_seconds: float = 0.0

    def add(self, commit: Commit) -> None:
        self.done += 1
        self.succeeded += commit.succeeded
        self.failed += commit.failed
        self.failed_batches += commit.succeeded == 0 and commit.items > 0
        self.run_seconds += commit.run_seconds

    def crossed(self, job: Job) -> str:
        """The threshold that is crossed, in words; "" if none is."""
        if 0 <= job.error_threshold < self.failed:
            return f"{self.failed} items failed, error_threshold allows {job.error_threshold}"
        if 0 <= job.allowed_failed_count < self.failed_batches:
            return f"{self.failed_batches} mini-batches failed, allowed_failed_count is {job.allowed_failed_count}"
        percent = 100.0 * self.failed_batches / max(1, self.batches)
        if percent > job.allowed_failed_percent:
            return (
                f"{percent:.3g} % of the mini-batches failed, allowed_failed_percent is {job.allowed_failed_percent:g}"
            )
        return ""
