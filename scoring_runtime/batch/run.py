"""A batch run from its job to its result files. The composition root: here the objects meet.

lock the folder -> plan (made or found again) -> what is committed already -> dispatch the rest -> assemble -> record
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from scoring_runtime.batch import storage
from scoring_runtime.batch.assembly import assemble, write_errors
from scoring_runtime.batch.commits import Commits
from scoring_runtime.batch.dispatch import Dispatcher
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.locks import locked
from scoring_runtime.batch.logs import LogTree
from scoring_runtime.batch.perf import Monitor
from scoring_runtime.batch.plan import MiniBatch, Plan, asked_of
from scoring_runtime.batch.processes import default_processes, spawner
from scoring_runtime.batch.progress import ProgressBar, ProgressOff
from scoring_runtime.batch.record import Record, Session, read_record
from scoring_runtime.batch.sources import is_remote
from scoring_runtime.batch.tally import Tally
from scoring_runtime.batch.template import Template
from scoring_runtime.durable import make_folder
from scoring_runtime.errors import BatchError, BatchOutputError, BatchThresholdError, ScoringRuntimeError, SettingsError

__all__ = ["Share", "finish", "prepare", "run", "run_share", "sole_writer"]

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
            raise SettingsError("share", text, "index/count such as 0/4")
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
        flag = "restart" if restart else "retry_failed"
        raise SettingsError(flag, f"share {share}", "the whole run", "Give it once, without --share.")
    with sole_writer(job.output, share):
        plan = prepare(job, restart=restart, retry_failed=retry_failed, sole=share.count == 1)
        done = read_record(job.output)
        if done is not None and done["status"] == "completed" and (share.count > 1 or has_output(job)):
            return Record(**{**done, "job": job.to_json()})
        return run_share(job, plan, share, progress or ProgressOff())


def prepare(job: Job, *, restart: bool = False, retry_failed: bool = False, sole: bool = True) -> Plan:
    """The run's folder with its plan; begun anew, or with failed mini-batches forgotten, where that is asked for."""
    folder = os.path.join(job.output, FOLDER)
    if restart:
        asked_of(job)  # a wrong path must not cost the results that there are
        clear(job)
    if not is_remote(folder):
        make_folder(folder)
    with locked(os.path.join(folder, "plan.lock"), wait=True):
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
    logs = LogTree(tempfile.mkdtemp(prefix="scoring-batch-") if is_remote(job.output) else job.output)
    tally = tally_of(plan, commits, share)
    processes = min(job.processes or default_processes(), max(1, plan.batches - tally.done))
    before = read_record(job.output) or {}
    session = Session(job, plan, tally, before.get("sessions", 0) + 1)
    if share.count == 1:
        session.record("running").write(job.output)
    scratch = tempfile.TemporaryDirectory(prefix="scoring-batch-")
    template = Template(job, plan.kind, folder, logs, processes, scratch.name)
    start = template if job.share_model else spawner(job, plan.kind, folder, logs, processes, scratch.name)
    overview = Overview(logs, progress, Monitor(logs.perf, job.monitor_interval_seconds))
    if share.count == 1 and not is_remote(job.output):
        overview.also = lambda: session.record("running").write(job.output)
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
        scratch.cleanup()  # that of workers that were killed, too
        progress.close()
        overview.end(tally)
        if status != "share_done":
            write_errors(job, plan, commits)
            record = session.record(status, reason)
            record.write(job.output)
            logs.result(record.summary(), reason)
            keep_logs(job, session, logs)
    # Shares may end at the same time: one of them finishes, the others find it done.
    try:
        with locked(os.path.join(folder, "finish.lock"), wait=True):
            done = (read_record(job.output) or {}).get("status") == "completed"
            others = Commits(folder) if share.count > 1 else commits
            if done or not all(map(others.has, plan)):
                return session.record("share_done")
            if share.count > 1:
                session.tally = tally_of(plan, commits, Share())
            return finish(job, plan, commits, session, logs, sole=share.count == 1)
    finally:
        keep_logs(job, session, logs)


def keep_logs(job: Job, session: Session, logs: LogTree) -> None:
    """Logs are written on this machine; those of a run at a URL follow it there, a folder for each session."""
    if is_remote(job.output):
        storage.upload(logs.root, f"{job.output}/logs/session-{session.number}")
        shutil.rmtree(logs.output)


def finish(job: Job, plan: Plan, commits: Commits, session: Session, logs: LogTree, *, sole: bool = True) -> Record:
    """Everything is committed: judge it, write the output and the record, and drop what is no longer needed."""
    problem = session.tally.crossed(job)
    if not session.tally.succeeded:
        problem = "no succeeded mini batch item returned from run()"
    commits.sweep()
    write_errors(job, plan if session.tally.failed else (), commits)
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
    # At a URL another share may be assembling them too: there is no lock that it could have waited for.
    if not session.tally.failed and (sole or not is_remote(job.output)):
        commits.remove_all()
    return record


def has_output(job: Job) -> bool:
    """Whether the result of a completed run is still there: one that someone has removed is made again."""
    return job.output_action == "summary_only" or storage.exists(os.path.join(job.output, job.file_name))


class Overview:
    """Keeps the progress bar and the log's overview up to date."""

    def __init__(
        self,
        logs: LogTree,
        progress: ProgressBar | ProgressOff,
        monitor: Monitor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._logs = logs
        self._progress = progress
        self._monitor = monitor
        self._next = self._clock()
        #: Told when there is something new to read.
        self.also: Callable[[], None] = lambda: None

    def tick(self, tally: Tally) -> None:
        self._progress.show(tally)
        self._monitor.tick()
        if self._clock() >= self._next:
            self._next += OVERVIEW_SECONDS
            self.write(tally)
            self.also()

    def end(self, tally: Tally) -> None:
        self._monitor.close()
        self.write(tally)

    def write(self, tally: Tally) -> None:
        self._logs.progress(
            f"{tally.done}/{tally.batches} mini-batches, {tally.succeeded} items succeeded, {tally.failed} failed"
        )


def tally_of(plan: Plan, commits: Commits, share: Share) -> Tally:
    tally = Tally(plan.batches, plan.items)
    for batch in plan:
        commit = commits.read(batch) if share.has(batch) and commits.has(batch) else None
        if commit is not None:
            tally.add(commit)
    return tally


def forget_failures(plan: Plan, commits: Commits) -> None:
    for batch in filter(commits.has, plan):
        commit = commits.read(batch)
        if commit is not None and commit.failures:
            commits.forget(batch)


def sweep_results(job: Job) -> None:
    """Halves of result files whose writer was killed."""
    plan = (os.path.join(FOLDER, "plan.json"), os.path.join(FOLDER, "plan.jsonl"))
    for name in (*RESULTS, job.file_name, *plan):
        for path in glob.glob(os.path.join(glob.escape(job.output), glob.escape(name)) + ".*.tmp"):
            os.unlink(path)


def clear(job: Job) -> None:
    """Everything that a run writes; other files in the folder stay, the script's own among them.

    The record goes first and the plan and its commits in one step, so that a kill in between leaves no mixture.
    """
    for name in (*RESULTS, job.file_name):
        path = os.path.join(job.output, name)
        if storage.exists(path):
            storage.remove(path)
    storage.remove_tree(os.path.join(job.output, FOLDER))
    for old in glob.glob(glob.escape(os.path.join(job.output, FOLDER)) + ".*.old"):
        shutil.rmtree(old)
    if is_remote(job.output):
        storage.remove_tree(f"{job.output}/logs")
    else:
        shutil.rmtree(os.path.join(job.output, "logs"), ignore_errors=True)


@contextmanager
def sole_writer(output: str, share: Share) -> Iterator[None]:
    """One process for a whole run, or one for each share. Raises BatchOutputError for what the system refuses."""
    try:
        check_reachable(output)
        with held(output, share):
            yield
    except OSError as error:
        raise BatchOutputError(output, error) from error


def check_reachable(output: str) -> None:
    if not is_remote(output):
        make_folder(output)
        os.makedirs(output, exist_ok=True)  # refuses a file of that name
        return
    try:
        storage.exists(os.path.join(output, "run.json"))
    except ScoringRuntimeError:
        raise
    except Exception as error:  # clients of object stores have errors of their own, such as for missing credentials
        raise BatchOutputError(output, f"{type(error).__name__}: {error}") from error


@contextmanager
def held(output: str, share: Share) -> Iterator[None]:
    lock = os.path.join(output, f"{FOLDER}.lock")
    if share.count == 1:
        with locked(lock, wait=False):
            yield
    else:
        own = os.path.join(output, f"{FOLDER}-{share.index}-of-{share.count}.lock")
        with locked(lock, wait=False, shared=True), locked(own, wait=False):
            yield
