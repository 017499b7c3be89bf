"""The arbiter: whom it replaces, when, and what it does when that fails."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gunicorn.errors import HaltServer

from scoring_runtime.server import wire
from scoring_runtime.server.arbiter import ScoringArbiter
from scoring_runtime.server.boot import Nursery
from tests.serving import Server, alive, serving, until

WORK = """
import os, time
VERSION = 1
def init():
    pass
def run(raw_data):
    return {"pid": os.getpid(), "version": VERSION}
"""

MORE_THAN_REGIONS = 40  # the slot table has 32 for one worker


def test_no_number_of_deaths_fills_the_slot_table(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        for _ in range(MORE_THAN_REGIONS):
            until(server.ready)
            worker = server.worker()
            server.process.send_signal(signal.SIGSTOP)  # so that the front is the first to see it
            os.kill(worker, signal.SIGKILL)
            until(lambda: not server.ready())
            server.process.send_signal(signal.SIGCONT)
        until(server.ready)
        assert server.post({}).status_code == 200


BROKEN = "import time\ntime.sleep(0.5)\nraise RuntimeError('broken')\n"


def booted(server: Server) -> list[int]:
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", server.err())]


def living(server: Server) -> list[int]:
    return [pid for pid in booted(server) if alive(pid)]


def version(server: Server) -> int:
    answer = server.post({})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


@pytest.mark.parametrize(("workers", "hangups"), [(3, 1), (1, 2), (2, 3)])
def test_a_reload_that_fails_in_several_workers_stops_none_of_the_old(
    tmp_path: Path, workers: int, hangups: int
) -> None:
    with serving(WORK, tmp_path, WORKER_COUNT=str(workers)) as server:
        old = until(lambda: len(server.workers()) == workers and server.workers())
        (tmp_path / "score.py").write_text(BROKEN)
        for n in range(hangups):
            server.process.send_signal(signal.SIGHUP)
            until(lambda: len(booted(server)) >= workers + n + 1)  # noqa: B023
        until(lambda: "Reload failed; the previous version goes on serving" in server.err())
        until(lambda: sorted(living(server)) == sorted(old))
        assert version(server) == 1
        assert server.err().count("Reload failed") <= hangups
        assert "Perhaps out of memory?" not in server.err()
        (tmp_path / "score.py").write_text(WORK.replace("VERSION = 1", "VERSION = 2"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(server.workers()) == workers and not set(old) & set(server.workers()))
        assert version(server) == 2


@pytest.mark.parametrize("workers", [1, 3])
def test_none_leaves_before_its_successor_serves_however_many_reloads_come(tmp_path: Path, workers: int) -> None:
    with serving(WORK, tmp_path, WORKER_COUNT=str(workers)) as server:
        until(lambda: len(server.workers()) == workers)
        slow = WORK.replace("VERSION = 1", "VERSION = 2").replace("pass", "time.sleep(2.5)")
        (tmp_path / "score.py").write_text(slow)
        most = 0
        for _ in range(8):
            server.process.send_signal(signal.SIGHUP)
            pause = time.monotonic() + 0.4
            while time.monotonic() < pause:
                start = time.monotonic()
                assert version(server) == 1
                assert time.monotonic() - start < 1
                most = max(most, len(living(server)))
        assert most <= 2 * workers
        until(lambda: version(server) == 2)
        until(lambda: len(living(server)) == workers)
        assert "No room" not in server.err()
        assert "Perhaps out of memory?" not in server.err()


def test_many_quick_reloads_do_not_crowd_the_server(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        for number in range(2, 40):
            (tmp_path / "score.py").write_text(WORK.replace("VERSION = 1", f"VERSION = {number}"))
            server.process.send_signal(signal.SIGHUP)
            assert version(server)
            assert len(living(server)) <= 2
        until(lambda: version(server) == 39)
        assert "No room" not in server.err()


def test_a_script_that_ends_its_process_like_a_failed_boot_ends_one_worker(tmp_path: Path) -> None:
    with serving("import os\ndef init(): pass\ndef run(raw_data):\n    os._exit(3)\n", tmp_path) as server:
        assert server.post({}).status_code == 502
        until(lambda: "exited with code 3" in server.err())
        until(lambda: len(server.workers()) == 1)
        assert "failed to boot" not in server.err()


def test_a_script_that_broke_on_disk_ends_the_server_only_with_its_last_worker(tmp_path: Path) -> None:
    with serving(WORK, tmp_path, WORKER_COUNT="3") as server:
        old = until(lambda: len(server.workers()) == 3 and server.workers())
        (tmp_path / "score.py").write_text("raise RuntimeError('broken')\n")
        os.kill(old[0], signal.SIGKILL)
        until(lambda: server.err().count("the others go on serving") == 3)  # after 0, 0.5 and 1 s
        assert version(server) == 1
        (tmp_path / "score.py").write_text(WORK)
        until(lambda: len(server.workers()) == 3)
        (tmp_path / "score.py").write_text("raise RuntimeError('broken')\n")
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        assert server.process.wait(15) == 3


def test_a_worker_that_is_to_be_recycled_serves_on_while_its_script_is_broken(tmp_path: Path) -> None:
    with serving(WORK, tmp_path, SCORING_MAX_REQUESTS="3") as server:
        (tmp_path / "score.py").write_text("raise RuntimeError('broken')\n")
        start = time.monotonic()
        until(lambda: version(server) == 1 and time.monotonic() - start > 4)
        assert len(booted(server)) < 7
        (tmp_path / "score.py").write_text(WORK.replace("VERSION = 1", "VERSION = 2"))
        server.process.send_signal(signal.SIGHUP)  # no need to wait for the end of the pause
        until(lambda: version(server) == 2, 3)


@pytest.mark.parametrize(("workers", "limit"), [(1, 200), (4, 1)])
def test_recycling_under_load_does_not_pile_up_workers(tmp_path: Path, workers: int, limit: int) -> None:
    """A successor that has reached its own limit before anybody looked serves too."""
    settings = {"WORKER_COUNT": str(workers), "SCORING_MAX_REQUESTS": str(limit)}
    with serving(WORK, tmp_path, **settings) as server:
        ended = threading.Event()
        load = [threading.Thread(target=ask_until, args=(server, ended)) for _ in range(3)]
        for thread in load:
            thread.start()
        try:
            until(lambda: len(living(server)) <= 2 * workers and len(booted(server)) >= 10 * workers, 30)
            assert len(living(server)) <= 2 * workers
        finally:
            ended.set()
            for thread in load:
                thread.join()
        assert "No room" not in server.err()


def ask_until(server: Server, ended: threading.Event) -> None:
    while not ended.is_set():
        server.post({})


DYING = """
import json, os, time
def init():
    pass
def run(raw_data):
    what = json.loads(raw_data)
    time.sleep(what.get("for", 0))
    if what.get("die"):
        os._exit(1)
    return 1
"""


def test_a_worker_that_dies_during_the_drain_is_replaced(tmp_path: Path) -> None:
    with serving(DYING, tmp_path, SCORING_GRACEFUL_TIMEOUT="8") as server:
        got: list[int] = []
        bodies = [{"for": 1, "die": True}, {}, {}, {}]
        threads = [threading.Thread(target=lambda b=b: got.append(status(server, b))) for b in bodies]
        threads[0].start()
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        for thread in threads[1:]:
            thread.start()
        until(lambda: "scoring_queue_depth 3" in server.client.get("/metrics").text)
        start = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - start < 5
        for thread in threads:
            thread.join()
        assert sorted(got) == [200, 200, 200, 502]


def status(server: Server, body: object) -> int:
    with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client:
        return client.post("/score", json=body).status_code


def test_a_script_that_broke_on_disk_does_not_prolong_the_drain(tmp_path: Path) -> None:
    with serving(DYING, tmp_path, SCORING_GRACEFUL_TIMEOUT="2") as server:
        thread = threading.Thread(target=status, args=(server, {"for": 0.5, "die": True}))
        thread.start()
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        (tmp_path / "score.py").write_text("raise RuntimeError('broken')\n")
        start = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - start < 4
        thread.join()


class FrontOfNobody:
    def spawn(self) -> None:
        pass


def test_only_deaths_of_the_front_that_follow_each_other_end_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    arbiter = ScoringArbiter.__new__(ScoringArbiter)
    arbiter.front_deaths, arbiter.front, arbiter.log = [], FrontOfNobody(), logging.getLogger("azmlinfsrv")
    for _ in range(20):
        now[0] += 13
        arbiter.respawn_front()
    now[0] += 60
    for _ in range(5):
        arbiter.respawn_front()
    with pytest.raises(HaltServer):
        arbiter.respawn_front()


def test_a_process_that_the_system_refuses_costs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    table = wire.SlotTable(regions=1, slots=1)
    nursery = Nursery(SimpleNamespace(), (), SimpleNamespace(), table, lambda: -1)  # type: ignore[arg-type]
    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(RuntimeError, match="refuses a process"):
        nursery.spawn()
    assert table.free_region() == 0
