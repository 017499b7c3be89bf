"""Several run() calls at a time, in threads or as tasks, and what scripts may do around theirs."""

from __future__ import annotations

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import Server, alive, serving, until

THREADS = """
import contextvars, json, threading, time
local, variable = threading.local(), contextvars.ContextVar("variable", default=None)
def init():
    pass
def run(raw_data):
    data = json.loads(raw_data)
    seconds = data.get("for", 0)
    if data["do"] == "swallow":
        try:
            time.sleep(seconds)
        except TimeoutError:
            return "caught"
    before = getattr(local, "value", None), variable.get()
    local.value = data.get("value")
    variable.set(data.get("value"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    assert local.value == data.get("value") and variable.get() == data.get("value")
    return {"thread": threading.current_thread().name, "main": threading.main_thread().name, "before": before}
"""

TASKS = """
import asyncio, contextvars, json, os, time
variable = contextvars.ContextVar("variable", default=None)
cancelled = []
def init():
    pass
async def run(raw_data):
    data = json.loads(raw_data)
    seconds, before = data.get("for", 0), variable.get()
    variable.set(data.get("value"))
    if data["do"] == "block":
        time.sleep(seconds)
    elif data["do"] == "spin":
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
    elif data["do"] == "cancelled":
        return cancelled
    elif data["do"] == "raise":
        raise ValueError("on purpose")
    else:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.append(data.get("value"))
            raise
    return {"before": before, "after": variable.get(), "pid": os.getpid()}
"""


def post(server: Server, **data: Any) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.post(f"{server.url}/score", json=data)


def at_once(server: Server, *requests: dict[str, Any]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(requests)) as pool:
        futures: list[Future[httpx.Response]] = [pool.submit(post, server, **request) for request in requests]
        return [future.result() for future in futures]


@pytest.mark.parametrize("script", [THREADS, TASKS], ids=["threads", "tasks"])
def test_four_runs_go_on_at_a_time(tmp_path: Path, script: str) -> None:
    with serving(script, tmp_path, SCORING_MAX_CONCURRENT_REQUESTS="4") as server:
        start = time.monotonic()
        got = at_once(server, *({"do": "sleep", "for": 0.5, "value": n} for n in range(8)))
        elapsed = time.monotonic() - start
        assert [answer.status_code for answer in got] == [200] * 8
        assert 1.0 <= elapsed < 1.9  # two rounds of four
        if script is THREADS:
            assert {a.json()["thread"] for a in got} == {f"scoring-{n}" for n in range(4)}
        else:
            assert [(a.json()["before"], a.json()["after"]) for a in got] == [(None, n) for n in range(8)]


@pytest.mark.parametrize("script", [THREADS, TASKS], ids=["threads", "tasks"])
def test_the_fifth_waits_in_the_queue(tmp_path: Path, script: str) -> None:
    with (
        serving(script, tmp_path, SCORING_MAX_CONCURRENT_REQUESTS="4") as server,
        ThreadPoolExecutor(5) as pool,
    ):
        jobs = [pool.submit(post, server, do="sleep", **{"for": 0.6}) for _ in range(5)]
        until(lambda: "scoring_queue_depth 1\n" in server.client.get("/metrics").text)
        assert "scoring_requests_in_flight 4\n" in server.client.get("/metrics").text
        assert [job.result().status_code for job in jobs] == [200] * 5


@pytest.mark.parametrize("script", [THREADS, TASKS], ids=["threads", "tasks"])
def test_a_timeout_ends_the_run_that_is_late_and_no_other(tmp_path: Path, script: str) -> None:
    settings = {"SCORING_MAX_CONCURRENT_REQUESTS": "4", "SCORING_TIMEOUT_MS": "600"}
    with serving(script, tmp_path, **settings) as server:
        late = {"do": "sleep", "for": 30, "value": "late"}
        brief = {"do": "sleep", "for": 0.3, "value": "brief"}
        start = time.monotonic()
        got = at_once(server, brief, late, brief, late, brief, brief, late)
        assert time.monotonic() - start < 3
        assert [a.status_code for a in got] == [200, 500, 200, 500, 200, 200, 500]
        assert {a.json()["message"] for a in got if a.status_code == 500} == {"Scoring timeout after 600 ms"}
        until(lambda: "scoring_requests_in_flight 0\n" in server.client.get("/metrics").text)
        assert [a.status_code for a in at_once(server, *[brief] * 4)] == [200] * 4
        if script is TASKS:
            assert post(server, do="cancelled").json() == ["late"] * 3


def test_a_thread_that_swallows_its_timeout_is_used_again(tmp_path: Path) -> None:
    settings = {"SCORING_MAX_CONCURRENT_REQUESTS": "2", "SCORING_TIMEOUT_MS": "200"}
    with serving(THREADS, tmp_path, **settings) as server:
        for _ in range(3):
            got = at_once(server, *[{"do": "swallow", "for": 1.0}] * 2)
            assert [a.status_code for a in got] == [500, 500]
            until(lambda: "scoring_requests_in_flight 0\n" in server.client.get("/metrics").text)
        assert [a.status_code for a in at_once(server, *[{"do": "sleep"}] * 4)] == [200] * 4
        assert "Traceback" not in server.err()


def test_timeouts_at_the_very_end_of_a_run_lose_no_thread_and_no_request(tmp_path: Path) -> None:
    """The exception may arrive when run() has just returned; whichever wins, there is one answer."""
    settings = {"SCORING_MAX_CONCURRENT_REQUESTS": "4", "SCORING_TIMEOUT_MS": "100"}
    with serving(THREADS, tmp_path, **settings) as server:
        for round_number in range(12):
            seconds = 0.095 + 0.002 * round_number
            got = at_once(server, *[{"do": "sleep", "for": seconds}] * 4)
            assert {a.status_code for a in got} <= {200, 500}
        until(lambda: "scoring_requests_in_flight 0\n" in server.client.get("/metrics").text, seconds=5)
        assert [a.status_code for a in at_once(server, *[{"do": "sleep"}] * 8)] == [200] * 8


@pytest.mark.parametrize("how", ["block", "spin"])
def test_a_coroutine_that_blocks_the_loop_is_still_answered_on_time(tmp_path: Path, how: str) -> None:
    settings = {"SCORING_MAX_CONCURRENT_REQUESTS": "4", "SCORING_TIMEOUT_MS": "300"}
    with serving(TASKS, tmp_path, **settings) as server:
        start = time.monotonic()
        answer = post(server, do=how, **{"for": 10})
        assert (answer.status_code, answer.json()) == (500, {"message": "Scoring timeout after 300 ms"})
        assert time.monotonic() - start < 1
        assert post(server, do="await").status_code == 200
        assert len(server.workers()) == 1  # interrupted, not replaced


def test_a_coroutine_that_raises_is_a_500_and_the_loop_goes_on(tmp_path: Path) -> None:
    with serving(TASKS, tmp_path, SCORING_MAX_CONCURRENT_REQUESTS="2") as server:
        requests: list[dict[str, Any]] = [{"do": "raise"}, {"do": "await", "for": 0.1}]
        got = at_once(server, *requests * 4)
        assert [a.status_code for a in got] == [500, 200] * 4
        assert "ValueError: on purpose" in server.out()


def test_one_slot_takes_one_coroutine_at_a_time(tmp_path: Path) -> None:
    with serving(TASKS, tmp_path) as server:
        start = time.monotonic()
        assert [a.status_code for a in at_once(server, *[{"do": "await", "for": 0.2}] * 3)] == [200] * 3
        assert time.monotonic() - start >= 0.6


@pytest.mark.parametrize("concurrent", ["1", "4"])
def test_a_reload_changes_a_plain_run_into_a_coroutine_and_back(tmp_path: Path, concurrent: str) -> None:
    texts = [
        "def init():\n    pass\ndef run(raw_data):\n    return 'plain'\n",
        "def init():\n    pass\nasync def run(raw_data):\n    return 'async'\n",
    ]
    with serving(texts[0], tmp_path, SCORING_MAX_CONCURRENT_REQUESTS=concurrent) as server:
        assert post(server).json() == "plain"
        for text, expected in ((texts[1], "async"), (texts[0], "plain")):
            before = server.worker()
            (tmp_path / "score.py").write_text(text)
            server.process.send_signal(signal.SIGHUP)
            until(lambda before=before: before not in server.workers())
            assert post(server).json() == expected


def test_a_coroutine_with_a_schema(tmp_path: Path) -> None:
    script = """
import asyncio
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema
def init():
    pass
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
async def run(data):
    await asyncio.sleep(0.3)
    return data.sum()
"""
    with (
        serving(script, tmp_path, SCORING_MAX_CONCURRENT_REQUESTS="4") as server,
        ThreadPoolExecutor(4) as pool,
    ):
        got = list(pool.map(lambda n: post(server, data=[[n, 1.0]]).json(), range(4)))
        assert got == [1.0, 2.0, 3.0, 4.0]
        assert post(server, data="x").status_code == 400


SWALLOWING = """
import json, os, time
def init():
    pass
def run(raw_data):
    data = json.loads(raw_data)
    time.sleep(data.get("seconds", 0))
    while data.get("swallow"):
        try:
            time.sleep(0.05)
        except Exception:
            pass
    return os.getpid()
"""


def test_a_stuck_run_costs_nothing_that_runs_beside_it(tmp_path: Path) -> None:
    settings = {"SCORING_TIMEOUT_MS": "3000", "SCORING_STUCK_GRACE_MS": "200", "SCORING_MAX_CONCURRENT_REQUESTS": "2"}
    with serving(SWALLOWING, tmp_path, **settings) as server, ThreadPoolExecutor() as pool:
        before = server.worker()
        assert post(server, swallow=True).status_code == 500
        beside = pool.submit(post, server, seconds=2)
        until(lambda: "the worker is replaced" in server.out())
        assert post(server).json() != before  # its successor serves
        assert alive(before)
        assert beside.result().json() == before
        until(lambda: not alive(before))
        assert len(server.workers()) == 1


def test_two_stuck_runs_have_their_worker_replaced_once(tmp_path: Path) -> None:
    settings = {"SCORING_TIMEOUT_MS": "300", "SCORING_STUCK_GRACE_MS": "300", "SCORING_MAX_CONCURRENT_REQUESTS": "2"}
    with serving(SWALLOWING, tmp_path, **settings) as server:
        before = server.worker()
        assert [answer.status_code for answer in at_once(server, {"swallow": True}, {"swallow": True})] == [500, 500]
        until(lambda: not alive(before))
        assert post(server).json() != before
        assert server.out().count("the worker is replaced") == 1


@pytest.mark.parametrize("kind", ["plain", "threads", "async"])
def test_a_generator_that_is_late_with_its_first_piece_gets_the_timeout_as_an_exception(
    tmp_path: Path, kind: str
) -> None:
    script = f"""
import asyncio, os, time
def init(): pass
caught = []
async def pieces():
    try:
        await asyncio.sleep(30)
        yield b"late"
    except (TimeoutError, asyncio.CancelledError) as error:
        caught.append(type(error).__name__)
        raise
def plain_pieces():
    try:
        for _ in range(3000):
            time.sleep(0.01)
        yield b"late"
    except TimeoutError as error:
        caught.append(type(error).__name__)
        raise
{"async " if kind == "async" else ""}def run(raw_data):
    if raw_data == "what":
        return [os.getpid(), *caught]
    return {"pieces" if kind == "async" else "plain_pieces"}()
"""
    slots = "1" if kind == "plain" else "2"
    with serving(script, tmp_path, SCORING_TIMEOUT_MS="300", SCORING_MAX_CONCURRENT_REQUESTS=slots) as server:
        worker = server.worker()
        answer = server.client.post("/score", content="go")
        assert (answer.status_code, answer.json()) == (500, {"message": "Scoring timeout after 300 ms"})
        expected = [worker, "CancelledError" if kind == "async" else "ScoringTimeout"]
        until(lambda: server.client.post("/score", content="what").json() == expected)


SCRIPTS = {
    "a sqlite connection of init()": """
import sqlite3
def init():
    global connection
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (n integer)")
def run(raw_data):
    connection.execute("insert into t values (1)")
    return connection.execute("select count(*) from t").fetchone()[0] > 0
""",
    "an alarm of its own": """
import signal, time
def init():
    pass
def run(raw_data):
    rang = []
    signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    end = time.monotonic() + 2
    while not rang and time.monotonic() < end:
        time.sleep(0.01)
    return rang == [True]
""",
    "an event loop of its own": """
import asyncio
def init():
    pass
async def work():
    await asyncio.gather(*(asyncio.sleep(0.01) for _ in range(5)))
    return True
def run(raw_data):
    return asyncio.run(work())
""",
    "threads and processes of its own": """
import concurrent.futures, subprocess, sys
def init():
    global pool
    pool = concurrent.futures.ThreadPoolExecutor(2)
def run(raw_data):
    done = subprocess.run([sys.executable, "-c", "print(41 + 1)"], capture_output=True, text=True)
    return list(pool.map(abs, [-1, -2])) == [1, 2] and done.stdout == "42\\n"
""",
    "a process pool": """
import multiprocessing
def init():
    pass
def run(raw_data):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2]) == [1, 2]
""",
    "a child that it ends": """
import os, signal, time
def init():
    pass
def run(raw_data):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    return os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
""",
    "the main thread": """
import threading
def init():
    global thread
    thread = threading.current_thread()
def run(raw_data):
    return threading.current_thread() is threading.main_thread() is thread
""",
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_may_use(tmp_path: Path, what: str) -> None:
    with serving(SCRIPTS[what], tmp_path, SCORING_TIMEOUT_MS="10000") as server:
        assert [post(server).json() for _ in range(3)] == [True] * 3
        assert server.stop() == 0
