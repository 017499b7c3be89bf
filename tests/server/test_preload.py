"""WORKER_PRELOAD: init() runs in the arbiter, whose signals and processes stay its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.server.test_arbiter import DYING, WORK, status, version
from tests.serving import Server, alive, refused, serving, until

IN_INIT = """
import os, time
def init():
    open("in", "w").close()
    while True:
        try:
            time.sleep(30)
        except BaseException:
            pass
def run(raw_data):
    return 2
"""


IN_C_CODE = """
import hashlib
def init():
    open("in", "w").close()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)  # one call, which no signal interrupts
def run(raw_data):
    return 2
"""


@pytest.mark.parametrize("text", [IN_INIT, IN_C_CODE], ids=["a system call", "C code"])
def test_sigterm_ends_a_preloading_server_in_the_middle_of_init(tmp_path: Path, text: str) -> None:
    script = tmp_path / "score.py"
    script.write_text(text)
    server = Server(script, folder=tmp_path, WORKER_PRELOAD="true")
    try:
        until((tmp_path / "in").exists)
        server.process.send_signal(signal.SIGHUP)  # there is nothing to load again
        start = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - start < 5
        until(lambda: refused(server.port))
    finally:
        server.end()


def test_sigterm_during_the_init_of_a_reload_drains(tmp_path: Path) -> None:
    with serving(DYING, tmp_path, WORKER_PRELOAD="true") as server:
        (tmp_path / "score.py").write_text(IN_INIT)
        server.process.send_signal(signal.SIGHUP)
        until((tmp_path / "in").exists)
        got: list[int] = []
        bodies = [{"for": 0.5, "die": True}, {"for": 0.2}]
        threads = [threading.Thread(target=lambda b=b: got.append(status(server, b))) for b in bodies]
        threads[0].start()
        until(lambda: "scoring_requests_in_flight 1" in server.client.get("/metrics").text)
        threads[1].start()
        until(lambda: "scoring_queue_depth 1" in server.client.get("/metrics").text)
        start = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - start < 5
        for thread in threads:
            thread.join()
        assert sorted(got) == [200, 502]


def test_sigterm_during_a_reload_whose_init_is_in_c_code_loses_no_request(tmp_path: Path) -> None:
    with serving(DYING, tmp_path, WORKER_PRELOAD="true") as server:
        (tmp_path / "score.py").write_text(IN_C_CODE)
        server.process.send_signal(signal.SIGHUP)
        until((tmp_path / "in").exists)
        got: list[int] = []
        threads = [threading.Thread(target=lambda: got.append(status(server, {"for": 1.5}))) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: "scoring_queue_depth 1" in server.client.get("/metrics").text)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert got == [200, 200]
        until(lambda: refused(server.port))
        assert server.process.poll() is None, "the C code went on, or this shows nothing"
        os.killpg(server.process.pid, signal.SIGKILL)


def test_what_a_preloaded_script_starts_ends_by_sigterm(tmp_path: Path) -> None:
    script = """
import multiprocessing, subprocess, time
def init():
    global ends
    program = subprocess.Popen(["sleep", "100"])
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(100,), daemon=True)
    child.start()
    program.terminate()
    child.terminate()
    child.join(5)
    ends = [program.wait(5), child.exitcode, VERSION]
def run(raw_data):
    return ends
"""
    with serving(f"VERSION = 1\n{script}", tmp_path, WORKER_PRELOAD="true") as server:
        assert server.post({}).json() == [-15, -15, 1]
        (tmp_path / "score.py").write_text(f"VERSION = 2\n{script}")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.post({}).json() == [-15, -15, 2])


def test_a_reload_with_preload_lets_the_old_model_go(tmp_path: Path) -> None:
    script = WORK.replace("pass", "global model; model = b'x' * 50_000_000")
    with serving(script, tmp_path, WORKER_PRELOAD="true") as server:
        before = resident_bytes(server.process.pid)
        for number in range(2, 6):
            (tmp_path / "score.py").write_text(script.replace("VERSION = 1", f"VERSION = {number}"))
            server.process.send_signal(signal.SIGHUP)
            until(lambda: version(server) == number)  # noqa: B023
        assert resident_bytes(server.process.pid) < before + 30_000_000


def resident_bytes(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("hangups", [0, 1])
def test_what_a_preloaded_script_forks_does_not_hold_the_port(tmp_path: Path, hangups: int) -> None:
    forking = WORK.replace("pass", "global child; child = os.fork()\n    if not child:\n        time.sleep(100)")
    with serving(forking.replace('"pid": os.getpid()', '"pid": child'), tmp_path, WORKER_PRELOAD="true") as server:
        child = server.post({}).json()["pid"]
        for _ in range(hangups):
            server.process.send_signal(signal.SIGHUP)
            until(lambda: server.post({}).json()["pid"] != child)  # noqa: B023
            child = server.post({}).json()["pid"]
        server.process.kill()
        server.process.wait()
        until(lambda: refused(server.port))
        assert alive(child)
