"""A front that dies: what its workers were doing is nobody's any more, and must hold up nobody."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoring_runtime.errors import WorkerLost
from scoring_runtime.server import watch, wire
from scoring_runtime.server.dispatch import MAX_LOSSES, Dispatcher, Orphan, WorkerState
from scoring_runtime.settings import Settings
from tests.serving import Server, alive, serving, until

LOWER = """
import json
def init(): pass
def run(raw_data):
    return json.loads(raw_data)["text"].lower()
"""

STREAM = """
import os, time
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    if request.path and request.args.get("endless"):
        return AMLResponse((bytes(50_000) for _ in iter(int, 1)), 200)
    return AMLResponse(str(os.getpid()), 200)
"""

SPIN = """
import time
def init(): pass
def run(raw_data):
    end = time.monotonic() + float(raw_data)
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except Exception:
            pass
    return "done"
"""


def kill_front(server: Server) -> None:
    front = server.front()
    os.kill(front, signal.SIGKILL)
    until(lambda: not alive(front))


def test_large_requests_are_their_own_after_a_front_has_died(tmp_path: Path) -> None:
    with serving(LOWER, tmp_path) as server:
        assert server.post({"text": "A" * 100_000}).json() == "a" * 100_000
        kill_front(server)
        until(server.ready)
        for letter in "BC":
            assert server.post({"text": letter * 100_000}).json() == letter.lower() * 100_000


def test_a_stream_whose_reader_was_slow_when_the_front_died_ends(tmp_path: Path) -> None:
    with serving(STREAM, tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as reader:
            reader.sendall(b"GET /score?endless=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert reader.recv(12) == b"HTTP/1.1 200"
            kill_front(server)
        until(server.ready)
        assert server.client.get("/score", timeout=5).text == str(server.workers()[0])


def test_a_run_that_an_earlier_front_began_is_held_to_its_timeout(tmp_path: Path) -> None:
    limits = {"SCORING_TIMEOUT_MS": "500", "SCORING_STUCK_GRACE_MS": "300"}
    with serving(SPIN, tmp_path, **limits) as server:
        worker = server.worker()
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n60")
            until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
            kill_front(server)
        until(lambda: not alive(worker), seconds=5)
        until(server.ready)
        assert server.client.post("/score", content="0").json() == "done"


def test_a_stream_that_stands_still_when_its_reader_has_left_holds_its_slot_no_longer_than_the_grace(
    tmp_path: Path,
) -> None:
    script = STREAM.replace("(bytes(50_000) for _ in iter(int, 1))", "(time.sleep(60 * n) or b'x' for n in range(2))")
    with serving(script, tmp_path, SCORING_STUCK_GRACE_MS="300") as server:
        worker = server.worker()
        with socket.create_connection(("127.0.0.1", server.port)) as reader:
            reader.sendall(b"GET /score?endless=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            until(
                lambda: b"\r\n\r\n1\r\nx" in reader.recv(4096, socket.MSG_PEEK)
            )  # before its first piece it would just end
        until(lambda: not alive(worker), seconds=5)
        assert server.client.get("/score", timeout=10).text == str(server.workers()[0])


def test_workers_do_not_outlive_the_arbiter_by_a_run_that_does_not_end(tmp_path: Path) -> None:
    with serving(SPIN, tmp_path, SCORING_GRACEFUL_TIMEOUT="1") as server:
        worker = server.worker()
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n60")
            until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
            server.process.kill()
            until(lambda: not alive(worker), seconds=5)


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    settings = Settings.load({"AZUREML_ENTRY_SCRIPT": "score.py"}, {})
    channel = wire.Channel()
    yield Dispatcher(settings, channel, wire.SlotTable(regions=2, slots=1))
    for end in (channel.jobs_in, channel.jobs_out, channel.results_in, channel.results_out):
        end.close()


def test_a_region_that_was_marked_dead_after_its_worker_was_forgotten_is_free_again(dispatcher: Dispatcher) -> None:
    dispatcher.table.occupy(0, 77, wire.DEAD)
    dispatcher.table.occupy(1, 78, wire.SERVING)
    dispatcher.tidy()
    assert (dispatcher.table.state(0), dispatcher.table.state(1)) == (wire.EMPTY, wire.SERVING)


def test_a_worker_that_could_not_speak_may_have_what_is_missing(dispatcher: Dispatcher) -> None:
    table, worker = dispatcher.table, WorkerState(77, 0)
    now = time.monotonic()
    table.beat(0, now - 1, 0)
    assert not dispatcher.watch.has_spoken(worker, now)
    wire.ROW.pack_into(table.memory, table.offset(0, 0), 5, now, 0, 0, 0)  # its one slot is full
    assert dispatcher.watch.has_spoken(worker, now)
    wire.ROW.pack_into(table.memory, table.offset(0, 0), 0, 0.0, 0, 0, 0)
    table.beat(0, now + 1, 0)
    assert dispatcher.watch.has_spoken(worker, now)


def test_a_run_is_not_ended_for_one_before_it_that_came_to_its_senses(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[int] = []
    monkeypatch.setattr(watch, "kill", lambda pid, number: signals.append(number))
    worker, now = WorkerState(77, 0), time.monotonic()
    worker.killed_at, worker.killed_for = now - 100, 5

    late = Orphan(6)
    late.timed_out_at = late.signalled_at = now
    dispatcher.watch.stuck(worker, 0, late, now + 0.1)
    assert signals == []

    late = Orphan(5)
    late.timed_out_at = late.signalled_at = now - 200
    dispatcher.watch.stuck(worker, 0, late, now)
    assert signals == [signal.SIGKILL]


def test_a_request_that_costs_worker_after_worker_is_answered(dispatcher: Dispatcher) -> None:
    failures: list[Exception] = []
    call: Any = SimpleNamespace(answered=False, disconnected=False, losses=0, fail=failures.append, id=7)
    for _ in range(MAX_LOSSES):
        dispatcher.flying[7] = call
        dispatcher.resubmit(7)  # only taken back: no loss
        dispatcher.flying[7] = call
        dispatcher.resubmit(7, lost=True)
    assert (failures, len(dispatcher.waiting)) == ([], 2 * MAX_LOSSES)
    dispatcher.flying[7] = call
    dispatcher.resubmit(7, lost=True)
    assert [type(failure) for failure in failures] == [WorkerLost]
