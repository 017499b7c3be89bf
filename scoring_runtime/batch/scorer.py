"""Reads a mini-batch, calls the script with it, and says what came of it. Knows nothing of processes or retries."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from typing import Any

from scoring_runtime import schemas
from scoring_runtime.api import json_loads
from scoring_runtime.batch.commits import Commit, Failure
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.online import OnlineScript, RecordFailure, is_online
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.batch.results import Encoder, count, encoder
from scoring_runtime.batch.sources import download, open_source
from scoring_runtime.batch.tables import TableReader
from scoring_runtime.script import Script, load_script

__all__ = ["Scorer"]


@dataclass(frozen=True)
class Scored:
    """A mini-batch's result, ready to be committed."""

    commit: Commit
    payload: bytes


class Scorer:
    """A loaded script, and how its run() is called and its results are written: decided once."""

    def __init__(self, job: Job, kind: str) -> None:
        self._job = job
        self._kind = kind
        self.profiling_module = job.profiling_module
        #: Where copies of remote files go.
        self.scratch = tempfile.gettempdir()
        self._reader = TableReader(kind, job.header)
        sys.argv = [job.script, *job.script_arguments()]
        sys.path.insert(0, job.script_folder())
        json_loads.install()
        schemas.install()
        self.script: Script = load_script(os.path.abspath(job.script), os.getcwd(), init_required=False)
        self.online = OnlineScript(self.script) if is_online(self.script, job.style) else None
        self._encode: Encoder = encoder(job.output_action, job.output_format, as_json=self.online is not None)

    def init(self) -> None:
        """Raises ScriptInitError."""
        self.script.init()

    def close(self) -> None:
        """The script's shutdown(), where it has one."""
        shutdown = getattr(self.script.module, "shutdown", None)
        if callable(shutdown):
            shutdown()
        if self.online is not None:
            self.online.close()
        self._reader.close()

    def read(self, batch: MiniBatch) -> Any:
        """What run() will be given: paths, a DataFrame, or request bodies."""
        if self._kind == "files":
            if self.online is not None:
                return [content(piece.path) for piece in batch.pieces]
            return [download(piece.path, self.scratch) for piece in batch.pieces]
        if self.online is not None and self._kind == "jsonl":
            return [line for piece in batch.pieces for line in self._reader.picked_lines(piece)]
        return self._reader.read(batch.pieces, self._job.columns or None)

    def score(self, batch: MiniBatch, data: Any) -> Scored:
        """Raises what run() raised, and BatchError for a result that is none."""
        began, clock, cpu = time.time(), time.perf_counter(), time.process_time()
        try:
            result, succeeded, failures = self._run(batch, data)
        finally:
            self._drop_copies(data)
        run_seconds = time.perf_counter() - clock
        encoded = self._encode(result)
        commit = Commit(batch.index, batch.identity, batch.items, succeeded, failures)
        commit = replace(
            commit,
            columns=encoded.columns,
            payload_bytes=len(encoded.payload),
            process=os.environ.get("SCORING_BATCH_PROCESS", ""),
            pid=os.getpid(),
            started=began,
            seconds=time.perf_counter() - clock,
            run_seconds=run_seconds,
            cpu_seconds=time.process_time() - cpu,
        )
        return Scored(commit, encoded.payload)

    def _drop_copies(self, data: Any) -> None:
        """Copies of remote files, so that an input may be larger than this machine's disk."""
        if self._kind == "files" and self.online is None:
            for path in data:
                if path.startswith(self.scratch + os.sep):
                    shutil.rmtree(os.path.dirname(path), ignore_errors=True)

    def _run(self, batch: MiniBatch, data: Any) -> tuple[Any, int, tuple[Failure, ...]]:
        if self.online is None:
            return self._run_mini_batch(batch, data)
        answers = self.online.score_bodies(data) if isinstance(data, list) else self.online.score_table(data)
        good = [answer for answer in answers if not isinstance(answer, RecordFailure)]
        references = record_references(batch, self._kind)
        failures = tuple(
            Failure((reference,), 1, answer.reason)
            for reference, answer in zip(references, answers, strict=True)
            if isinstance(answer, RecordFailure)
        )
        return good, len(good), failures

    def _run_mini_batch(self, batch: MiniBatch, data: Any) -> tuple[Any, int, tuple[Failure, ...]]:
        result = self.script.run(data)
        if inspect.isawaitable(result):
            result = asyncio.run(finish(result))
        succeeded = min(count(result), batch.items)
        missing = batch.items - succeeded
        if not missing:
            return result, succeeded, ()
        reason = f"run() returned {succeeded} results for {batch.items} items"
        return result, succeeded, (Failure(tuple(batch.references(self._kind)), missing, reason),)


async def finish(awaitable: Any) -> Any:
    return await awaitable


def content(path: str) -> bytes:
    with open_source(path) as file:
        return file.read()


def record_references(batch: MiniBatch, kind: str) -> list[str]:
    """Where each item of the mini-batch is, one by one."""
    if kind == "files":
        return batch.references(kind)
    result = []
    for piece in batch.pieces:
        for first, last in piece.picked or ((0, piece.rows),):
            result += [f"{piece.path}#rows={piece.first_row + row}" for row in range(first, last)]
    return result
