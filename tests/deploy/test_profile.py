"""Profiles: a real server whose service time is known, and the decisions that follow from numbers."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from scoring_runtime.cli.sizing import add_plan, add_profile
from scoring_runtime.deploy.sizing.curve import as_svg, as_text
from scoring_runtime.deploy.sizing.open_loop import Caller, Step, offer, percentile
from scoring_runtime.deploy.sizing.profile import Profile, profile_service, recommend, saturated
from scoring_runtime.errors import TargetError
from tests.deploy.local_services import deployed, workspace_at
from tests.serving import serving, until

SLEEPS = "import time\ndef init(): pass\ndef run(raw_data):\n    time.sleep(0.02)\n    return 1\n"
STEP = Step(
    *(10.0, 2.0, 20, 20, {}, 10.0),
    *(100.0, 110.0, 120.0),
    *(1.0, 5.0),
)


def step(**changes: Any) -> Step:
    return STEP._replace(**changes)


def profile(**changes: Any) -> Profile:
    values: dict[str, Any] = {
        "base_ms": 100.0, "slots": 2, "workers": 2, "steps": [STEP], "capacity": 20.0, "saturated": True,
        "cpu_per_request": 0.09, "memory_bytes": 1e9,
    }  # fmt: skip
    return Profile(**{**values, **changes})


def test_the_knee_of_a_service_with_a_known_time(tmp_path: Path) -> None:
    """Two workers at 20 ms: a hundred a second, less what the machine takes from it."""
    environ = {"SCORING_AUTH": "key", "SCORING_PRIMARY_KEY": "a-key-for-the-profile"}
    with serving(SLEEPS, tmp_path, WORKER_COUNT="2", **environ) as server:
        until_ready(server)
        said: list[str] = []
        caller = Caller(server.url, b"{}", "a-key-for-the-profile")

        result = profile_service(caller, seconds=8, rps=200, say=said.append)

    assert 19 < result.base_ms < 80
    assert result.slots == 2
    assert 25 < result.capacity < 101
    assert result.saturated
    assert result.advice["bound_by"] == "waiting"
    assert result.advice["replicas"] >= 3
    assert 0 < result.advice["cpu"] <= 2
    assert 0.1 <= result.advice["memory_gb"] <= 3
    assert "2 slots" in said[0]


def until_ready(server: Any) -> None:
    until(lambda: len(server.workers()) == 2)


def test_too_much_is_behind_failing_or_slow() -> None:
    assert not saturated(STEP, 100)
    assert saturated(step(achieved=8.9), 100)
    assert saturated(step(p95=321.0), 100)
    assert saturated(step(failures={"503": 1}), 100)
    assert not saturated(step(sent=200, failures={"503": 1}), 100)


def test_what_computes_gets_workers_and_what_waits_gets_threads() -> None:
    computes, waits = recommend(profile(), 100), recommend(profile(cpu_per_request=0.005), 100)

    assert computes == {
        "capacity_rps": 20.0, "cpu": 2.2, "memory_gb": 1.3, "bound_by": "cpu", "workers": 3,
        "scoring_timeout_ms": 1000, "probes": {"periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3},
        "replicas": 8, "rps": 100, "reliable": True,
    }  # fmt: skip
    assert (waits["bound_by"], waits["workers"], waits["max_concurrent_requests"]) == ("waiting", 2, 20)


def test_of_a_stranger_less_is_said() -> None:
    advice = recommend(profile(cpu_per_request=None, memory_bytes=None), None)

    assert advice.keys() == {"capacity_rps", "scoring_timeout_ms", "probes", "reliable"}


def test_a_late_generator_says_so() -> None:
    assert recommend(profile(steps=[step(lateness_p99=30.0)]), None)["reliable"] is False


def test_the_curve_in_text_and_as_a_picture() -> None:
    steps = [STEP, step(rate=20.0, achieved=15.0, p95=220.0, failures={"503": 2})]

    text, picture = as_text(steps), as_svg(steps, 12.5)

    assert [line.count("#") for line in text.splitlines()] == [0, 20, 40]
    assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
    assert "capacity 12.5/s" in picture
    assert picture.count("<polyline") == 2
    assert as_text([]).count("\n") == 0


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile([3, 1, 2, 4], share) for share in (0.5, 0.75, 0.76, 0.99)] == [2, 3, 4, 4]
    assert percentile([], 0.5) == 0


def test_a_service_that_is_not_there_or_refuses_is_named(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(TargetError, match=r"127\.0\.0\.1:\d+ does not answer: .* Is the service running\?"):
            profile_service(Caller(f"http://127.0.0.1:{nobody.getsockname()[1]}", b"{}"), seconds=1)
    refused = pytest.raises(TargetError, match=r"answered 401: .* and its key \(--key\)")
    with serving(SLEEPS, tmp_path, SCORING_AUTH="key", SCORING_PRIMARY_KEY="k" * 20) as server, refused:
        profile_service(Caller(f"{server.url}/score", b"{}"), seconds=1)
    with pytest.raises(TargetError, match="is no address of a service"):
        Caller("localhost:5001", b"{}")


ANSWERS = {
    b"POST": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET ": b"HTTP/1.0 404 Not Found\r\n\r\nnothing",
}


def test_other_servers_are_measured_too() -> None:
    """One that answers in chunks, closes after a GET, and has no metrics."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(300)
        threading.Thread(target=answer_all, args=(listener,), daemon=True).start()

        result = profile_service(Caller(f"http://127.0.0.1:{listener.getsockname()[1]}/v1/score", b"{}"), seconds=2)
        listener.shutdown(socket.SHUT_RDWR)

    assert (result.slots, result.cpu_per_request, result.memory_bytes) == (1, None, None)
    assert result.capacity > 1


def answer_all(listener: socket.socket) -> None:
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        while request := connection.recv(65536):
            connection.sendall(ANSWERS[request[:4]])
            if request[:4] == b"GET ":
                return


def test_failures_are_counted_by_what_they_were() -> None:
    """A service that hangs up, and one that refuses; more requests than connections are kept back."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(300)
        port = listener.getsockname()[1]
        silent = asyncio.run(offer(Caller(f"http://127.0.0.1:{port}", b"{}", timeout=0.3), 3000, 0.2))
    gone = asyncio.run(offer(Caller(f"http://127.0.0.1:{port}", b"{}"), 50, 0.1))

    assert (silent.answered, gone.answered, gone.achieved) == (0, 0, 0.0)
    assert silent.failures["TimeoutError"] == silent.sent
    assert silent.failures["kept back"] == 600 - silent.sent
    assert gone.failures == {"ConnectionRefusedError": 5, "health": 1}


# the verbs


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers()
    for add in (add_plan, add_profile):
        add(verbs)
    arguments = parser.parse_args(words)
    code = arguments.command(arguments, [])
    out, err = capsys.readouterr()
    return code, out, err


def test_plan_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "--rps", "20", "--seconds", "10", "--concurrency", "1", "--utilization", "0.7")

    assert run(capsys, *words)[1].splitlines()[1] == "replicas   = 285.7 / 1 per replica, rounded up = 286"
    assert json.loads(run(capsys, *words, "--json")[1])["replicas"] == 286
    assert run(capsys, "plan", "--rps", "0", "--seconds", "1")[0] == 2


def test_profile_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sample.json").write_text("{}")
    words = ("--data", f"@{tmp_path}/sample.json", "--duration", "2", "--rps", "50")
    with serving(SLEEPS, tmp_path) as server:
        code, out, err = run(capsys, "profile", server.url, *words, "--plot", f"{tmp_path}/curve.svg")
        as_json = json.loads(run(capsys, "profile", server.url, *words, "--json")[1])

    assert code == 0
    assert re.search(r"^ +[\d.]+  requests/s that one replica can do$", out, re.M)
    assert "replicas for 50 requests/s at 70 % utilization" in out
    assert "The curve is in" in err
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")
    assert as_json["advice"]["rps"] == 50
    assert run(capsys, "profile", "http://127.0.0.1:1/", "--data", "@/absent")[0] == 2


def test_a_service_of_the_workspace_is_profiled_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "workspace")
    with workspace_at(tmp_path / "workspace") as workspace:
        deployed(workspace, tmp_path / "source", "def init(): pass\ndef run(raw_data): return 1\n")

        code, out, _ = run(capsys, "profile", "demo", "-w", folder, "--duration", "1", "--json")
        missing = run(capsys, "profile", "absent", "-w", folder)

    assert (code, json.loads(out)["slots"]) == (0, 1)
    assert missing[0] == 2
    assert "absent" in missing[2]
