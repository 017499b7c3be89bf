"""The commit protocol: one file for each finished mini-batch, named by its input, there whole or not at all.

    <output>/.scoring/parts/000/00000012-1f3a9c0b2d4e5f60      a line of JSON (Commit), then the bytes of its output

A mini-batch is done when its file exists, and not before. Nothing else holds the truth: not the process that starts
the work, not an engine, not the record. Two workers that finish the same mini-batch write the same name.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from typing import Any

from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.durable import make_folder, write_file

__all__ = ["Commit", "Commits", "Failure"]

PER_FOLDER = 1000


@dataclass(frozen=True)
class Failure:
    """Items without a result: where they are, how many, and why."""

    references: tuple[str, ...]
    items: int
    reason: str


@dataclass(frozen=True)
class Commit:
    """What is known of a finished mini-batch, beside its output."""

    index: int
    identity: str
    items: int
    succeeded: int
    failures: tuple[Failure, ...] = ()
    columns: tuple[str, ...] = ()
    payload_bytes: int = 0
    process: str = ""
    pid: int = 0
    started: float = 0.0
    seconds: float = 0.0
    run_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def failed(self) -> int:
        return self.items - self.succeeded

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Commit:
        values: dict[str, Any] = json.loads(line)
        values["failures"] = tuple(
            Failure(tuple(each["references"]), each["items"], each["reason"]) for each in values["failures"]
        )
        values["columns"] = tuple(values["columns"])
        return cls(**values)


class Commits:
    """All that is done in one run's folder."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "parts")
        os.makedirs(self._folder, exist_ok=True)

    def path(self, batch: MiniBatch) -> str:
        folder = os.path.join(self._folder, f"{batch.index // PER_FOLDER:03d}")
        return os.path.join(folder, f"{batch.index:08d}-{batch.identity}")

    def write(self, batch: MiniBatch, commit: Commit, payload: bytes) -> None:
        path = self.path(batch)
        make_folder(os.path.dirname(path))
        write_file(path, commit.to_line(), payload)

    def write_failure(self, batch: MiniBatch, kind: str, reason: str) -> Commit:
        """Commit that no item of the mini-batch has a result."""
        failure = Failure(tuple(batch.references(kind)), batch.items, reason)
        commit = Commit(batch.index, batch.identity, batch.items, 0, (failure,), started=time.time())
        self.write(batch, commit, b"")
        return commit

    def has(self, batch: MiniBatch) -> bool:
        return os.path.exists(self.path(batch))

    def read(self, batch: MiniBatch) -> Commit | None:
        try:
            with open(self.path(batch), "rb") as file:
                return Commit.from_line(file.readline())
        except FileNotFoundError:
            return None

    def payload(self, batch: MiniBatch) -> tuple[Commit, bytes]:
        with open(self.path(batch), "rb") as file:
            return Commit.from_line(file.readline()), file.read()

    def forget(self, batch: MiniBatch) -> None:
        os.unlink(self.path(batch))

    def sweep(self) -> None:
        """Remove what killed writers have left. Only where no other writer is at work."""
        for root, _, names in os.walk(self._folder):
            for name in names:
                if name.endswith(".tmp"):
                    os.unlink(os.path.join(root, name))

    def remove_all(self) -> None:
        shutil.rmtree(self._folder)
