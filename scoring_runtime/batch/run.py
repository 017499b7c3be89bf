"""A batch run from its job to its result files. The composition root: here the objects meet.

lock the folder -> plan (made or found again) -> what is committed already -> dispatch the rest -> assemble -> record
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from scoring_runtime.batch.assembly import assemble, write_errors
from scoring_runtime.batch.commits import Commits
from scoring_runtime.batch.dispatch import Dispatcher
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.logs import LogTree
from scoring_runtime.batch.plan import MiniBatch, Plan
from scoring_runtime.batch.processes import default_processes, spawner
from scoring_runtime.batch.progress import ProgressBar, ProgressOff
from scoring_runtime.batch.record import Record, Session, read_record
from scoring_runtime.batch.tally import Tally
from scoring_runtime.batch.template import Template
from scoring_runtime.errors import BatchError, BatchResumeError, BatchThresholdError, ScoringRuntimeError

__all__ = ["Share", "finish", "prepare", "run", "run_share"]

FOLDER = ".scoring"
RESULTS = ("run.json", "errors.jsonl")
OVERVIEW_SECONDS = 10.0


@dataclass(frozen=True)
class Share:
    """Every count-th mini-batch from `index` on: what one of several machines does."""

    index: int = 0
    count: int = 1

    def has(self, batch: MiniBatch) -> bool:
        return batch.index % self.count == self.index

    @classmethod
    def parse(cls, text: str) -> Share:
        """`2/8`: the third of eight."""
        index, _, count = text.partition("/")
        if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
            raise BatchResumeError(f"share: expected index/count such as 0/4, got {text!r}.")
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def run(
    job: Job,
    *,
    restart: bool = False,
    retry_failed: bool = False,
    share: Share | None = None,
    progress: ProgressBar | ProgressOff | None = None,
) -> Record:
    """Score what is not scored yet, then write the result files. The same call again continues where this one ended.

    Raises BatchError and ScriptError; the run's folder then holds everything that was committed before.
    """
    share = share or Share()
    if share.count > 1 and (restart or retry_failed):
        raise BatchResumeError("--restart and --retry-failed are for the whole run: give them without --share, once.")
    with locked(job.output, share):
        plan = prepare(job, restart=restart, retry_failed=retry_failed, sole=share.count == 1)
        done = read_record(job.output)
        if done is not None and done["status"] == "completed":
            return Record(**{**done, "job": job.to_json()})
        return run_share(job, plan, share, progress or ProgressOff())


def prepare(job: Job, *, restart: bool = False, retry_failed: bool = False, sole: bool = True) -> Plan:
    """The run's folder with its plan; begun anew, or with failed mini-batches forgotten, where that is asked for."""
    folder = os.path.join(job.output, FOLDER)
    if restart:
        clear(job)
    os.makedirs(folder, exist_ok=True)
    with flocked(os.path.join(folder, "plan.lock"), wait=True):
        plan = Plan.load_or_make(job, folder)
        before = read_record(job.output)
        if not sole:
            return plan
        if before is not None and (retry_failed or before["status"] == "failed") and before["items_failed"]:
            replace(Record(**before), status="running").write(job.output)
            forget_failures(plan, Commits(folder))
        if not (before is not None and before["status"] == "completed"):
            Commits(folder).sweep()
            sweep_results(job)
    return plan


def run_share(job: Job, plan: Plan, share: Share, progress: ProgressBar | ProgressOff) -> Record:
    """Commit every mini-batch of a share; whoever finds that nothing is left to do assembles."""
    folder = os.path.join(job.output, FOLDER)
    commits = Commits(folder)
    logs = LogTree(job.output)
    tally = tally_of(plan, commits, share)
    processes = min(job.processes or default_processes(), max(1, plan.batches - tally.done))
    before = read_record(job.output) or {}
    session = Session(job, plan, tally, before.get("sessions", 0) + 1)
    if share.count == 1:
        session.record("running").write(job.output)
    template = Template(job, plan.kind, folder, logs, processes)
    start = template if job.share_model else spawner(job, plan.kind, folder, logs, processes)
    overview = Overview(logs, progress)
    dispatcher = Dispatcher(job, plan.kind, commits, tally, logs, start, overview.tick)
    status, reason = "failed", "an unexpected error ended it"
    try:
        dispatcher.run((b for b in plan if share.has(b) and not commits.has(b)), processes)
        status, reason = "share_done", ""
    except KeyboardInterrupt:
        status, reason = "interrupted", "stopped by the user; the same command continues"
        raise
    except ScoringRuntimeError as error:
        reason = str(error)
        raise
    finally:
        template.close()
        progress.close()
        overview.end(tally)
        if status != "share_done":
            write_errors(job, plan, commits)
            record = session.record(status, reason)
            record.write(job.output)
            logs.result(record.summary(), reason)
    # Shares may end at the same time: one of them finishes, the others find it done.
    with flocked(os.path.join(folder, "finish.lock"), wait=True):
        done = (read_record(job.output) or {}).get("status") == "completed"
        if done or not all(map(commits.has, plan)):
            return session.record("share_done")
        return finish(job, plan, commits, session, logs)


def finish(job: Job, plan: Plan, commits: Commits, session: Session, logs: LogTree) -> Record:
    """Everything is committed: judge it, write the output and the record, and drop what is no longer needed."""
    session.tally = tally_of(plan, commits, Share())
    problem = session.tally.crossed(job)
    if not session.tally.succeeded:
        problem = "no succeeded mini batch item returned from run()"
    commits.sweep()
    write_errors(job, plan, commits)
    if problem:
        record = session.record("failed", problem)
        record.write(job.output)
        logs.result(record.summary(), problem)
        raise BatchThresholdError(f"{problem}. See errors.jsonl and logs/user/error.txt in {job.output}.")
    try:
        output_file = assemble(job, plan, commits)
    except BatchError as error:
        session.record("failed", str(error)).write(job.output)
        raise
    record = session.record("completed", output_file=output_file)
    record.write(job.output)
    logs.result(record.summary())
    if not session.tally.failed:
        commits.remove_all()
    return record


class Overview:
    """Keeps the progress bar and the log's overview up to date."""

    def __init__(
        self, logs: LogTree, progress: ProgressBar | ProgressOff, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._logs = logs
        self._progress = progress
        self._next = self._clock()

    def tick(self, tally: Tally) -> None:
        self._progress.show(tally)
        if self._clock() >= self._next:
            self._next += OVERVIEW_SECONDS
            self.end(tally)

    def end(self, tally: Tally) -> None:
        self._logs.progress(
            f"{tally.done}/{tally.batches} mini-batches, {tally.succeeded} items succeeded, {tally.failed} failed"
        )


def tally_of(plan: Plan, commits: Commits, share: Share) -> Tally:
    tally = Tally(plan.batches, plan.items)
    for batch in plan:
        commit = commits.read(batch) if share.has(batch) else None
        if commit is not None:
            tally.add(commit)
    return tally


def forget_failures(plan: Plan, commits: Commits) -> None:
    for batch in plan:
        commit = commits.read(batch)
        if commit is not None and commit.failures:
            commits.forget(batch)


def sweep_results(job: Job) -> None:
    """Halves of result files whose writer was killed."""
    for name in (*RESULTS, job.file_name, os.path.join(FOLDER, "plan.json")):
        for path in glob.glob(os.path.join(glob.escape(job.output), glob.escape(name)) + ".*.tmp"):
            os.unlink(path)


def clear(job: Job) -> None:
    """Everything that a run writes; other files in the folder stay, the script's own among them.

    The record goes first and the plan and its commits in one step, so that a kill in between leaves no mixture.
    """
    for name in (*RESULTS, job.file_name):
        path = os.path.join(job.output, name)
        if os.path.exists(path):
            os.unlink(path)
    folder = os.path.join(job.output, FOLDER)
    if os.path.exists(folder):
        os.replace(folder, f"{folder}.{uuid.uuid4().hex[:12]}.old")
    for old in glob.glob(glob.escape(folder) + ".*.old"):
        shutil.rmtree(old)
    shutil.rmtree(os.path.join(job.output, "logs"), ignore_errors=True)


@contextmanager
def locked(output: str, share: Share) -> Iterator[None]:
    """One process for a whole run, or one for each share. The lock ends with the process, however that ends."""
    os.makedirs(output, exist_ok=True)
    lock = os.path.join(output, f"{FOLDER}.lock")
    if share.count == 1:
        with flocked(lock, wait=False):
            yield
    else:
        own = os.path.join(output, f"{FOLDER}-{share.index}-of-{share.count}.lock")
        with flocked(lock, wait=False, shared=True), flocked(own, wait=False):
            yield


@contextmanager
def flocked(path: str, *, wait: bool, shared: bool = False) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BatchResumeError(
                f"Another process is writing this run ({path} is locked). Wait for it, or end it."
            ) from None
        yield
    finally:
        os.close(descriptor)
