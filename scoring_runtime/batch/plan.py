"""The plan of a run: its mini-batches in input order, each with an identity, written once and read as a stream."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from scoring_runtime.batch import storage
from scoring_runtime.batch.cutting import Piece, cut
from scoring_runtime.batch.job import Job, Size
from scoring_runtime.batch.partitions import partition_files, partition_table
from scoring_runtime.batch.sources import Source, absolute, find, kind_of, without_glob
from scoring_runtime.errors import BatchInputError, BatchResumeError

__all__ = ["MiniBatch", "Plan", "asked_of"]

LOOKED_AT = 64 * 1024


@dataclass(frozen=True)
class MiniBatch:
    """What one call of run() gets."""

    index: int
    identity: str
    pieces: tuple[Piece, ...]

    @property
    def items(self) -> int:
        return sum(piece.items for piece in self.pieces)

    @property
    def group(self) -> tuple[str, int] | None:
        """Mini-batches with the same group share the cost of decoding it, if one worker takes them in order."""
        piece = self.pieces[0]
        return (piece.path, piece.group) if piece.group >= 0 and not piece.picked else None

    def references(self, kind: str) -> list[str]:
        """Its input as an error file names it."""
        return [piece.path if kind == "files" else str(piece) for piece in self.pieces]

    def to_line(self) -> str:
        return json.dumps([self.index, self.identity, [piece.to_json() for piece in self.pieces]])

    @classmethod
    def from_line(cls, line: str) -> MiniBatch:
        index, identity, pieces = json.loads(line)
        return cls(index, identity, tuple(Piece.from_json(piece) for piece in pieces))


class Plan:
    """The mini-batches of a job; made from the input once, then read back from the run's folder."""

    def __init__(self, folder: str, head: dict[str, Any]) -> None:
        self._lines = os.path.join(folder, "plan.jsonl")
        self.kind: str = head["kind"]
        self.batches: int = head["batches"]
        self.items: int = head["items"]
        self.input_bytes: int = head["input_bytes"]
        self.files: int = head["files"]

    def __iter__(self) -> Iterator[MiniBatch]:
        return map(MiniBatch.from_line, storage.lines(self._lines))

    @classmethod
    def load_or_make(cls, job: Job, folder: str) -> Plan:
        """The plan of this job in this folder. Raises BatchResumeError if the folder's plan is another job's."""
        head_path = os.path.join(folder, "plan.json")
        identity, sources = asked_of(job)
        known = storage.read(head_path)
        if known is not None:
            head = json.loads(known)
            differing = [name for name in identity if head["identity"].get(name) != identity[name]]
            if differing:
                raise BatchResumeError(
                    f"{job.output} holds a run that differs in: {', '.join(differing)}. Its results and this run's "
                    "must not mix: begin anew with --restart, or choose another --output."
                )
            return cls(folder, head)
        head = {"identity": identity, **write_lines(job, sources, folder, json.dumps(identity))}
        storage.write(head_path, json.dumps(head, indent=1).encode())
        return cls(folder, head)


def asked_of(job: Job) -> tuple[dict[str, Any], list[Source]]:
    """All that another run may differ in, and the input. Raises BatchInputError."""
    sources = not_written_by(job, find(job.inputs))
    identity = {**job.identity(digest_of(job.script)), "sources": digest_of_sources(sources)}
    identity["model_files"] = digest_of_files(job.model_dir)
    identity["side_input_files"] = [digest_of_files(path) for _, path in job.side_inputs]
    return identity, sources


def not_written_by(job: Job, sources: list[Source]) -> list[Source]:
    """The sources without the run's own files, which may lie in the input's folder and are no part of it."""
    output = absolute(job.output) + "/"
    bases = [absolute(without_glob(pattern)) + "/" for pattern in job.inputs]
    # A folder within an input holds output alone; else the output may hold the input, too.
    within = any(output.startswith(base) and output != base for base in bases)
    written = {"run.json", "errors.jsonl", "logs", job.file_name}

    def is_own(path: str) -> bool:
        return path.startswith(output) and (within or path[len(output) :].split("/")[0] in written)

    left = [source for source in sources if not is_own(source.path)]
    if not left:
        raise BatchInputError(f"All that the input names is written by this run into {job.output}. Choose another one.")
    return left


def write_lines(job: Job, sources: list[Source], folder: str, seed: str) -> dict[str, Any]:
    kind = kind_of(sources, job.input_format)
    if job.header and kind != "csv":
        raise BatchInputError(f"--header is for CSV files, these are {kind}. Leave it out, or add --input-format csv.")
    stamps = {source.path: f"{source.size} {source.stamp}" for source in sources}
    index = items = 0
    with storage.created(os.path.join(folder, "plan.jsonl")) as file:
        for pieces in mini_batches(job, kind, sources):
            batch = MiniBatch(index, identity_of(seed, pieces, stamps), pieces)
            file.write(batch.to_line().encode() + b"\n")
            index, items = index + 1, items + batch.items
        if not index:
            raise BatchInputError(f"The input has no rows: {len(sources)} files, all empty.")
    total = sum(source.size for source in sources)
    return {"kind": kind, "batches": index, "items": items, "files": len(sources), "input_bytes": total}


def mini_batches(job: Job, kind: str, sources: list[Source]) -> Iterator[tuple[Piece, ...]]:
    size = job.size(kind)
    if job.partition_keys:
        by_path = partition_files(sources, job.partition_keys)
        if kind == "files":
            return (tuple(map(whole, group)) for group in by_path)
        return partition_table(sources, by_path, kind, job.partition_keys, job.header)
    if kind == "files":
        return file_groups(sources, size)
    return ((piece,) for source in sources for piece in cut(source, kind, size, header=not job.header))


def whole(source: Source) -> Piece:
    return Piece(source.path, 0, source.size, 0, 1)


def file_groups(sources: Iterable[Source], size: Size) -> Iterator[tuple[Piece, ...]]:
    """So many files each; or files of so many bytes together, at least one."""
    if not size.in_bytes:
        numbered = groupby(enumerate(sources), key=lambda pair: pair[0] // size.amount)
        yield from (tuple(whole(source) for _, source in group) for _, group in numbered)
        return
    group: list[Piece] = []
    total = 0
    for source in sources:
        if group and total + source.size > size.amount:
            yield tuple(group)
            group, total = [], 0
        group.append(whole(source))
        total += source.size
    if group:
        yield tuple(group)


def identity_of(seed: str, pieces: tuple[Piece, ...], stamps: dict[str, str]) -> str:
    """Equal only for the same part of the same input, scored by the same script with the same options."""
    digest = hashlib.sha256(seed.encode())
    for piece in pieces:
        digest.update(json.dumps([piece.to_json(), stamps[piece.path]]).encode())
    return digest.hexdigest()[:16]


def digest_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        raise BatchInputError(f"The script {path} cannot be read: {error.strerror}.") from None


def digest_of_files(path: str) -> str:
    """Of a model's folder or a side input: names, sizes, beginnings and ends, which a newly trained model changes.

    Reading all of it would take as long as loading it, and its times may differ from one machine to another.
    """
    digest = hashlib.sha256()
    files = [path] if os.path.isfile(path) else sorted(storage.names(path)) if path else []
    for file in files:
        with suppress(OSError), open(file, "rb") as content:
            size = os.fstat(content.fileno()).st_size
            digest.update(json.dumps([os.path.relpath(file, path), size]).encode())
            digest.update(content.read(LOOKED_AT))
            content.seek(max(0, size - LOOKED_AT))
            digest.update(content.read(LOOKED_AT))
    return digest.hexdigest()


def digest_of_sources(sources: list[Source]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(json.dumps(source.to_json()).encode())
    return digest.hexdigest()
