"""SCORING_ACCELERATOR in a server: what boot refuses, and what the log, /info and /metrics say of a fallback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy
import pytest

from tests import onnx_models
from tests.serving import ROOT, Server, free_port, serving, until

OPENS = f"""
import json, numpy
from scoring_runtime.api import open_session
def init():
    global session
    session = open_session({str(onnx_models.model("mul_1"))!r})
def run(data):
    return session.run(None, {{"X": numpy.array(json.loads(data), dtype="float32")}})[0]
"""
OPENS_NOTHING = "def init(): pass\ndef run(data): return 1\n"
DATA = [[1, 2], [3, 4], [5, 6]]


def refused(text: str, folder: Path, **environ: str) -> str:
    """What a server says that ends with 3."""
    (folder / "score.py").write_text(text)
    server = Server(folder / "score.py", "--port", str(free_port()), folder=folder, **environ)
    try:
        assert server.process.wait(30) == 3
        return server.out() + server.err()
    finally:
        server.end()


def test_a_fallback_is_told_everywhere(tmp_path: Path) -> None:
    with serving(OPENS, tmp_path, SCORING_ACCELERATOR="cuda", WORKER_COUNT="2") as server:
        answer = server.post(DATA)
        (report, *_) = [worker["accelerator"][0] for worker in server.client.get("/info").json()["workers"]]
        metrics = server.client.get("/metrics").text

    assert answer.json() == [[1, 4], [9, 16], [25, 36]]
    assert (report["accelerator"], report["provider"]) == ("cuda", "CPUExecutionProvider")
    assert report["fell_back"].startswith("CUDAExecutionProvider is not in this onnxruntime")
    assert re.search(r'\nscoring_accelerator_fallbacks\{worker="[01]"\} 1\n', metrics)
    assert "cuda is not used: CUDAExecutionProvider is not in this onnxruntime" in server.out() + server.err()


@onnx_models.needs_newer_than_python_3_10
def test_a_provider_that_is_there_is_told_too(tmp_path: Path) -> None:
    environ = {"SCORING_ACCELERATOR": "plugin:nxrt-ep-cpu", "SCORING_ACCELERATOR_POLICY": "require-all"}
    with serving(OPENS, tmp_path, **environ) as server:
        assert server.post(DATA).json() == [[1, 4], [9, 16], [25, 36]]
        (worker,) = server.client.get("/info").json()["workers"]
        metrics = server.client.get("/metrics").text

    assert (worker["accelerator"][0]["provider"], worker["accelerator"][0]["share"]) == ("cpu_ep", 1)
    assert 'scoring_accelerator_node_share{worker="0"} 1\n' in metrics
    assert 'scoring_accelerator_fallbacks{worker="0"} 0\n' in metrics


def test_settings_of_the_config_file_reach_the_session(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"SCORING_ACCELERATOR": "fpga"}))

    said = refused(OPENS, tmp_path)

    assert "The accelerator fpga is needed (policy require), but VitisAIExecutionProvider is not in this" in said
    assert "build on base_images/vitis-ai" in said


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SCORING_ACCELERATOR": "tpu"}, "SCORING_ACCELERATOR: expected one of cpu, cuda,"),
        (
            {"SCORING_ACCELERATOR": "openvino", "SCORING_ACCELERATOR_OPTIONS": "device_type=HETERO:FPGA,CPU"},
            "set SCORING_ACCELERATOR=fpga, which is VitisAI",
        ),
        (
            {"SCORING_ACCELERATOR": "cuda", "WORKER_PRELOAD": "true"},
            "a session on cuda does not survive that. Set WORKER_PRELOAD=false.",
        ),
        (
            {"SCORING_ACCELERATOR_POLICY": "always"},
            "SCORING_ACCELERATOR_POLICY: expected one of prefer, require, require-all",
        ),
        (
            {"SCORING_ACCELERATOR": "cuda", "SCORING_ACCELERATOR_POLICY": "require"},
            "init() opened no session on it. Open it in init(), with open_session() of scoring_runtime.api.",
        ),
    ],
    ids=["unknown", "option", "preloaded", "policy", "unused"],
)
def test_boot_refuses(environ: dict[str, str], message: str, tmp_path: Path) -> None:
    assert message in refused(OPENS_NOTHING, tmp_path, **environ)


def test_on_the_processor_a_preloaded_session_is_shared(tmp_path: Path) -> None:
    environ = {"SCORING_ACCELERATOR": "cpu", "WORKER_PRELOAD": "true", "WORKER_COUNT": "2"}
    with serving(OPENS, tmp_path, **environ) as server:
        assert [server.post(DATA).json() for _ in range(4)] == 4 * [[[1, 4], [9, 16], [25, 36]]]


def test_an_accelerator_that_nothing_uses_is_warned_about(tmp_path: Path) -> None:
    with serving(OPENS_NOTHING, tmp_path, SCORING_ACCELERATOR="cuda") as server:
        assert "The accelerator cuda is not used: init() opened no session on it." in server.out() + server.err()


# OpenVINO, for real: its build of ONNX Runtime stands before the stock one on the import path


def on_openvino(folder: Path, **more: str) -> dict[str, str]:
    packages = next((onnx_models.environment("openvino").parent.parent / "lib").glob("python*/site-packages"))
    cache = {"SCORING_ACCELERATOR_CACHE": str(folder / "cache")}
    return {"PYTHONPATH": f"{ROOT}:{packages}", "SCORING_ACCELERATOR": "openvino", **cache, **more}


SCORES = """
import json, numpy
from scoring_runtime.api import open_session
def init():
    global session
    session = open_session(MODEL)
def run(data):
    (one,) = session.get_inputs()
    values = numpy.array(json.loads(data), dtype=one.type.removeprefix("tensor(").removesuffix(")"))
    return session.run(None, {one.name: values})[0]
"""


@onnx_models.needs_newer_than_python_3_10
def test_two_workers_score_on_openvino_and_share_what_it_compiled(tmp_path: Path) -> None:
    ((_, values),) = onnx_models.inputs("magika").items()
    script = SCORES.replace("MODEL", repr(str(onnx_models.model("magika"))))
    environ = on_openvino(tmp_path, SCORING_ACCELERATOR_POLICY="require-all", WORKER_COUNT="2", ORT_NUM_THREADS="1")
    with serving(script, tmp_path, **environ) as server:
        until(lambda: len(server.client.get("/info").json()["workers"]) == 2)
        reports = [worker["accelerator"][0] for worker in server.client.get("/info").json()["workers"]]
        answers = [server.post(values.tolist()).json() for _ in range(4)]

    shown = {(one["provider"], one["share"], one["threads"], one["fell_back"]) for one in reports}
    assert shown == {("OpenVINOExecutionProvider", 1, 1, "")}
    assert all(one["warmed_ms"] is not None for one in reports)
    for answer in answers:
        assert numpy.allclose(answer, onnx_models.answers("magika")[0], rtol=1e-3, atol=1e-3)
    assert len(list(tmp_path.glob("cache/*/*.blob"))) == 1


@onnx_models.needs_newer_than_python_3_10
def test_a_model_that_openvino_cannot_open_ends_the_server_where_it_is_required(tmp_path: Path) -> None:
    script = SCORES.replace("MODEL", repr(str(onnx_models.model("silero_vad"))))

    said = refused(script, tmp_path, **on_openvino(tmp_path, SCORING_ACCELERATOR_POLICY="require"))

    assert "The accelerator openvino is needed (policy require), but OpenVINOExecutionProvider raised Fail" in said
    assert "doesn't support Parameter operation with dynamic rank" in said
