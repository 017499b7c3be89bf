"""open_session(): answers of onnxruntime itself, on the provider that was asked for, or a reason why not."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import pytest

from scoring_runtime.accelerators import CPU, accelerator
from scoring_runtime.api import onnx_report, open_session
from scoring_runtime.api.onnx_cache import cache_folder, compiling
from scoring_runtime.api.onnx_plan import cache_key, plan_session
from scoring_runtime.api.onnx_report import SessionReport, reports
from scoring_runtime.api.onnx_warm import zeros
from scoring_runtime.errors import AcceleratorError, SettingsError
from tests import onnx_models
from tests.serving import ROOT, until

PLUGIN = "plugin:nxrt-ep-cpu"  # a tiny real provider: it takes some nodes of some models
MODELS = ("light_resnet50", "silero_vad", "magika", "logreg_iris")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of another test, no report of an earlier session, a cache of its own."""
    for name in [name for name in os.environ if name.startswith("SCORING_ACCELERATOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCORING_ACCELERATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ORT_NUM_THREADS", raising=False)
    monkeypatch.setattr(onnx_report, "OPENED", [])


def the_report() -> SessionReport:
    (report,) = reports()
    return report


def same(ours: list[Any], theirs: list[Any], tolerance: float = 0.0) -> bool:
    return len(ours) == len(theirs) and all(
        numpy.allclose(a, b, rtol=tolerance, atol=tolerance) if isinstance(b, numpy.ndarray) else a == b
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_processor_answers_as_onnxruntime_does(name: str) -> None:
    given = onnx_models.inputs(name)

    session = open_session(onnx_models.model(name), warm_up=given)

    assert isinstance(session, onnxruntime.InferenceSession)
    assert same(session.run(None, given), onnx_models.answers(name))
    assert (the_report().provider, the_report().share, the_report().fell_back) == (CPU, 1.0, "")


@onnx_models.needs_newer_than_python_3_10
def test_an_onnxruntime_that_does_not_tell_has_one_provider_for_all_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info", None)

    open_session(onnx_models.model("mul_1"))

    assert (the_report().nodes, the_report().share) == ({}, 1.0)
    assert "CPUExecutionProvider has all nodes" in str(the_report())


def test_a_model_may_be_bytes() -> None:
    session = open_session(onnx_models.model("mul_1").read_bytes())

    assert same(session.run(None, onnx_models.inputs("mul_1")), onnx_models.answers("mul_1"))
    assert the_report().model == "bytes"


# a real provider of someone else's


@onnx_models.needs_newer_than_python_3_10
def test_a_plugin_provider_that_takes_the_whole_model() -> None:
    session = open_session(onnx_models.model("mul_1"), accelerator=PLUGIN, policy="require-all")

    assert same(session.run(None, onnx_models.inputs("mul_1")), onnx_models.answers("mul_1"))
    assert (the_report().provider, the_report().nodes) == ("cpu_ep", {"cpu_ep": 1})


@onnx_models.needs_newer_than_python_3_10
def test_a_plugin_provider_that_takes_a_part_of_the_model() -> None:
    given = onnx_models.inputs("silero_vad")

    session = open_session(onnx_models.model("silero_vad"), accelerator=PLUGIN, policy="require", warm_up=given)

    assert same(session.run(None, given), onnx_models.answers("silero_vad"), 1e-5)
    assert (the_report().share, "cpu_ep has 100 of 224 nodes" in str(the_report())) == (100 / 224, True)


@onnx_models.needs_newer_than_python_3_10
def test_require_all_refuses_a_part() -> None:
    with pytest.raises(AcceleratorError, match=r"policy require-all\), but cpu_ep raised Fail: .* default CPU EP"):
        open_session(onnx_models.model("silero_vad"), accelerator=PLUGIN, policy="require-all")


@onnx_models.needs_newer_than_python_3_10
def test_require_refuses_a_provider_without_nodes() -> None:
    with pytest.raises(AcceleratorError, match=r"but cpu_ep takes no node of this model\. Set SCORING_"):
        open_session(onnx_models.model("magika"), accelerator=PLUGIN, policy="require")


@onnx_models.needs_newer_than_python_3_10
def test_prefer_says_that_a_provider_has_no_nodes(caplog: pytest.LogCaptureFixture) -> None:
    given = onnx_models.inputs("magika")

    session = open_session(onnx_models.model("magika"), accelerator=PLUGIN)

    assert same(session.run(None, given), onnx_models.answers("magika"))
    assert the_report().fell_back == "cpu_ep takes no node of this model"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plugin:nothing-of-that-name", "and the plugin nothing-of-that-name is not installed"),
        ("plugin:onnx-of-tests", "the plugin onnx-of-tests cannot be registered: "),
        ("openvino", "OpenVINOExecutionProvider is not in this onnxruntime"),
    ],
)
def test_a_plugin_that_is_not_there(name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnx_of_tests.py").write_text("def get_library_path():\n    return 'no.so'\n")
    monkeypatch.syspath_prepend(tmp_path)

    session = open_session(onnx_models.model("mul_1"), accelerator=name)

    assert session.get_providers() == [CPU]
    assert reason in the_report().fell_back


# what is not there


def test_prefer_falls_back_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    session = open_session(onnx_models.model("mul_1"), accelerator="tensorrt")

    assert session.get_providers() == [CPU]
    assert "TensorrtExecutionProvider is not in this onnxruntime" in the_report().fell_back
    assert "; CUDAExecutionProvider is not in this onnxruntime" in the_report().fell_back
    assert "tensorrt is not used: " in caplog.text


def test_require_raises_with_the_reason_and_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORING_ACCELERATOR", "fpga")

    with pytest.raises(AcceleratorError) as caught:
        open_session(onnx_models.model("mul_1"))

    assert "fpga is needed (policy require), but VitisAIExecutionProvider is not in this onnxruntime" in str(
        caught.value
    )
    assert str(caught.value).endswith("build on base_images/vitis-ai; or set SCORING_ACCELERATOR to another.")


def test_without_onnxruntime_the_fix_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(AcceleratorError, match=r"onnxruntime is not installed\. Run: pip install onnxruntime-gpu"):
        open_session("model.onnx", accelerator="cuda")


@onnx_models.needs_newer_than_python_3_10
@pytest.mark.parametrize("policy", ["prefer", "require"])
def test_a_broken_model_is_no_reason_to_fall_back(policy: str) -> None:
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        open_session(b"not a model", accelerator=PLUGIN, policy=policy)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(SettingsError, match="SCORING_ACCELERATOR_POLICY: expected one of prefer, require, require-all"):
        open_session("model.onnx", policy="maybe")


def test_options_of_the_environment_are_those_of_its_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORING_ACCELERATOR", "openvino")
    monkeypatch.setenv("SCORING_ACCELERATOR_OPTIONS", "device_type=GPU")

    open_session(onnx_models.model("mul_1"), accelerator="cpu")

    assert the_report().fell_back == ""


# what ONNX Runtime is given, where the provider cannot run here


class Recorder(onnxruntime.InferenceSession):
    """Writes down what it is given, and runs on the processor under the names that were asked for."""

    asked: tuple[Any, ...] = ()

    def __init__(self, model: Any, options: Any, *, providers: Any, enable_fallback: int) -> None:
        entries = {}
        for name in ("session.record_ep_graph_assignment_info", "session.disable_cpu_ep_fallback"):
            try:
                entries[name] = options.get_session_config_entry(name)
            except RuntimeError:
                pass
        Recorder.asked = (providers, options.intra_op_num_threads, entries, enable_fallback)
        super().__init__(model, providers=[CPU])

    def get_providers(self) -> list[str]:
        return [name for name, _ in Recorder.asked[0]]

    get_provider_graph_assignment_info = None


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorder)
    monkeypatch.setattr(onnxruntime, "get_available_providers", onnxruntime.get_all_providers)
    monkeypatch.setenv("ORT_NUM_THREADS", "3")
    return Recorder


RECORDED = {"session.record_ep_graph_assignment_info": "1"}
STRICT = {**RECORDED, "session.disable_cpu_ep_fallback": "1"}


def key_of(name: str, options: dict[str, Any]) -> str:
    row = accelerator(name)
    return cache_key(str(onnx_models.model("mul_1")), onnxruntime.__version__, row, row.check(options))


@pytest.mark.parametrize(
    ("version", "folder_name", "key_name"),
    [("1.17.3", "cacheDir", "cacheKey"), ("1.31.1", "cache_dir", "cache_key")],
)
def test_vitis_ai_is_asked_in_the_spelling_of_its_version(
    recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    version: str, folder_name: str, key_name: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(onnxruntime, "__version__", version)
    monkeypatch.delenv("XLNX_ENABLE_CACHE", raising=False)
    given = {"config_file": "vaip_config.json", "target": "X1"}

    open_session(onnx_models.model("mul_1"), accelerator="fpga", options=given)

    cached = {folder_name: str(tmp_path / "cache"), key_name: key_of("fpga", given)}
    providers = [("VitisAIExecutionProvider", {**cached, **given}), (CPU, {})]
    assert recorder.asked == (providers, 3, RECORDED, 0)
    assert os.environ.pop("XLNX_ENABLE_CACHE") == "1"
    assert "has an unknown share of the nodes" in str(the_report())


def test_vitis_ai_keeps_the_cache_that_the_image_brings(recorder: type[Recorder]) -> None:
    given = {"cacheDir": "/models/cache", "cacheKey": "resnet"}

    open_session(onnx_models.model("mul_1"), accelerator="fpga", options=given, policy="require-all")

    providers = [("VitisAIExecutionProvider", {"cache_dir": "/models/cache", "cache_key": "resnet"})]
    assert recorder.asked == (providers, 3, STRICT, 0)


def test_cuda_is_asked_for_its_device(recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORING_ACCELERATOR", "gpu")
    monkeypatch.setenv("SCORING_ACCELERATOR_OPTIONS", "device_id=1, gpu_mem_limit=2147483648")

    open_session(onnx_models.model("mul_1"))

    providers = [("CUDAExecutionProvider", {"device_id": "1", "gpu_mem_limit": "2147483648"}), (CPU, {})]
    assert recorder.asked == (providers, 3, RECORDED, 0)


def test_tensorrt_keeps_its_engines_and_shares_its_device_with_cuda(recorder: type[Recorder], tmp_path: Path) -> None:
    given = {"device_id": 2, "trt_fp16_enable": True}

    open_session(onnx_models.model("mul_1"), accelerator="tensorrt", options=given)

    folder = str(tmp_path / "cache" / key_of("tensorrt", given))
    engines = {"trt_engine_cache_enable": "True", "trt_engine_cache_path": folder}
    timings = {"trt_timing_cache_enable": "True", "trt_timing_cache_path": folder}
    first = {**engines, **timings, "device_id": "2", "trt_fp16_enable": "True"}
    providers = [("TensorrtExecutionProvider", first), ("CUDAExecutionProvider", {"device_id": "2"}), (CPU, {})]
    assert recorder.asked == (providers, 3, RECORDED, 0)


@pytest.mark.parametrize(
    ("version", "options", "sent"),
    [
        (
            "1.22.0",
            {"precision": "FP16", "num_streams": 2},
            {"device_type": "CPU", "num_of_threads": "3", "precision": "FP16", "num_streams": "2"},
        ),
        (
            "1.31.1",
            {"precision": "FP16", "num_streams": 2},
            {
                "device_type": "CPU",
                "load_config": '{"CPU": {"INFERENCE_NUM_THREADS": "3", "INFERENCE_PRECISION_HINT": "f16", '
                '"NUM_STREAMS": "2"}}',
            },
        ),
        (
            "1.31.1",
            {"device_type": "HETERO:GPU.1,CPU", "load_config": {"CPU": {"NUM_STREAMS": "1"}}},
            {"device_type": "HETERO:GPU.1,CPU", "load_config": '{"CPU": {"NUM_STREAMS": "1"}}'},
        ),
        (
            "1.31.1",
            {"precision": "ACCURACY", "load_config": {"CPU": {"INFERENCE_NUM_THREADS": "1"}}},
            {
                "device_type": "CPU",
                "load_config": '{"CPU": {"EXECUTION_MODE_HINT": "ACCURACY", "INFERENCE_NUM_THREADS": "1"}}',
            },
        ),
    ],
)
def test_openvino_gets_properties_from_1_23_on(version: str, options: dict[str, Any], sent: dict[str, str]) -> None:
    plan = plan_session(accelerator("openvino"), options, "prefer", 3, version, "", "")

    assert plan.providers == (("OpenVINOExecutionProvider", sent), (CPU, {}))


def test_a_file_of_properties_is_read(tmp_path: Path) -> None:
    (tmp_path / "ov.json").write_text('{"NPU": {"PERF_COUNT": "YES"}}')
    options = {"device_type": "NPU", "load_config": str(tmp_path / "ov.json")}

    plan = plan_session(accelerator("openvino"), options, "prefer", 1, "1.31.1", "", "")

    assert plan.providers[0][1] == {"device_type": "NPU", "load_config": '{"NPU": {"PERF_COUNT": "YES"}}'}


def test_a_missing_file_of_properties_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"load_config: expected a JSON object of properties .*nothing\.json"):
        plan_session(accelerator("openvino"), {"load_config": "nothing.json"}, "prefer", 1, "1.31.1", "", "")


def test_properties_that_belong_to_no_device_are_named() -> None:
    with pytest.raises(SettingsError, match=r"load_config: .* Each device has an object of properties\."):
        plan_session(accelerator("openvino"), {"load_config": '{"CPU": 5}'}, "prefer", 1, "1.31.1", "", "")


# threads, warm-up, caches


def test_threads_are_the_worker_s_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_NUM_THREADS", "1")

    session = open_session(onnx_models.model("mul_1"))

    assert (session.get_session_options().intra_op_num_threads, the_report().threads) == (1, 1)


def test_the_script_s_own_options_count() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4

    session = open_session(onnx_models.model("mul_1"), session_options=options)

    assert session.get_session_options().intra_op_num_threads == 4


def test_zeros_warm_it_where_the_model_takes_them() -> None:
    open_session(onnx_models.model("magika"))

    assert the_report().warmed_ms is not None


def test_where_it_does_not_the_report_says_so() -> None:
    open_session(onnx_models.model("silero_vad"))

    assert the_report().warmed_ms is None
    assert the_report().not_warmed.startswith("zeros are no input of this model, give warm_up=inputs: ")


@pytest.mark.parametrize(
    ("kind", "shape", "array"),
    [
        ("tensor(float)", ["batch", 2], numpy.zeros((1, 2), dtype="float32")),
        ("tensor(int64)", [None], numpy.zeros(1, dtype="int64")),
        ("tensor(string)", [], numpy.full((), "", dtype=object)),
    ],
)
def test_zeros_are_of_the_kind_that_the_model_takes(kind: str, shape: list[Any], array: numpy.ndarray) -> None:
    made = zeros(kind, shape)

    assert (made.dtype, made.shape, made.tolist()) == (array.dtype, array.shape, array.tolist())


def test_what_has_no_zeros_is_left_to_the_script() -> None:
    with pytest.raises(TypeError, match="an input of type seq"):
        zeros("seq(tensor(float))", [])
    with pytest.raises(ValueError, match="an input of shape"):
        zeros("tensor(float)", [1 << 20, 1 << 20])


def test_it_is_not_warmed_when_the_script_says_so() -> None:
    open_session(onnx_models.model("magika"), warm_up=False)

    assert (the_report().warmed_ms, the_report().not_warmed) == (None, "")


def test_inputs_that_are_wrong_are_the_script_s_error() -> None:
    with pytest.raises(ValueError, match="Required inputs"):
        open_session(onnx_models.model("mul_1"), warm_up={"wrong": numpy.zeros(1)})


def test_a_compiled_model_is_known_by_all_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"graph")
    row = accelerator("openvino")

    def key(model: str | bytes = str(path), version: str = "1", device: str = "CPU") -> str:
        return cache_key(model, version, row, {"device_type": device})

    first = key()
    assert first == key()
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    assert len({first, key(), key(version="2"), key(device="GPU"), key(b"graph")}) == 5


def test_the_cache_is_the_first_folder_that_can_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"SCORING_ACCELERATOR_CACHE": str(tmp_path / "file"), "XDG_CACHE_HOME": str(tmp_path / "home")}

    assert cache_folder(environ) == str(tmp_path / "home" / "scoring-runtime")


def hold(folder: str, log: str) -> None:
    with compiling(folder), open(log, "ab", buffering=0) as file:
        file.write(b"in ")
        file.write(b"out ")


def waiting(lock: Path) -> int:
    """How many processes wait for the lock, as the kernel tells."""
    inode = f":{lock.stat().st_ino} "
    return sum("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_one_process_compiles_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (str(tmp_path), str(tmp_path / "log"))
    with compiling(str(tmp_path)):
        others = [context.Process(target=hold, args=arguments) for _ in range(2)]
        for one in others:
            one.start()
        until(lambda: waiting(tmp_path / ".lock") == 2)
        assert not (tmp_path / "log").exists()
    for one in others:
        one.join(60)

    assert (tmp_path / "log").read_bytes() == b"in out in out "


# OpenVINO, for real

PROGRAM = """
import json, logging, sys
import numpy, onnxruntime
from scoring_runtime.api import open_session
from scoring_runtime.api.onnx_report import reports
from scoring_runtime.errors import AcceleratorError
models = json.loads(sys.argv[1])
ours = [("OpenVINOExecutionProvider", {"device_type": "CPU"}), "CPUExecutionProvider"]
results = {}
for name, (path, inputs) in models.items():
    given = dict(numpy.load(inputs))
    for policy in ("prefer", "require", "require-all"):
        try:
            session = open_session(path, accelerator="openvino", policy=policy, warm_up=given)
        except AcceleratorError as error:
            results[f"{name} {policy}"] = {"error": str(error)}
        else:
            answers = [getattr(one, "tolist", lambda: one)() for one in session.run(None, given)]
            results[f"{name} {policy}"] = {"answers": answers, **reports()[-1].as_dict()}
    if name != "silero_vad":  # which it cannot open
        direct = onnxruntime.InferenceSession(path, providers=ours).run(None, given)
        results[f"{name} direct"] = {"answers": [getattr(one, "tolist", lambda: one)() for one in direct]}
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def on_openvino(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every model and policy gives on onnxruntime-openvino, in its own environment."""
    folder = tmp_path_factory.mktemp("openvino")
    models = {}
    for name in MODELS:
        numpy.savez(folder / f"{name}.npz", **onnx_models.inputs(name))
        models[name] = (str(onnx_models.model(name)), str(folder / f"{name}.npz"))
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SCORING_ACCELERATOR_CACHE": str(folder / "cache")}
    command = [onnx_models.environment("openvino"), "-c", PROGRAM, json.dumps(models)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert list(folder.glob("cache/*/*.blob")), "nothing was kept of what OpenVINO compiled"
    return dict(json.loads(done.stdout))


@onnx_models.needs_newer_than_python_3_10
@pytest.mark.parametrize("name", ["light_resnet50", "magika"])
def test_openvino_answers_as_the_processor_does(on_openvino: dict[str, dict[str, Any]], name: str) -> None:
    for policy in ("prefer", "require", "require-all"):
        result = on_openvino[f"{name} {policy}"]

        assert (result["provider"], result["share"], result["fell_back"]) == ("OpenVINOExecutionProvider", 1.0, "")
        assert same([numpy.array(one) for one in result["answers"]], onnx_models.answers(name), 1e-3)


@pytest.mark.parametrize("name", ["light_resnet50", "magika", "logreg_iris"])
def test_openvino_answers_as_it_does_when_it_is_called_directly(
    on_openvino: dict[str, dict[str, Any]], name: str
) -> None:
    ours, direct = on_openvino[f"{name} prefer"]["answers"], on_openvino[f"{name} direct"]["answers"]

    assert len(ours) == len(direct) > 0
    for a, b in zip(ours, direct, strict=True):
        # Threads of another number add in another order.
        assert a == b if isinstance(b[0], dict) else numpy.allclose(a, b, rtol=1e-5, atol=1e-6)


@onnx_models.needs_newer_than_python_3_10
def test_openvino_that_raises_is_fallen_back_from(on_openvino: dict[str, dict[str, Any]]) -> None:
    result = on_openvino["silero_vad prefer"]

    assert (result["provider"], result["share"]) == (CPU, 1.0)
    assert result["fell_back"].startswith("OpenVINOExecutionProvider raised Fail: ")
    assert "doesn't support Parameter operation with dynamic rank" in result["fell_back"]
    assert same([numpy.array(one) for one in result["answers"]], onnx_models.answers("silero_vad"), 1e-5)


@pytest.mark.parametrize("policy", ["require", "require-all"])
def test_openvino_that_raises_is_an_error_where_it_is_required(
    on_openvino: dict[str, dict[str, Any]], policy: str
) -> None:
    error = on_openvino[f"silero_vad {policy}"]["error"]

    assert error.startswith(f"The accelerator openvino is needed (policy {policy}), but OpenVINOExecutionProvider rai")
    assert error.endswith("Set SCORING_ACCELERATOR_POLICY=prefer to let the processor run it.")


@onnx_models.needs_newer_than_python_3_10
def test_openvino_without_a_node_of_the_model(on_openvino: dict[str, dict[str, Any]]) -> None:
    reason = "OpenVINOExecutionProvider takes no node of this model"

    assert on_openvino["logreg_iris prefer"]["fell_back"] == reason
    assert reason in on_openvino["logreg_iris require"]["error"]
