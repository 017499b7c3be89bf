"""run.json: what a run was, how it went, and with which versions."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from typing import Any

from scoring_runtime.batch import storage
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.plan import Plan
from scoring_runtime.batch.tally import Tally
from scoring_runtime.errors import BatchResumeError

__all__ = ["Record", "read_record"]

PACKAGES = ("scoring-runtime", "numpy", "pandas", "pyarrow", "scikit-learn", "onnxruntime", "torch")


@dataclass(frozen=True)
class Record:
    """How a run stands. `status` is running, completed, failed, interrupted, or share_done."""

    status: str
    reason: str
    job: dict[str, Any]
    kind: str
    input_files: int
    input_bytes: int
    mini_batches: int
    mini_batches_done: int
    mini_batches_failed: int
    items: int
    items_succeeded: int
    items_failed: int
    output_file: str
    started: str
    ended: str
    seconds: float
    run_seconds: float
    items_per_second: float
    sessions: int
    versions: dict[str, str]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def write(self, output: str) -> None:
        storage.write(os.path.join(output, "run.json"), self.to_json().encode())

    def summary(self) -> str:
        """One line for people."""
        counts = f"{self.items_succeeded:,} of {self.items:,} items scored, {self.items_failed:,} failed"
        speed = f"{self.seconds:.1f} s, {self.items_per_second:,.0f} items/s"
        return f"{self.status}: {counts}, in {self.mini_batches_done:,} of {self.mini_batches:,} mini-batches ({speed})"


@dataclass
class Session:
    """One start of a run, until it ends or is killed."""

    job: Job
    plan: Plan
    tally: Tally
    number: int

    def __post_init__(self) -> None:
        self._began = time.time()
        self._clock = time.monotonic()
        self._items_before = self.tally.succeeded + self.tally.failed

    def record(self, status: str, reason: str = "", output_file: str = "") -> Record:
        seconds = time.monotonic() - self._clock
        items = self.tally.succeeded + self.tally.failed - self._items_before
        return Record(
            status=status,
            reason=reason,
            job=self.job.to_json(),
            kind=self.plan.kind,
            input_files=self.plan.files,
            input_bytes=self.plan.input_bytes,
            mini_batches=self.plan.batches,
            mini_batches_done=self.tally.done,
            mini_batches_failed=self.tally.failed_batches,
            items=self.plan.items,
            items_succeeded=self.tally.succeeded,
            items_failed=self.tally.failed,
            output_file=output_file,
            started=moment(self._began),
            ended=moment(time.time()),
            seconds=round(seconds, 3),
            run_seconds=round(self.tally.run_seconds, 3),
            items_per_second=round(items / seconds, 3) if seconds > 0 else 0.0,
            sessions=self.number,
            versions=versions(),
        )


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def read_record(output: str) -> dict[str, Any] | None:
    """The record in an output folder; None if no run has got so far. Raises BatchResumeError for a file of others."""
    path = os.path.join(output, "run.json")
    text = storage.read(path)
    if text is None:
        return None
    try:
        values = json.loads(text)
        return {field.name: values[field.name] for field in fields(Record)}
    except (ValueError, KeyError, TypeError):
        raise BatchResumeError(
            f"{path} is no record of a batch run. Choose another --output, or move the file."
        ) from None
