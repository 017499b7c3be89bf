"""What the server promises while run() misbehaves: each of these breaks a server that scores on its event loop."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.serving import Server, alive, raw_exchange, serving, until

BUSY = """
import json, os, time

def init():
    pass

def hold_the_interpreter(seconds):
    # One C call that never gives the interpreter lock away, nor looks for signals.
    sum(range(int(seconds * 60_000_000)))

def run(raw_data):
    data = json.loads(raw_data)
    what, seconds = data["do"], data.get("for", 0)
    end = time.monotonic() + seconds
    if what == "sleep":
        time.sleep(seconds)
    elif what == "spin":
        while time.monotonic() < end:
            pass
    elif what == "hold":
        hold_the_interpreter(seconds)
    elif what == "swallow":
        while time.monotonic() < end:
            try:
                time.sleep(0.05)
            except Exception:
                pass
    elif what == "die":
        os.kill(os.getpid(), 9)
    elif what == "leave":
        os._exit(1)
    elif what == "exit":
        raise SystemExit(1)
    elif what == "timeout":
        raise TimeoutError("not the server's")
    return {"pid": os.getpid()}
"""


def in_background(server: Server, value: object) -> tuple[threading.Thread, list[httpx.Response | Exception]]:
    answers: list[httpx.Response | Exception] = []

    def post() -> None:
        try:
            with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
                answers.append(client.post("/score", json=value))
        except httpx.TransportError as error:
            answers.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    return thread, answers


def busy(server: Server) -> bool:
    return "scoring_requests_in_flight 1" in server.client.get("/metrics").text


@pytest.mark.parametrize("how", ["sleep", "spin", "hold"])
def test_health_and_swagger_answer_while_run_works(tmp_path: Path, how: str) -> None:
    with serving(BUSY, tmp_path) as server:
        thread, answers = in_background(server, {"do": how, "for": 1.5})
        until(lambda: busy(server))
        for path in ("/", "/livez", "/readyz", "/swagger.json"):
            start = time.monotonic()
            assert server.client.get(path).status_code == 200
            assert time.monotonic() - start < 0.5  # the promise is 0.1 s; a test machine may hiccup
        thread.join()
        assert [a.status_code for a in answers] == [200]


def test_readiness_is_green_only_after_init(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script.write_text(f"def init():\n    open({str(gate)!r}).read()\ndef run(raw_data):\n    return 1\n")
    server = Server(script, folder=tmp_path)
    try:
        until(lambda: answers(server, "/livez"))
        assert server.client.get("/readyz").status_code == 503
        assert server.client.get("/").status_code == 503
        early, scores = in_background(server, {})
        gate.write_text("")
        early.join(10)
        assert [a.json() for a in scores if isinstance(a, httpx.Response)] == [1]
        assert server.client.get("/readyz").status_code == 200
    finally:
        server.end()


def answers(server: Server, path: str) -> bool:
    try:
        return server.client.get(path).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("how", ["sleep", "spin", "hold", "swallow"])
def test_scoring_timeout_is_answered_on_time(tmp_path: Path, how: str) -> None:
    with serving(BUSY, tmp_path, SCORING_TIMEOUT_MS="400") as server:
        start = time.monotonic()
        answer = server.post({"do": how, "for": 2})
        elapsed = time.monotonic() - start
        assert (answer.status_code, answer.json()) == (500, {"message": "Scoring timeout after 400 ms"})
        assert answer.headers["x-ms-run-function-failed"] == "True"
        assert 0.4 <= elapsed < 0.9
        assert server.post({"do": "nothing"}).status_code == 200


def test_python_code_gets_the_timeout_as_an_exception(tmp_path: Path) -> None:
    script = """
import time
def init():
    pass
caught = []
def run(raw_data):
    if raw_data == "what":
        return caught
    try:
        time.sleep(5)
    except TimeoutError as error:
        caught.append(type(error).__mro__[1].__name__)
        raise
    """
    with serving(script, tmp_path, SCORING_TIMEOUT_MS="200") as server:
        assert server.client.post("/score", content="sleep").status_code == 500
        assert server.client.post("/score", content="what").json() == ["TimeoutError"]


def test_a_run_that_nothing_stops_turns_readiness_red_and_its_worker_is_replaced(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_TIMEOUT_MS="200", SCORING_STUCK_GRACE_MS="600") as server:
        pid = server.worker()
        assert server.post({"do": "hold", "for": 60}).status_code == 500
        refusal = server.client.get("/readyz")
        assert (refusal.status_code, refusal.json()) == (
            503,
            {"message": "Not ready: every run() is past its timeout."},
        )
        served = server.post({"do": "nothing"}, timeout=20)  # it waits
        assert (served.status_code, served.json() == {"pid": pid}) == (200, False)
        assert not alive(pid)
        assert "hold_the_interpreter" in server.err()  # where it was stuck
        assert server.client.get("/readyz").status_code == 200


def test_a_request_whose_worker_is_killed_after_its_timeout_has_one_answer(tmp_path: Path) -> None:
    """A second one would be taken for the answer of the next request on the connection."""
    with serving(BUSY, tmp_path, SCORING_TIMEOUT_MS="200", SCORING_STUCK_GRACE_MS="300") as server:
        stuck = server.worker()
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            body = b'{"do": "hold", "for": 60}'
            client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert client.recv(65536).startswith(b"HTTP/1.1 500 ")
            until(lambda: not alive(stuck))
            until(lambda: server.workers())
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert " 502 " not in server.out()


def test_siblings_of_a_stuck_worker_are_untouched(tmp_path: Path) -> None:
    settings = {"SCORING_TIMEOUT_MS": "200", "SCORING_STUCK_GRACE_MS": "500", "WORKER_COUNT": "2"}
    with serving(BUSY, tmp_path, **settings) as server:
        until(lambda: len(server.workers()) == 2)
        before = set(server.workers())
        assert server.post({"do": "hold", "for": 60}).status_code == 500
        [sibling] = {server.post({"do": "nothing"}).json()["pid"] for _ in range(5)}
        assert sibling in before
        until(lambda: len(set(server.workers()) - before) == 1)
        assert sibling in server.workers()


@pytest.mark.parametrize("how", ["die", "leave"])
def test_a_killed_worker_costs_only_its_own_request(tmp_path: Path, how: str) -> None:
    with serving(BUSY, tmp_path, WORKER_COUNT="2") as server:
        until(lambda: len(server.workers()) == 2)
        thread, slow = in_background(server, {"do": "sleep", "for": 1})
        until(lambda: busy(server))
        start = time.monotonic()
        lost = server.post({"do": how})
        assert lost.status_code == 502
        assert "ended before it answered" in lost.json()["message"]
        assert time.monotonic() - start < 1
        thread.join()
        assert [a.status_code for a in slow if isinstance(a, httpx.Response)] == [200]
        assert server.post({"do": "nothing"}).status_code == 200


def test_requests_that_had_not_started_survive_the_death_of_every_worker(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path) as server:
        pid = server.worker()
        first, lost = in_background(server, {"do": "sleep", "for": 30})
        until(lambda: busy(server))
        waiting = [in_background(server, {"do": "nothing"}) for _ in range(10)]
        until(lambda: "scoring_queue_depth 10" in server.client.get("/metrics").text)
        os.kill(pid, signal.SIGKILL)
        first.join(10)
        assert [a.status_code for a in lost if isinstance(a, httpx.Response)] == [502]
        for thread, got in waiting:
            thread.join(10)
            assert [a.status_code for a in got if isinstance(a, httpx.Response)] == [200]


@pytest.mark.parametrize("how", ["exit", "timeout"])
def test_whatever_run_raises_is_a_json_500_and_the_worker_lives(tmp_path: Path, how: str) -> None:
    with serving(BUSY, tmp_path) as server:
        pids = server.workers()
        answer = server.post({"do": how})
        assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
        assert "Scoring timeout" not in answer.text
        assert server.post({"do": "nothing"}).json() == {"pid": pids[0]}


def test_a_full_queue_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_MAX_QUEUE_LENGTH="1") as server:
        running = in_background(server, {"do": "sleep", "for": 2})
        until(lambda: busy(server))
        queued = in_background(server, {"do": "nothing"})
        until(lambda: "scoring_queue_depth 1" in server.client.get("/metrics").text)
        head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
            sock.sendall(head)  # and not one byte of the body
            answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        for thread, got in (running, queued):
            thread.join()
            assert [a.status_code for a in got if isinstance(a, httpx.Response)] == [200]


def test_what_waits_behind_a_long_run_is_not_blamed_for_the_death_of_another_worker(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, WORKER_COUNT="2") as server:
        until(lambda: len(server.workers()) == 2)
        for _ in range(40):  # runs are known to be short: some are sent ahead
            assert server.post({"do": "nothing"}).status_code == 200
        long = [in_background(server, {"do": "sleep", "for": 1.5}) for _ in range(2)]
        until(lambda: "scoring_requests_in_flight 2" in server.client.get("/metrics").text)
        waiting = [in_background(server, {"do": "nothing"}) for _ in range(6)]
        until(lambda: queue_depth(server) == 6)
        (tmp_path / "score.py").write_text("import time\ntime.sleep(1)\n" + BUSY)  # its successor takes its time
        os.kill(server.workers()[0], signal.SIGKILL)
        for thread, _ in (*long, *waiting):
            thread.join()
        assert [a.status_code for _, [a] in waiting if isinstance(a, httpx.Response)] == [200] * 6
        assert sorted(a.status_code for _, [a] in long if isinstance(a, httpx.Response)) == [200, 502]


def queue_depth(server: Server) -> int:
    text = server.client.get("/metrics").text
    return int(next(line for line in text.splitlines() if line.startswith("scoring_queue_depth ")).split()[1])


def test_the_queue_keeps_to_its_length_whenever_bodies_come(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_MAX_QUEUE_LENGTH="2") as server:
        for _ in range(30):  # runs are known to be short
            assert server.post({"do": "nothing"}).status_code == 200
        body = b'{"do": "sleep", "for": 1}'
        head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(12)]
        for client in clients:
            client.sendall(head + body[:5])  # all are let in: the queue is empty
        for client in clients:
            client.sendall(body[5:])
        answers = Counter(client.recv(65536)[:12] for client in clients)
        assert answers == {b"HTTP/1.1 200": 3, b"HTTP/1.1 503": 9}
        for client in clients:
            client.close()


def test_requests_that_were_sent_ahead_count_as_waiting(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_MAX_QUEUE_LENGTH="2") as server:
        for _ in range(30):
            assert server.post({"do": "nothing"}).status_code == 200
        got = [in_background(server, {"do": "sleep", "for": 1})]
        until(lambda: busy(server))
        got += [in_background(server, {"do": "nothing"}) for _ in range(6)]
        for thread, _ in got:
            thread.join()
        assert Counter(a.status_code for _, [a] in got if isinstance(a, httpx.Response)) == {200: 3, 503: 4}


@pytest.mark.parametrize("what", ["raise ValueError(raw_data)", "yield b'a stream'"])
def test_runs_that_raise_or_stream_take_the_time_that_they_take(tmp_path: Path, what: str) -> None:
    script = f"import time\ndef init(): pass\ndef run(raw_data):\n    time.sleep(0.4)\n    {what}\n"
    with serving(script, tmp_path, SCORING_MAX_QUEUE_LENGTH="6") as server:
        for _ in range(4):
            server.post({})
        waiting = [in_background(server, {}) for _ in range(7)]
        until(lambda: queue_depth(server) == 6)
        refused = server.post({})
        assert (refused.status_code, int(refused.headers["retry-after"]) > 1) == (503, True)
        for thread, _ in waiting:
            thread.join()


def test_a_client_that_left_after_its_request_was_sent_ahead_is_not_scored(tmp_path: Path) -> None:
    script = """
import json, time
def init(): pass
def run(raw_data):
    with open("ran", "a") as file:
        file.write(raw_data + "\\n")
    time.sleep(json.loads(raw_data))
"""
    with serving(script, tmp_path) as server:
        for _ in range(30):
            assert server.post(0).status_code == 200
        thread, _ = in_background(server, 1)
        until(lambda: busy(server))
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for client in clients:
            client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n0.0")
        until(lambda: queue_depth(server) == 20)
        for client in clients:
            client.close()
        until(lambda: queue_depth(server) == 0, seconds=1)
        thread.join()
        assert server.post(0).status_code == 200
        assert (tmp_path / "ran").read_text().count("0.0") == 0


def test_waiting_is_bounded(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_MAX_QUEUE_WAIT_MS="300") as server:
        thread, got = in_background(server, {"do": "sleep", "for": 1.5})
        until(lambda: busy(server))
        start = time.monotonic()
        answer = server.post({"do": "nothing"})
        assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (503, True)
        assert 0.25 < time.monotonic() - start < 1
        thread.join()
        assert [a.status_code for a in got if isinstance(a, httpx.Response)] == [200]


def test_a_client_that_goes_away_leaves_the_queue(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path) as server:
        thread, _ = in_background(server, {"do": "sleep", "for": 2})
        until(lambda: busy(server))
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            until(lambda: "scoring_queue_depth 1" in server.client.get("/metrics").text)
        until(lambda: "scoring_queue_depth 0" in server.client.get("/metrics").text, seconds=1)
        assert "scoring_gone_total 1" in server.client.get("/metrics").text
        thread.join()


def test_slow_clients_hold_no_slot(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path) as server:
        dribblers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        for sock in dribblers:
            sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        start = time.monotonic()
        assert server.post({"do": "nothing"}).status_code == 200
        assert time.monotonic() - start < 1
        for sock in dribblers:
            sock.close()


def test_a_client_that_does_not_finish_its_request_gets_408(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_HEADER_TIMEOUT_MS="300", SCORING_BODY_TIMEOUT_MS="300") as server:
        body = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
        assert raw_exchange(server.port, body).startswith(b"HTTP/1.1 408 ")
        assert raw_exchange(server.port, b"POST /score HTTP/1.1\r\nHo").startswith(b"HTTP/1.1 408 ")
        assert raw_exchange(server.port, b"") == b""  # nothing begun, nothing said


def test_idle_connections_are_closed(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_KEEP_ALIVE="1") as server:
        start = time.monotonic()
        assert raw_exchange(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert 0.9 < time.monotonic() - start < 3


def test_a_body_over_the_limit_is_413_at_its_announcement_and_on_the_way(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path, SCORING_MAX_BODY_BYTES="1000") as server:
        assert server.client.post("/score", content=b"x" * 1001).status_code == 413
        chunked = server.client.post("/score", content=iter([b"x" * 600, b"x" * 600]))
        assert chunked.status_code == 413
        terabyte = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\nxx"
        assert raw_exchange(server.port, terabyte).startswith(b"HTTP/1.1 413 ")
        assert server.post({"do": "nothing"}).status_code == 200


def test_two_thousand_connections_at_once_are_all_answered(tmp_path: Path) -> None:
    with serving(BUSY, tmp_path) as server:
        request = b'POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{"do":"nothing"}'
        socks = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(2000)]
        for sock in socks:
            sock.sendall(request)
        first_lines = []
        for sock in socks:
            with sock:
                first_lines.append(sock.recv(12))
        assert set(first_lines) == {b"HTTP/1.1 200"}


def test_many_clients_at_once_get_their_own_answers(tmp_path: Path) -> None:
    script = "import json\ndef init():\n    pass\ndef run(raw_data):\n    return json.loads(raw_data)\n"
    with serving(script, tmp_path, WORKER_COUNT="2") as server, ThreadPoolExecutor(16) as pool:

        def ask(n: int) -> bool:
            return bool(server.post({"n": n, "pad": "x" * (n % 7) * 20_000}).json()["n"] == n)

        assert all(pool.map(ask, range(300)))


def test_who_waits_for_init_waits_no_longer_than_for_a_slot(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script.write_text(f"def init():\n    open({str(gate)!r}).read()\ndef run(raw_data):\n    return 1\n")
    server = Server(script, folder=tmp_path, SCORING_MAX_QUEUE_WAIT_MS="2000", SCORING_MAX_QUEUE_LENGTH="1")
    try:
        until(lambda: answers(server, "/livez"))
        thread, waiting = in_background(server, {})
        until(lambda: queue_depth(server) == 1)
        assert "1 may wait" in server.post({}).json()["message"]
        thread.join(10)
        [answer] = waiting
        assert isinstance(answer, httpx.Response)
        assert (answer.status_code, answer.json()) == (
            503,
            {"message": "The service is starting: init() did not finish in 2000 ms."},
        )
        assert int(answer.headers["retry-after"]) >= 1
        gate.write_text("")
        until(server.ready)
        assert server.post({}).json() == 1
    finally:
        server.end()
