"""The commit protocol: one file for each finished mini-batch, named by its input, there whole or not at all.

    <output>/.scoring/parts/000/00000012-1f3a9c0b2d4e5f60      a line of JSON (Commit), then the bytes of its output

A mini-batch is done when its file exists, and not before. Nothing else holds the truth: not the process that starts
the work, not an engine, not the record. Two workers that finish the same mini-batch write the same name.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scoring_runtime.batch import storage
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.batch.sources import is_remote

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
        # Asking an object store for each takes its time: it is asked once for all, at the first question.
        self._known: set[str] | None = None

    def path(self, batch: MiniBatch) -> str:
        folder = os.path.join(self._folder, f"{batch.index // PER_FOLDER:03d}")
        return os.path.join(folder, f"{batch.index:08d}-{batch.identity}")

    def write(self, batch: MiniBatch, commit: Commit, payload: bytes) -> None:
        self.write_all([(batch, commit, payload)])

    def write_all(self, done: Sequence[tuple[MiniBatch, Commit, bytes]]) -> None:
        """Several in about the time of one."""
        contents = {self.path(batch): (commit.to_line(), payload) for batch, commit, payload in done}
        storage.write_all(contents)
        if self._known is not None:
            self._known.update(map(os.path.basename, contents))

    def write_failure(self, batch: MiniBatch, kind: str, reason: str) -> Commit:
        """Commit that no item of the mini-batch has a result."""
        failure = Failure(tuple(batch.references(kind)), batch.items, reason)
        commit = Commit(batch.index, batch.identity, batch.items, 0, (failure,), started=time.time())
        self.write(batch, commit, b"")
        return commit

    def has(self, batch: MiniBatch) -> bool:
        """At a URL: known to this process, from the beginning or because it has read or written it."""
        if not is_remote(self._folder):
            return os.path.exists(self.path(batch))
        if self._known is None:
            self._known = {path.rpartition("/")[2] for path in storage.names(self._folder)}
        return os.path.basename(self.path(batch)) in self._known

    def read(self, batch: MiniBatch) -> Commit | None:
        """What is committed, by whatever process; None if nothing is."""
        if not is_remote(self._folder):
            try:
                with open(self.path(batch), "rb") as file:
                    return Commit.from_line(file.readline())
            except FileNotFoundError:
                return None
        content = storage.read(self.path(batch))
        if content is None:
            return None
        if self._known is not None:
            self._known.add(os.path.basename(self.path(batch)))
        return Commit.from_line(content[: content.index(b"\n") + 1])

    def each(self, batches: Iterable[MiniBatch]) -> Iterator[tuple[Commit, memoryview]]:
        """Commits with their outputs, in the order asked for."""
        for content in storage.read_each(map(self.path, batches)):
            end = content.index(b"\n") + 1
            yield Commit.from_line(content[:end]), memoryview(content)[end:]

    def forget(self, batch: MiniBatch) -> None:
        storage.remove(self.path(batch))
        if self._known is not None:
            self._known.discard(os.path.basename(self.path(batch)))

    def sweep(self) -> None:
        """Remove what killed writers have left. Only where no other writer is at work."""
        for path in storage.names(self._folder):
            if path.endswith(".tmp"):
                os.unlink(path) if not is_remote(self._folder) else storage.remove(f"{self._folder}/{tail(path)}")

    def remove_all(self) -> None:
        storage.remove_tree(self._folder)


def tail(path: str) -> str:
    """000/00000012-1f3a9c0b2d4e5f60: what comes after parts/."""
    return "/".join(path.split("/")[-2:])
