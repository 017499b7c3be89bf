"""fpga-emulation: a kernel's simulation behind the session's interface, kept once compiled, and named what it is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy
import pytest

from scoring_runtime.api import onnx_report, open_session
from scoring_runtime.emulation.kernel import kernel_folder
from scoring_runtime.emulation.session import EmulatedSession
from scoring_runtime.errors import AcceleratorError
from tests import onnx_models
from tests.serving import ROOT, serving

# What hls4ml compiles has this interface: one item a call, floats in, floats out.
KERNEL = """
extern "C" void kernel_float(float *x, float *y) {
    for (int i = 0; i < 2; i++) y[i] = (int)((x[i] + x[i + 2]) * 1024) / 1024.0f;
}
"""
MODEL = b"the bytes of a model"


def compiled(cache: Path, options: dict[str, str]) -> Path:
    """A kernel in the cache, as a build leaves it there."""
    folder = Path(kernel_folder(MODEL, options, str(cache)))
    folder.mkdir(parents=True)
    (folder / "kernel.cpp").write_text(KERNEL)
    library = folder / "kernel.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-o", library, folder / "kernel.cpp"], check=True, timeout=60)
    kernel = {
        "library": str(library),
        "function": "kernel_float",
        "inputs": [{"name": "x", "shape": [4]}],
        "outputs": [{"name": "y", "shape": [2]}],
        "nodes": 3,
        "precision": "fixed<16,6>",
        "hls4ml": "1.3.0",
    }
    (folder / "kernel.json").write_text(json.dumps(kernel))
    return folder


def test_a_kept_kernel_is_opened_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_report, "OPENED", [])
    compiled(tmp_path, {"precision": "fixed<16,6>"})

    session = open_session(MODEL, accelerator="fpga-emulation", options=f"cache_dir={tmp_path}")

    (report,) = onnx_report.reports()
    assert (session.get_providers(), report.emulated, report.share) == (["HLS4MLEmulation"], True, 1.0)
    assert "HLS4MLEmulation, an emulation on the processor has 3 of 3 nodes" in str(report)
    assert repr(session) == "<EmulatedSession fixed<16,6>, 3 nodes, hls4ml 1.3.0>"
    assert report.warmed_ms is not None


def test_it_answers_as_a_session_does(tmp_path: Path) -> None:
    compiled(tmp_path, {})
    session = EmulatedSession.open(MODEL, {}, str(tmp_path))

    (answer,) = session.run(None, {"x": [[1, 2, 3, 4], [0.5, 0, 0.25, 0]]})

    assert [(one.name, one.shape, one.type) for one in session.get_inputs()] == [("x", ["batch", 4], "tensor(float)")]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("y", ["batch", 2])]
    assert answer.tolist() == [[4, 6], [0.75, 0]]
    assert session.run(["y", "y"], {"x": numpy.zeros((0, 4))})[1].shape == (0, 2)


@pytest.mark.parametrize(
    ("names", "feed", "message"),
    [
        (None, {}, "Required inputs"),
        (None, {"x": [[1, 2]]}, "Got invalid dimensions for input x"),
        (["z"], {"x": [[1, 2, 3, 4]]}, "Invalid output name: z"),
    ],
)
def test_a_wrong_input_is_named(tmp_path: Path, names: Any, feed: dict[str, Any], message: str) -> None:
    compiled(tmp_path, {})

    with pytest.raises(ValueError, match=message):
        EmulatedSession.open(MODEL, {}, str(tmp_path)).run(names, feed)


def test_each_model_and_each_precision_has_its_kernel(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    folders = [
        kernel_folder(MODEL, {}, "/cache"),
        kernel_folder(str(path), {"precision": "fixed<16,6>", "cache_dir": "/elsewhere"}, "/cache"),
        kernel_folder(MODEL, {"precision": "fixed<8,4>"}, "/cache"),
        kernel_folder(b"another", {}, "/cache"),
    ]

    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


def test_without_hls4ml_the_fix_is_a_command(tmp_path: Path) -> None:
    with pytest.raises(
        AcceleratorError, match=r"is not installed\. Run: pip install 'scoring-runtime\[fpga-emulation\]'"
    ):
        open_session(MODEL, accelerator="fpga-emulation", options={"cache_dir": str(tmp_path)})


def test_a_cache_that_has_moved_is_not_trusted(tmp_path: Path) -> None:
    compiled(tmp_path / "there", {}).parent.rename(tmp_path / "here")

    with pytest.raises(AcceleratorError, match="is not installed"):
        EmulatedSession.open(MODEL, {}, str(tmp_path / "here"))


# the real thing: hls4ml in its own environment

PROGRAM = """
import json, sys, time
import numpy, onnx, onnxruntime
from onnxruntime.datasets import get_example
from onnx import TensorProto, helper, numpy_helper
from scoring_runtime.api import open_session
from scoring_runtime.api.onnx_report import reports
from scoring_runtime.errors import AcceleratorError

random = numpy.random.default_rng(3)
sizes = (4, 16, 8, 3)
nodes, weights, last = [], [], "x"
for n, (a, b) in enumerate(zip(sizes, sizes[1:])):
    # weights of a quantised model: multiples of 1/64
    weights += [numpy_helper.from_array((random.integers(-48, 48, size=(a, b)) / 64).astype("float32"), f"w{n}")]
    weights += [numpy_helper.from_array((random.integers(-16, 16, size=b) / 64).astype("float32"), f"b{n}")]
    out = "y" if n == len(sizes) - 2 else f"h{n}"
    nodes.append(helper.make_node("Gemm", [last, f"w{n}", f"b{n}"], [out], name=f"dense{n}"))
    if out != "y":
        nodes.append(helper.make_node("Relu", [out], [f"r{n}"], name=f"relu{n}"))
    last = f"r{n}"
info = helper.make_tensor_value_info
ends = [info("x", TensorProto.FLOAT, ["N", 4])], [info("y", TensorProto.FLOAT, ["N", 3])]
graph = helper.make_graph(nodes, "mlp", *ends, weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
onnx.save(model, "mlp.onnx")

x = (random.integers(-64, 64, size=(200, 4)) / 32).astype("float32")
session = open_session("mlp.onnx", accelerator="fpga-emulation")
ours = session.run(None, {"x": x})[0]
again = open_session("mlp.onnx", accelerator="fpga-emulation")
floating = onnxruntime.InferenceSession("mlp.onnx").run(None, {"x": x})[0]

import hls4ml
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.gemm_to_matmul import GemmToMatMul
from qonnx.util.cleanup import cleanup_model
clean = cleanup_model(cleanup_model(ModelWrapper(model)).transform(GemmToMatMul()))
given = {"granularity": "name", "backend": "Vitis", "default_precision": "fixed<16,6>"}
config = hls4ml.utils.config.config_from_onnx_model(clean, **given)
direct = hls4ml.converters.convert_from_onnx_model(clean, output_dir="direct", backend="Vitis", hls_config=config)
direct.compile()
try:
    open_session(get_example("logreg_iris.onnx"), accelerator="fpga-emulation")
    refused = ""
except AcceleratorError as error:
    refused = str(error)
print("RESULT", json.dumps({
    "bit_equal": bool((direct.predict(x) == ours).all()),
    "kept_equal": bool((again.run(None, {"x": x})[0] == ours).all()),
    "largest": float(abs(ours - floating).max()),
    "same_class": float((ours.argmax(1) == floating.argmax(1)).mean()),
    "first": reports()[0].as_dict(), "second": reports()[1].as_dict(), "refused": refused,
}))
"""


@pytest.mark.nightly
def test_a_real_kernel_is_bit_equal_with_hls4ml_and_near_the_float_model(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SCORING_ACCELERATOR_CACHE": str(tmp_path / "cache")}
    command = [onnx_models.environment("hls4ml"), "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.rpartition("RESULT ")[2])

    assert (result["bit_equal"], result["kept_equal"]) == (True, True)
    assert result["largest"] < 0.02  # 10 bits after the point, over three layers
    assert result["same_class"] > 0.95
    assert (result["first"]["emulated"], result["first"]["provider"]) == (True, "HLS4MLEmulation")
    assert result["second"]["opened_ms"] < result["first"]["opened_ms"] / 10
    assert "hls4ml cannot make a kernel of this model: " in result["refused"]
    print({name: result[name] for name in ("largest", "same_class")}, result["first"]["opened_ms"], result["second"])

    # and a server without hls4ml serves what is kept, warmed before it is ready
    script = """
import json
from scoring_runtime.api import open_session
def init():
    global session
    session = open_session("mlp.onnx")
def run(data):
    return session.run(None, {"x": json.loads(data)})[0]
"""
    served = {"SCORING_ACCELERATOR": "fpga-emulation", "SCORING_ACCELERATOR_CACHE": str(tmp_path / "cache")}
    with serving(script, tmp_path, **served) as server:
        answer = server.post([[1, 0.5, -1, 2]]).json()
        (worker,) = server.client.get("/info").json()["workers"]

    assert numpy.array(answer).shape == (1, 3)
    assert (worker["accelerator"][0]["emulated"], worker["accelerator"][0]["fell_back"]) == (True, "")
