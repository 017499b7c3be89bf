"""From the first signal to the last: ending, reloading, recycling, without losing a request."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from scoring_runtime.server import wire
from scoring_runtime.signals import signal_name
from tests.serving import ROOT, Server, alive, free_port, refused, serving, until

WORK = """
import json, os, time
VERSION = 1
def init():
    pass
def run(raw_data):
    seconds = json.loads(raw_data or "{}").get("for", 0)
    time.sleep(seconds)
    return {"pid": os.getpid(), "version": VERSION}
"""


class Load:
    """Clients that ask again and again; every answer, and every failure, is kept."""

    def __init__(self, server: Server, clients: int = 4, *, keep_alive: bool = True, seconds: float = 0.005) -> None:
        self.server = server
        self.seconds = seconds
        self.stopped = threading.Event()
        self.answers: list[dict[str, int]] = []
        self.failures: list[str] = []
        self.refused = 0
        limits = httpx.Limits(max_keepalive_connections=20 if keep_alive else 0)
        self.limits = limits
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self) -> None:
        with httpx.Client(base_url=self.server.url, timeout=20, limits=self.limits, trust_env=False) as client:
            while not self.stopped.is_set():
                try:
                    answer = client.post("/score", json={"for": self.seconds})
                except httpx.ConnectError:
                    self.refused += 1  # nobody listens any more, and the client knows at once
                    return
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.answers.append(answer.json())
                else:
                    self.failures.append(f"{answer.status_code} {answer.text}")

    def end(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_sigterm_under_load_resets_nothing_and_exits_0(tmp_path: Path, keep_alive: bool) -> None:
    with serving(WORK, tmp_path, WORKER_COUNT="2") as server:
        load = Load(server, keep_alive=keep_alive)
        until(lambda: len(load.answers) > 50)
        assert server.stop(signal.SIGTERM) == 0
        load.end()
        assert load.failures == []


def test_sigterm_answers_what_runs_and_what_waits(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        load = [threading.Thread(target=lambda: got.append(post(server, 0.4))) for _ in range(4)]
        got: list[int] = []
        for thread in load:
            thread.start()
        until(lambda: "scoring_queue_depth 3" in server.client.get("/metrics").text)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        for thread in load:
            thread.join()
        assert got == [200] * 4


def post(server: Server, seconds: float) -> int:
    with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client:
        return client.post("/score", json={"for": seconds}).status_code


def test_readiness_is_red_while_draining(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        thread = threading.Thread(target=post, args=(server, 1.0))
        thread.start()
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"Healthy"):
                received += sock.recv(4096)
            server.process.send_signal(signal.SIGTERM)
            answer = b"Ready"
            while answer.endswith(b"Ready"):  # until the arbiter has told the front
                sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = sock.recv(4096)
            while chunk := sock.recv(4096):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"shutting down" in answer
        thread.join()


def test_an_idle_server_ends_at_once(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        start = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - start < 3


def test_ctrl_c_ends_it_as_orderly_as_sigterm(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        got: list[int] = []
        thread = threading.Thread(target=lambda: got.append(post(server, 0.5)))
        thread.start()
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        os.killpg(server.process.pid, signal.SIGINT)  # a terminal signals the whole group
        assert server.process.wait(10) == 0
        thread.join()
        assert got == [200]


def test_the_grace_period_ends_even_a_run_that_does_not(tmp_path: Path) -> None:
    with serving(WORK, tmp_path, SCORING_GRACEFUL_TIMEOUT="1") as server:
        got: list[int] = []
        thread = threading.Thread(target=lambda: got.append(post(server, 60)))
        thread.start()
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        start = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - start < 4
        thread.join()
        assert got == [503]


@pytest.mark.parametrize("preload", ["false", "true"])
def test_sighup_brings_the_new_code_without_a_failed_request(tmp_path: Path, preload: str) -> None:
    with serving(WORK, tmp_path, WORKER_COUNT="2", WORKER_PRELOAD=preload) as server:
        load = Load(server)
        until(lambda: len(load.answers) > 20)
        (tmp_path / "score.py").write_text(WORK.replace("VERSION = 1", "VERSION = 2"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: all(a["version"] == 2 for a in load.answers[-20:]))
        load.end()
        assert load.failures == []
        until(lambda: len(server.workers()) == 2)


def test_a_reload_that_fails_keeps_the_version_that_works(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        (tmp_path / "score.py").write_text("def init(:\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "Reload failed; the previous version goes on serving" in server.err())
        assert server.post({}).json()["version"] == 1
        (tmp_path / "score.py").write_text(WORK.replace("VERSION = 1", "VERSION = 3"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.post({}).json()["version"] == 3)


def test_recycling_workers_loses_no_request(tmp_path: Path) -> None:
    settings = {"SCORING_MAX_REQUESTS": "40", "SCORING_MAX_REQUESTS_JITTER": "20", "WORKER_COUNT": "2"}
    with serving(WORK, tmp_path, **settings) as server:
        load = Load(server, seconds=0.001)
        until(lambda: len({a["pid"] for a in load.answers}) >= 5, seconds=30)
        load.end()
        assert load.failures == []


def test_the_port_is_free_when_the_arbiter_was_killed(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        worker = server.worker()
        server.process.kill()
        server.process.wait()
        until(lambda: refused(server.port))
        until(lambda: not alive(worker))


def test_a_killed_front_is_replaced(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        os.kill(server.front(), signal.SIGKILL)
        until(lambda: "The front process is gone" in server.err())
        until(server.ready)
        assert server.post({}).status_code == 200


WORKER_OF_ITS_OWN = """
import os, signal
from scoring_runtime.server import wire
from scoring_runtime.server.worker import WorkerProcess, load
from scoring_runtime.settings import Settings
settings = Settings.load(os.environ, {"entry_script": "score.py"})
table = wire.SlotTable(1, 1)
worker = WorkerProcess(settings, wire.Channel(), table, 0, load(settings))
def occupy(region, pid, state):
    known = signal.getsignal(signal.SIGRTMIN + wire.ANNOUNCE_SIGNAL_OFFSET) == worker.announce
    os.write(1, f"{state} {known}\\n".encode())
table.occupy = occupy
worker.alive = False
worker.score(worker.loaded)
"""


def test_a_worker_can_make_itself_known_before_it_is_seen_to_serve(tmp_path: Path) -> None:
    """Or a front that starts in between would kill it with the signal that asks."""
    (tmp_path / "score.py").write_text(WORK)
    done = subprocess.run(
        [sys.executable, "-c", WORKER_OF_ITS_OWN], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True
    )
    states = [line for line in done.stdout.decode().splitlines() if line.endswith((" True", " False"))]
    assert states == [f"{wire.SERVING} True", f"{wire.LEAVING} True"], done.stderr


@pytest.mark.parametrize("number", [signal.SIGRTMIN + 3, signal.SIGUSR1], ids=["real-time", "named"])
def test_a_worker_that_any_signal_killed_is_replaced(tmp_path: Path, number: int) -> None:
    with serving(WORK, tmp_path) as server:
        worker = server.worker()
        os.kill(worker, number)
        until(lambda: f"Worker (pid:{worker}) was sent {signal_name(number)}!" in server.err())
        until(lambda: server.workers() not in ([], [worker]))
        assert server.post({}).status_code == 200


def test_more_and_fewer_workers_by_signal(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        server.process.send_signal(signal.SIGTTIN)
        until(lambda: len(server.workers()) == 2)
        server.process.send_signal(signal.SIGTTOU)
        until(lambda: len(server.workers()) == 1)
        assert server.post({}).status_code == 200


def test_requests_spread_evenly_over_workers(tmp_path: Path) -> None:
    with serving(WORK, tmp_path, WORKER_COUNT="3") as server:
        until(lambda: len(server.workers()) == 3)
        load = Load(server, clients=3, seconds=0.01)
        until(lambda: len(load.answers) > 150)
        load.end()
        counts = [sum(1 for a in load.answers if a["pid"] == pid) for pid in server.workers()]
        assert min(counts) > 0.5 * max(counts)
        assert until(lambda: runs_by_worker(server) == sorted(counts))


def runs_by_worker(server: Server) -> list[int]:
    """As /metrics tells them."""
    lines = server.client.get("/metrics").text.splitlines()
    return sorted(int(line.split()[1]) for line in lines if line.startswith("scoring_worker_runs_total{"))


def test_preload_shares_one_model_between_workers(tmp_path: Path) -> None:
    script = """
import numpy, os
def init():
    global model
    model = numpy.ones(25_000_000)  # 200 MB
def run(raw_data):
    return float(model[:1000].sum())
"""
    with serving(script, tmp_path, WORKER_COUNT="4", WORKER_PRELOAD="true") as server:
        until(lambda: len(server.workers()) == 4)
        assert {server.post({}).json() for _ in range(8)} == {1000.0}
        assert all(private_bytes(pid) < 30_000_000 for pid in server.workers())


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_worker_timeout_replaces_a_worker_that_is_silent_in_init(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text("import time\ndef init():\n    time.sleep(60)\ndef run(raw_data):\n    return 1\n")
    server = Server(script, folder=tmp_path, WORKER_TIMEOUT="1")
    try:
        until(lambda: "WORKER TIMEOUT" in server.err())
        until(lambda: "was silent for too long" in server.out())
        assert "time.sleep(60)" in server.out()
    finally:
        server.end()


def test_it_works_as_the_first_process_of_a_container(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    # An orphan that nobody waits for but process 1.
    script.write_text(WORK + "\nimport subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 0.2 & exit'])\n")
    port = free_port()
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command += [sys.executable, "-m", "scoring_runtime", str(script), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: responds(f"{url}/readyz"))
            [init] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            zombies = Path(f"/proc/{init}/task/{init}/children")
            until(lambda: all(alive(int(pid)) for pid in zombies.read_text().split()))
            assert httpx.post(f"{url}/score", content="{}").status_code == 200
            os.kill(int(init), signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()


def responds(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_log_rotation_leaves_workers_in_peace(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        pids = server.workers()
        server.process.send_signal(signal.SIGUSR1)
        until(lambda: "Handling signal: usr1" in server.err())
        assert server.post({}).json()["pid"] == pids[0]


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with serving(WORK, tmp_path) as server:
        got: list[str] = []
        thread = threading.Thread(target=lambda: got.append(outcome(server)))
        thread.start()
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        server.process.send_signal(signal.SIGINT)
        until(lambda: "Handling signal: int" in server.err())
        start = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
        assert time.monotonic() - start < 3
        thread.join()
        assert got == ["cut off"]


def outcome(server: Server) -> str:
    try:
        return str(post(server, 20))
    except httpx.TransportError:
        return "cut off"


def test_a_relative_app_root_is_on_the_import_path(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "helper.py").write_text("ANSWER = 42\n")
    script = "def init():\n    pass\ndef run(raw_data):\n    import helper\n    return helper.ANSWER\n"
    with serving(script, tmp_path, AML_APP_ROOT="app") as server:
        assert server.post({}).json() == 42
