"""/info and /metrics: what operators and autoscalers read, whatever the workers do."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scoring_runtime import __version__
from scoring_runtime.server.usage import usage
from tests.serving import Server, serving, until

REPORTS = """
import os, time
from scoring_runtime.api.status import report_gauge, report_status
def init():
    report_status("accelerator", {"wanted": "openvino", "bound": "cpu"})
    report_gauge("accelerator_fallback", "1 on another device than was wanted.", 1)
def run(raw_data):
    if raw_data == "late":
        report_gauge("accelerator_fallback", "1 on another device than was wanted.", 0)
    while raw_data == "wait" and not os.path.exists("go"):
        time.sleep(0.01)
    return "done"
"""


def samples(server: Server, *names: str) -> dict[str, float]:
    text = server.client.get("/metrics").text
    return {name: float(value) for name, value in re.findall(r"^scoring_(\S+) (\S+)$", text, re.M) if name in names}


def test_info_says_what_serves_and_what_scripts_report(tmp_path: Path) -> None:
    with serving(REPORTS, tmp_path, SERVICE_NAME="flowers", AML_APP_INSIGHTS_KEY="secret") as server:
        info = server.client.get("/info").json()
        pid = server.worker()

        assert "secret" not in str(info)
        assert info["server"]["version"] == __version__
        assert info["service"] == {
            "name": "flowers",
            "version": "1.0",
            "script": str(tmp_path / "score.py"),
            "model_dir": None,
        }
        assert (info["ready"], info["reason"]) == (True, None)
        assert info["load"] == {"workers": 1, "slots": 1, "busy": 0, "queued": 0}
        assert info["settings"]["SERVICE_NAME"] == "flowers"
        assert info["workers"] == [{"pid": pid, "worker": 0, "accelerator": {"wanted": "openvino", "bound": "cpu"}}]


def test_what_is_reported_later_is_shown_too(tmp_path: Path) -> None:
    gauge = 'accelerator_fallback{worker="0"}'
    with serving(REPORTS, tmp_path) as server:
        assert samples(server, gauge) == {gauge: 1}

        server.client.post("/score", content="late")

        until(lambda: samples(server, gauge) == {gauge: 0})
        assert "# TYPE scoring_accelerator_fallback gauge\n" in server.client.get("/metrics").text


def test_load_counts_busy_slots_and_waiting_requests_of_all_workers(tmp_path: Path) -> None:
    names = ("workers", "slots", "requests_in_flight", "queue_depth", "utilization", "load")
    with serving(REPORTS, tmp_path, WORKER_COUNT="2") as server, ThreadPoolExecutor(8) as pool:
        until(lambda: len(server.workers()) == 2)
        assert samples(server, *names) == dict(zip(names, (2, 2, 0, 0, 0, 0), strict=True))

        asked = [pool.submit(server.client.post, "/score", content="wait") for _ in range(3)]

        until(lambda: samples(server, *names) == dict(zip(names, (2, 2, 2, 1, 1, 1.5), strict=True)))
        (tmp_path / "go").touch()
        assert [one.result().status_code for one in asked] == [200, 200, 200]


def test_each_process_says_what_it_uses(tmp_path: Path) -> None:
    with serving(REPORTS, tmp_path) as server:
        text = server.client.get("/metrics").text

    for name in ("cpu_seconds_total", "memory_bytes"):
        found = dict(re.findall(rf"^scoring_{name}{{(.*)}} (\S+)$", text, re.M))
        assert found.keys() == {'process="arbiter"', 'process="front"', 'process="worker",worker="0"'}
        assert all(float(value) > 0 for value in found.values())


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    assert usage(2**22 + 1) is None
