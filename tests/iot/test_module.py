"""A module from end to end: Microsoft's device client, a real broker with TLS, the real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.iot import edge
from tests.serving import ROOT, free_port, until

ROUTES = ['FROM /messages/modules/sensor/outputs/readings INTO BrokeredEndpoint("/modules/scorer/inputs/amlInput")']
SCRIPT = """
import json, os, time
def init(): pass
def run(data):
    value = json.loads(data)
    while os.path.exists("slow"):
        time.sleep(0.01)
    if value == 777:
        return "x" * 300_000
    if value < 0:
        raise ValueError("less than nothing")
    return {"value": value, "square": value * value}
"""


class Module:
    """`scoring-iot -- scoring-serve score.py`, and what is around it."""

    def __init__(self, folder: Path, stack: ExitStack, desired: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.broker = edge.Broker(folder)
        self.broker.start()
        stack.callback(self.broker.stop)
        certificate = (folder / "cert.pem").read_text()
        self.workload = edge.Workload(folder / "workload.sock", certificate)
        stack.callback(self.workload.stop)
        self.hub = edge.Hub(self.broker, ROUTES, desired or {})
        stack.callback(self.hub.client.loop_stop)
        self.sensor = edge.Sensor(self.broker)
        stack.callback(self.sensor.client.loop_stop)
        (folder / "score.py").write_text(SCRIPT)
        self.port = free_port()
        self.start()
        stack.callback(self.end)

    def start(self) -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("AML", "AZUREML", "SCORING", "WORKER"))}
        environ |= edge.environment(self.broker, self.folder / "workload.sock")
        environ |= {"SCORING_PORT": str(self.port), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        serve = [sys.executable, "-m", "scoring_runtime", "score.py"]
        command = [sys.executable, "-m", "scoring_runtime.iot.main", "--retry-seconds=1", "--", *serve]
        with (self.folder / "module.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environ, stdout=log, stderr=log,
                                            start_new_session=True)  # fmt: skip
        until(lambda: "Scoring messages of the input" in self.log(), 30)

    def log(self) -> str:
        return (self.folder / "module.log").read_text(errors="replace")

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)

    def end(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)

    def scored(self, output: str = "amlOutput") -> list[int]:
        return sorted(body["value"] for body in self.hub.bodies(output))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_messages_are_scored_and_errors_go_elsewhere(tmp_path: Path, stack: ExitStack) -> None:
    module = Module(tmp_path, stack)

    module.sensor.send(b"3", **{"$.mid": "m-1", "$.cid": "case-7", "place": "roof"})
    module.sensor.send(b"-1", **{"$.mid": "m-2"})
    module.sensor.send(b"no number")
    until(lambda: len(module.hub.upstream) == 3)

    scores = [(properties, body) for output, properties, body in module.hub.upstream if output == "amlOutput"]
    errors = [(properties, body) for output, properties, body in module.hub.upstream if output == "amlError"]
    ((properties, body),) = scores
    assert json.loads(body) == {"value": 3, "square": 9}
    assert (properties["$.cid"], properties["place"], properties["scoring-status"]) == ("case-7", "roof", "200")
    assert (properties["$.ct"], properties["$.ce"]) == ("application/json", "utf-8")
    assert {found.get("$.cid"): json.loads(body)["status"] for found, body in errors} == {"m-2": 500, None: 500}
    assert httpx.post(f"http://127.0.0.1:{module.port}/score", content=b"4", trust_env=False).json()["square"] == 16
    assert module.stop() == 0


def test_the_twin_sets_routes_and_concurrency_and_hears_of_it(tmp_path: Path, stack: ExitStack) -> None:
    module = Module(tmp_path, stack, {"scoring": {"output": "scores", "concurrency": 0}})
    until(lambda: module.hub.reported().get("desiredVersion") == 1)
    first = module.hub.reported()

    module.hub.change({"scoring": {"output": "others", "concurrency": 3, "logLevel": "warning"}})
    until(lambda: module.hub.reported().get("desiredVersion") == 2)
    module.sensor.send(b"2")
    until(lambda: module.scored("others") == [2])

    assert (first["output"], first["concurrency"]) == ("scores", 1)
    assert first["rejected"] == "concurrency: expected a whole number from 1 to 64, got 0"
    assert module.hub.reported() == {
        "input": "amlInput",
        "output": "others",
        "errorOutput": "amlError",
        "concurrency": 3,
        "logLevel": "WARNING",
        "desiredVersion": 2,
        "rejected": None,
    }


def test_slow_scoring_holds_messages_back_and_loses_none(tmp_path: Path, stack: ExitStack) -> None:
    """The hub stops at its window of 10 unacknowledged messages; a module that is killed then gets them again."""
    module = Module(tmp_path, stack)
    (tmp_path / "slow").touch()

    for value in range(40):
        module.sensor.send(str(value).encode())
    until(lambda: module.broker.sent_to_module() == 10)
    module.hub.change({"scoring": {"logLevel": "INFO"}})
    until(lambda: module.hub.reported().get("desiredVersion") == 2)  # it is awake
    assert (module.broker.sent_to_module(), module.hub.upstream) == (10, [])
    module.end()
    (tmp_path / "slow").unlink()
    (tmp_path / "module.log").unlink()
    module.port = free_port()
    module.start()

    until(lambda: len(set(module.scored())) == 40, 30)
    assert set(module.scored()) == set(range(40))


def test_a_hub_that_restarts_is_found_again(tmp_path: Path, stack: ExitStack) -> None:
    module = Module(tmp_path, stack)
    module.sensor.send(b"1")
    until(lambda: module.scored() == [1])

    module.broker.stop()
    module.broker.start()
    until(lambda: all(f"as {name} " in module.broker.log() for name in ("sensor", "edgeHub")), 30)
    module.sensor.send(b"2")

    until(lambda: 2 in module.scored(), 30)


def test_what_changed_in_the_twin_while_the_hub_was_away_is_followed(tmp_path: Path, stack: ExitStack) -> None:
    module = Module(tmp_path, stack, {"scoring": {"output": "others", "concurrency": 2}})
    until(lambda: module.hub.reported().get("desiredVersion") == 1)

    module.broker.stop()
    module.hub.twin["desired"] = {"scoring": {"concurrency": 3}, "$version": 2}
    module.broker.start()

    until(lambda: module.hub.reported().get("desiredVersion") == 2, 30)
    assert (module.hub.reported()["concurrency"], module.hub.reported()["output"]) == (3, "amlOutput")


def test_an_answer_that_is_too_large_for_the_hub_is_an_error_and_holds_up_nothing(
    tmp_path: Path, stack: ExitStack
) -> None:
    module = Module(tmp_path, stack)

    for body in (b"777", b"2"):
        module.sensor.send(body, **{"$.mid": "m-1"})
    until(lambda: len(module.hub.upstream) == 2)

    (error,) = module.hub.bodies("amlError")
    assert (error["status"], error["error"].partition(".")[0]) == (413, "The answer has 300002 bytes")
    assert module.scored() == [2]


def test_a_server_that_ends_ends_the_module(tmp_path: Path, stack: ExitStack) -> None:
    module = Module(tmp_path, stack)
    children = Path(f"/proc/{module.process.pid}/task/{module.process.pid}/children").read_text().split()

    os.kill(int(children[0]), signal.SIGKILL)

    assert module.process.wait(20) != 0
    assert "The server has ended with -9." in module.log()
