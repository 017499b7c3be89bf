"""What a run writes at URLs: whole or not at all; runs there end like runs in a folder, whatever is killed."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from pathlib import Path

import pytest

from scoring_runtime.batch import locks, storage
from scoring_runtime.batch.commits import Commit, Commits
from scoring_runtime.batch.cutting import Piece
from scoring_runtime.batch.engines.shares import run_in_shares, work
from scoring_runtime.batch.job import Job
from scoring_runtime.batch.plan import MiniBatch
from scoring_runtime.batch.record import read_record
from scoring_runtime.batch.run import run
from scoring_runtime.errors import BatchResumeError, SettingsError
from tests.batch.crashing import command, results, run_to_the_end

SCRIPT = """
def run(mini_batch):
    if 77 in set(mini_batch["id"]):
        raise ValueError("an item that always fails")
    print("seen", len(mini_batch))
    return [f"{number} {x:.3f}" for number, x in zip(mini_batch["id"], mini_batch["x"])]
"""


@pytest.fixture(params=["memory", "local", "folder"])
def place(request, tmp_path):
    """An object store, another file system behind a URL, and a folder."""
    return {
        "memory": f"memory://{uuid.uuid4().hex}",
        "local": f"local://{tmp_path}/place",
        "folder": str(tmp_path / "place"),
    }[request.param]


def test_files_are_written_read_listed_and_removed(place):
    assert storage.read(f"{place}/a/one") is None
    storage.write(f"{place}/a/one", b"1", b"23")
    storage.write(f"{place}/two", b"line\nlast")
    assert storage.read(f"{place}/a/one") == b"123"
    assert list(storage.read_each([f"{place}/two", f"{place}/a/one"] * 20)) == [b"line\nlast", b"123"] * 20
    assert list(storage.lines(f"{place}/two")) == ["line\n", "last"]
    assert sorted(path.rpartition("/")[2] for path in storage.names(place)) == ["one", "two"]
    storage.remove(f"{place}/two")
    assert (storage.exists(f"{place}/two"), storage.exists(f"{place}/a/one")) == (False, True)
    storage.remove_tree(f"{place}/a")
    storage.remove_tree(f"{place}/never")
    assert storage.names(place) == set()


def test_a_file_that_is_not_finished_is_not_there(place):
    storage.write(f"{place}/kept", b"before")

    def fail() -> None:
        with storage.created(f"{place}/kept") as file:
            file.write(b"half")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert storage.read(f"{place}/kept") == b"before"
    with storage.created(f"{place}/kept") as file:
        file.write(b"whole")
    assert storage.read(f"{place}/kept") == b"whole"
    assert [path.rpartition("/")[2] for path in storage.names(place)] == ["kept"]


def test_commits_are_objects_that_other_writers_see(place):
    batches = [MiniBatch(n, f"id{n}", (Piece("a", 0, 1, n, 1),)) for n in range(3)]
    one, other = Commits(f"{place}/.scoring"), Commits(f"{place}/.scoring")
    assert [one.has(batch) for batch in batches] == [False] * 3
    other.write(batches[1], Commit(1, "id1", 1, 1), b"payload")
    failed = other.write_failure(batches[2], "csv", "why")
    assert one.read(batches[1]) == Commit(1, "id1", 1, 1)
    assert one.read(batches[0]) is None
    assert one.has(batches[1])
    assert [(c.index, bytes(data)) for c, data in one.each(batches[1:])] == [(1, b"payload"), (2, b"")]
    other.forget(batches[2])
    assert (other.has(batches[2]), other.read(batches[2]), failed.failed) == (False, None, 1)
    storage.write(f"{other.path(batches[0])}.0123.tmp", b"left by a killed writer")
    other.sweep()
    assert not storage.exists(f"{other.path(batches[0])}.0123.tmp")
    other.remove_all()
    assert Commits(f"{place}/.scoring").has(batches[1]) is False


def lease(url: str, **values: object) -> None:
    owner = {"owner": "x", "host": socket.gethostname(), "pid": os.getpid(), "renewed": time.time()}
    storage.write(url, json.dumps({**owner, **values}).encode())


@pytest.fixture
def lock():
    return f"memory://{uuid.uuid4().hex}/.scoring.lock"


@pytest.mark.parametrize("shared", [False, True])
def test_a_lease_that_lives_is_refused(lock, shared):
    lease(lock)
    with (
        pytest.raises(BatchResumeError, match=rf"held by process {os.getpid()} of"),
        locks.locked(lock, wait=False, shared=shared),
    ):
        raise AssertionError("both had it")


@pytest.mark.parametrize("left", [{"renewed": 0.0, "host": "elsewhere"}, {"pid": 2**22 + 1}])
def test_a_lease_of_the_dead_is_taken_over_and_given_back(lock, left):
    lease(lock, **left)
    with locks.locked(lock, wait=False):
        held = locks.holder(lock)
        assert held is not None
        assert held["pid"] == os.getpid()
    assert storage.read(lock) is None


def test_a_lease_is_renewed_while_it_is_held(lock, monkeypatch):
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.01)
    with locks.locked(lock, wait=False):
        first = locks.holder(lock)
        until = time.monotonic() + 10
        while locks.holder(lock) == first:
            assert time.monotonic() < until


def test_of_two_that_begin_at_once_the_first_to_be_overwritten_gives_way(lock, monkeypatch):
    renew = locks.renew
    monkeypatch.setattr(locks, "renew", lambda url, owner: (renew(url, owner), lease(url, owner="the other")))
    with pytest.raises(BatchResumeError, match="at the same time"), locks.locked(lock, wait=False):
        raise AssertionError("both had it")


def test_a_run_at_a_url_writes_what_a_run_in_a_folder_writes(tmp_path, make_job, table):
    table(200)
    run(make_job(SCRIPT, mini_batch_size="10"))
    url = f"local://{tmp_path}/there"
    job = Job(script=str(tmp_path / "score.py"), inputs=(str(tmp_path / "data"),), output=url, mini_batch_size="10")
    record = run(job)
    assert (record.items_succeeded, record.items_failed, record.sessions) == (190, 10, 1)
    assert results(tmp_path / "there") == results(tmp_path / "out")
    printed = (tmp_path / "there" / "logs" / "session-1" / "user" / "stdout").glob("*/*.stdout.txt")
    assert "seen 10" in "".join(path.read_text() for path in printed)
    assert run(job).sessions == 1
    (tmp_path / "score.py").write_text(SCRIPT.replace("77", "-1"))
    with pytest.raises(BatchResumeError, match="differs in: script"):
        run(job)
    assert run(job, restart=True).items_succeeded == 200
    assert not (tmp_path / "there" / ".scoring" / "parts").exists()
    assert not (tmp_path / "there" / ".scoring.lock").exists()


def test_a_killed_run_at_a_url_is_continued_at_once(tmp_path, make_job, table):
    table(400)
    run(make_job(SCRIPT, mini_batch_size="10"))
    more = ("--mini-batch-size", "10", "--processes", "2", "--max-tries", "8")
    argv = command(tmp_path / "score.py", tmp_path / "data", Path("/"), *more)
    argv[argv.index("/")] = f"local://{tmp_path}/there"
    run_to_the_end(argv, 1, jobs_killed=2, workers_killed=1)
    assert results(tmp_path / "there") == results(tmp_path / "out")


def test_shares_of_a_run_at_a_url(tmp_path, make_job, table):
    table(60)
    run(make_job(SCRIPT, mini_batch_size="10"))
    url = f"local://{tmp_path}/there"
    job = Job(
        script=str(tmp_path / "score.py"),
        inputs=(str(tmp_path / "data"),),
        output=url,
        mini_batch_size="10",
        processes=1,
    )

    def engine(job, shares):
        assert [work(job.to_json(), str(share)) for share in shares] == ["share_done", "completed"]

    assert run_in_shares(job, engine, 2).status == "completed"
    assert results(tmp_path / "there") == results(tmp_path / "out")


def test_a_file_url_is_a_folder_and_memory_and_summary_only_are_refused(tmp_path):
    values = {"script": "score.py", "inputs": ("a",)}
    assert Job(**values, output=f"file://{tmp_path}/out").output == f"{tmp_path}/out"
    for output, more in (("memory://out", {}), ("s3://bucket/out", {"output_action": "summary_only"})):
        with pytest.raises(SettingsError, match="output: expected a"):
            Job(**values, output=output, **more)
    assert read_record(f"local://{tmp_path}/nothing") is None
