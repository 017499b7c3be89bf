"""Shares of a run as partitions of a Spark job: on the cluster of a master, or on threads of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scoring_runtime.batch.engines.shares import run_in_shares, work
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.record import Record
from scoring_runtime.batch.run import Share
from scoring_runtime.errors import BatchError

if TYPE_CHECKING:
    import pandas

__all__ = ["run_on_spark"]


def run_on_spark(
    job: Job, master: str | None = None, nodes: int = 0, *, restart: bool = False, retry_failed: bool = False
) -> Record:
    """Needs pyspark, and paths that are the same on every node. An active session is used, and left as it is."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise BatchError("--engine spark needs Spark: pip install 'scoring-runtime[spark]'") from None
    if (master or "local").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else Spark takes the first python3 on the PATH
    active = SparkSession.getActiveSession()
    builder = SparkSession.builder.appName("scoring batch").config("spark.ui.enabled", "false")
    session = active or builder.master(master or "local[*]").getOrCreate()
    try:
        shares = nodes or max(1, session.sparkContext.defaultParallelism // max(1, job.processes))

        def on_cluster(job: Job, shares: Sequence[Share]) -> None:
            submit(session, job, shares)

        return run_in_shares(job, on_cluster, shares, restart=restart, retry_failed=retry_failed)
    finally:
        if active is None:
            session.stop()


def submit(session: Any, job: Job, shares: Sequence[Share]) -> None:
    """One partition for each share. Spark tries a lost one again, which skips what it had committed."""
    values, count = job.to_json(), len(shares)

    def score(frames: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for frame in frames:
            yield frame.assign(status=[work(values, f"{index}/{count}") for index in frame["id"]])

    numbers = session.range(0, count, 1, count)
    try:
        numbers.mapInPandas(score, "id long, status string").collect()
    except Exception as error:
        raise BatchError(f"A share failed on Spark: {error}") from error
