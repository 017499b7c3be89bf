"""Shares of a run as Ray tasks: on the cluster at an address, or on one that is started here for the run."""

from __future__ import annotations

from collections.abc import Sequence

from scoring_runtime.batch.engines.shares import run_in_shares, work
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.record import Record
from scoring_runtime.batch.run import Share
from scoring_runtime.errors import BatchError, ScoringRuntimeError

__all__ = ["run_on_ray"]


def run_on_ray(
    job: Job, address: str | None = None, nodes: int = 0, *, restart: bool = False, retry_failed: bool = False
) -> Record:
    """Needs Ray, and paths that are the same on every node. `nodes`: shares at a time, default one for each CPU."""
    try:
        import ray
    except ImportError:
        raise BatchError("--engine ray needs Ray: pip install 'scoring-runtime[ray]'") from None
    options = {} if address else {"include_dashboard": False}
    ray.init(address, log_to_driver=False, ignore_reinit_error=True, **options)
    try:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        shares = nodes or max(1, cpus // max(1, job.processes))
        return run_in_shares(job, on_cluster, shares, restart=restart, retry_failed=retry_failed)
    finally:
        ray.shutdown()


def on_cluster(job: Job, shares: Sequence[Share]) -> None:
    import ray

    # A lost node costs its share another try; what it had committed is skipped then.
    task = ray.remote(num_cpus=job.processes, max_retries=3)(work)
    values = job.to_json()
    try:
        ray.get([task.remote(values, str(share)) for share in shares])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ScoringRuntimeError):
            raise error.cause from None
        raise BatchError(f"A share failed on Ray: {error}") from error
