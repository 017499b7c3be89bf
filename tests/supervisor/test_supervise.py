"""A supervisor with real servers: first the new one is ready, then the old one leaves; deaths of all kinds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scoring_runtime.supervisor.__main__ import ALREADY, NO_PORT
from scoring_runtime.supervisor.files import is_held, read_state, write_wanted
from scoring_runtime.supervisor.identity import is_same
from tests.serving import alive, free_port, until

GOOD = "def init(): pass\ndef run(raw_data): return {version!r}\n"
BROKEN = "def init(): raise ValueError('no model today')\ndef run(raw_data): return 1\n"


class Supervised:
    """A service's folder, and what a deployer does with it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.run = home / "run"
        self.run.mkdir(parents=True)
        (home / "logs").mkdir()

    def want(self, script: str, **more: Any) -> str:
        generation = uuid.uuid4().hex[:8]
        app = self.home / generation
        app.mkdir()
        (app / "score.py").write_text(script)
        argv = [sys.executable, "-m", "scoring_runtime", "score.py"]
        environ = {"SCORING_GRACEFUL_TIMEOUT": "5"}
        write_wanted(
            str(self.run), {"generation": generation, "argv": argv, "cwd": str(app), "environ": environ, **more}
        )
        if is_held(str(self.run)):
            os.kill(self.state()["pid"], signal.SIGHUP)
        return generation

    def start(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scoring_runtime.supervisor", str(self.run)]
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("AML", "AZUREML", "SCORING"))
        }
        return subprocess.run(command, capture_output=True, text=True, timeout=30, env=clean)

    def state(self) -> dict[str, Any]:
        return read_state(str(self.run))

    def serves(self, generation: str) -> dict[str, Any]:
        """Wait until that generation alone does, then the state."""

        def claim() -> dict[str, Any] | None:
            state = self.state()
            current = state.get("current") or {}
            return state if current.get("generation") == generation and not state["leaving"] else None

        return dict(until(claim, seconds=60))

    def failed(self, generation: str) -> str:
        return str(until(lambda: failed_reason(self.state(), generation), seconds=60))

    def ask(self) -> Any:
        return httpx.post(f"http://127.0.0.1:{self.state()['port']}/score", content="{}", timeout=20).json()

    def log(self) -> str:
        return (self.home / "logs" / "server.log").read_text()

    def end(self) -> None:
        if is_held(str(self.run)):
            os.kill(self.state()["pid"], signal.SIGTERM)
        until(lambda: not is_held(str(self.run)))
        state = self.state()
        left = [state.get("current"), state.get("starting"), *state.get("leaving", [])]
        until(lambda: not any(is_same(one) for one in left))


def failed_reason(state: dict[str, Any], generation: str) -> str:
    return str(state["failed"]["reason"]) if state.get("failed", {}).get("generation") == generation else ""


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    one = Supervised(tmp_path / "service")
    try:
        yield one
    finally:
        one.end()


def test_new_generation_replaces_the_old_on_the_same_port(supervised: Supervised) -> None:
    first = supervised.want(GOOD.format(version=1))
    assert supervised.start().returncode == 0
    port = supervised.serves(first)["port"]
    assert supervised.ask() == 1

    second = supervised.want(GOOD.format(version=2))

    assert supervised.serves(second)["port"] == port
    assert supervised.ask() == 2


def test_generation_that_fails_leaves_the_old_one_serving(supervised: Supervised) -> None:
    first = supervised.want(GOOD.format(version=1))
    supervised.start()
    before = supervised.serves(first)["current"]

    second = supervised.want(BROKEN)

    assert "raised ValueError: no model today" in supervised.failed(second)
    assert supervised.state()["current"] == before
    assert supervised.ask() == 1


def test_wanting_again_what_serves_restarts_nothing(supervised: Supervised) -> None:
    first = supervised.want(GOOD.format(version=1))
    wanted = json.loads((supervised.run / "wanted.json").read_text())
    supervised.start()
    before = supervised.serves(first)["current"]
    second = supervised.want(BROKEN)
    supervised.failed(second)

    write_wanted(str(supervised.run), wanted)
    os.kill(supervised.state()["pid"], signal.SIGHUP)

    until(lambda: supervised.state()["failed"] == {} and supervised.state()["wanted"] == first)
    assert supervised.state()["current"] == before


def test_first_generation_that_fails_closes_the_port_and_the_next_one_opens_it(supervised: Supervised) -> None:
    first = supervised.want(BROKEN, port=free_port())
    supervised.start()
    supervised.failed(first)
    with pytest.raises(httpx.ConnectError):
        supervised.ask()

    second = supervised.want(GOOD.format(version=2), port=supervised.state()["port"])

    supervised.serves(second)
    assert supervised.ask() == 2


def test_init_that_never_ends_is_given_up(supervised: Supervised) -> None:
    first = supervised.want("import time\ndef init(): time.sleep(60)\ndef run(raw_data): pass\n", ready_seconds=1)
    supervised.start()

    assert re.fullmatch(r"init\(\) has not finished in 1 s\. .*", supervised.failed(first))


def test_command_that_is_not_there_is_said(supervised: Supervised) -> None:
    first = supervised.want(GOOD, argv=["/no/python"])
    supervised.start()

    assert "/no/python" in supervised.failed(first)


def test_server_that_is_killed_is_started_again(supervised: Supervised) -> None:
    first = supervised.want(GOOD.format(version=1))
    supervised.start()
    before = supervised.serves(first)["current"]

    os.kill(before["pid"], signal.SIGKILL)

    until(lambda: (supervised.state()["current"] or before)["pid"] != before["pid"])
    assert supervised.ask() == 1
    assert supervised.state()["restarts"] == 1


def test_crash_loop_ends_with_the_reason(supervised: Supervised) -> None:
    script = GOOD.format(version=1) + "import os\nif os.path.exists('../break'): raise OSError('disk is gone')\n"
    first = supervised.want(script)
    supervised.start()
    current = supervised.serves(first)["current"]
    (supervised.home / "break").touch()

    os.kill(current["pid"], signal.SIGKILL)

    assert re.search(r"It failed 6 times in a row\. The last time: .*disk is gone", supervised.failed(first), re.DOTALL)
    assert supervised.state()["current"] is None


def test_killed_supervisor_takes_its_servers_along_and_the_next_one_gets_the_port(supervised: Supervised) -> None:
    first = supervised.want(GOOD.format(version=1))
    supervised.start()
    before = supervised.serves(first)

    os.kill(before["pid"], signal.SIGKILL)

    until(lambda: not alive(before["current"]["pid"]))
    assert not is_held(str(supervised.run))
    assert supervised.start().returncode == 0
    until(lambda: supervised.state()["pid"] != before["pid"])
    assert supervised.serves(first)["port"] == before["port"]
    assert supervised.ask() == 1


def test_second_supervisor_of_a_service_is_refused(supervised: Supervised) -> None:
    first = supervised.want(GOOD.format(version=1))
    supervised.start()
    supervised.serves(first)

    assert supervised.start().returncode == ALREADY


def test_port_of_somebody_else_is_said_at_once(supervised: Supervised) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", "import socket,sys\ns=socket.socket()\ns.bind(('127.0.0.1',0))\ns.listen()\n"
         "print(s.getsockname()[1],flush=True)\nsys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with other:
        assert other.stdout
        assert other.stdin
        supervised.want(GOOD.format(version=1), port=int(other.stdout.readline()))

        started = supervised.start()
        other.stdin.close()

    assert (started.returncode, started.stderr) == (NO_PORT, "Address already in use\n")


def test_stop_answers_what_has_come_and_closes_the_port(supervised: Supervised) -> None:
    first = supervised.want(GOOD.format(version=1))
    supervised.start()
    supervised.serves(first)

    supervised.want("", stop=True)

    until(lambda: not is_held(str(supervised.run)))
    with pytest.raises(httpx.ConnectError):
        supervised.ask()
    assert "generation " + first in supervised.log()


def test_worker_that_takes_too_much_memory_is_ended_and_replaced(supervised: Supervised) -> None:
    script = "def init(): pass\ndef run(raw_data): return len(b'x' * int(raw_data))\n"
    first = supervised.want(script, memory_bytes=300 * 1024 * 1024)
    supervised.start()
    state = supervised.serves(first)
    url = f"http://127.0.0.1:{state['port']}/score"

    answer = httpx.post(url, content=str(900 * 1024 * 1024), timeout=20)

    assert answer.status_code in (500, 502)
    assert until(lambda: httpx.post(url, content="10", timeout=20).text == "10")
    assert "300 MiB" in state["current"]["limits"]
