"""The run's two result files, made from the commits in input order: each item's result once, each failure once."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from scoring_runtime.batch import storage
from scoring_runtime.batch.commits import Commit, Commits
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.errors import BatchError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["assemble", "check_columns", "write_errors"]

Parts = Iterator[tuple[Commit, memoryview]]


def assemble(job: Job, batches: Iterable[MiniBatch], commits: Commits) -> str:
    """Write the output file; returns its path, "" for summary_only."""
    if job.output_action == "summary_only":
        return ""

    def parts() -> Parts:
        return ((commit, payload) for commit, payload in commits.each(batches) if len(payload))

    write = {"csv": write_csv, "parquet": write_parquet}.get(job.output_format, write_lines)
    path = os.path.join(job.output, job.file_name)
    with storage.created(path) as file:
        write(file, parts)
    return path


def write_errors(job: Job, batches: Iterable[MiniBatch], commits: Commits) -> int:
    """errors.jsonl: one line for each failure that is committed. Returns how many."""
    lines = 0
    with storage.created(os.path.join(job.output, "errors.jsonl")) as file:
        for batch in filter(commits.has, batches):
            commit = commits.read(batch)
            for failure in commit.failures if commit else ():
                line = {"mini_batch": batch.index, "items": failure.items, "reason": failure.reason}
                file.write(json.dumps({**line, "input": list(failure.references)}).encode() + b"\n")
                lines += 1
    return lines


def write_lines(file: BinaryIO, parts: Callable[[], Parts]) -> None:
    for _, payload in parts():
        file.write(payload)


def write_csv(file: BinaryIO, parts: Callable[[], Parts]) -> None:
    columns: tuple[str, ...] = ()
    for commit, payload in parts():
        if not columns:
            columns = commit.columns
            file.write(header(columns))
        check_columns(columns, commit)
        file.write(payload)


def header(columns: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(columns)
    return text.getvalue().encode()


def check_columns(columns: tuple[str, ...], commit: Commit) -> None:
    if commit.columns != columns:
        raise BatchError(
            f"run() returned the columns {', '.join(commit.columns)} for mini-batch {commit.index}, and "
            f"{', '.join(columns)} before: one table cannot hold both. Return the same ones always, or use "
            "--output-format jsonl."
        )


def write_parquet(file: BinaryIO, parts: Callable[[], Parts]) -> None:
    """Two passes: a column may be empty in one mini-batch and have numbers in the next."""
    import pyarrow
    import pyarrow.parquet

    columns: tuple[str, ...] = ()
    schema: pyarrow.Schema | None = None
    for commit, payload in parts():
        columns = columns or commit.columns
        check_columns(columns, commit)
        mine = pyarrow.ipc.open_stream(payload).schema
        schema = mine if schema is None else unified(schema, mine, commit)
    with pyarrow.parquet.ParquetWriter(file, schema if schema is not None else pyarrow.schema([])) as writer:
        for _, payload in parts():
            writer.write_table(pyarrow.ipc.open_stream(payload).read_all().cast(schema))


def unified(schema: Any, mine: Any, commit: Commit) -> Any:
    import pyarrow

    try:
        return pyarrow.unify_schemas([schema, mine], promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise BatchError(
            f"The results of mini-batch {commit.index} do not fit those before: {error}. Return the same types always, "
            "or use --output-format jsonl."
        ) from None
