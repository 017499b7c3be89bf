"""The table of accelerators: what each host is handed, and options in every spelling."""

from __future__ import annotations

from typing import Any

import pytest

from scoring_runtime.accelerators import ACCELERATORS, CPU, POLICIES, accelerator, parse_options
from scoring_runtime.errors import SettingsError
from scoring_runtime.settings import ROWS


def test_rows_and_their_providers_in_order() -> None:
    assert {row.name: row.providers for row in ACCELERATORS.values()} == {
        "cpu": (CPU,),
        "cuda": ("CUDAExecutionProvider", CPU),
        "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU),
        "openvino": ("OpenVINOExecutionProvider", CPU),
        "migraphx": ("MIGraphXExecutionProvider", CPU),
        "fpga": ("VitisAIExecutionProvider", CPU),
        "fpga-emulation": ("HLS4MLEmulation",),
    }


def test_providers_are_those_of_onnxruntime() -> None:
    import onnxruntime

    named = {provider for row in ACCELERATORS.values() if not row.emulated for provider in row.providers}

    assert named <= set(onnxruntime.get_all_providers())


def test_policies_are_those_of_the_setting() -> None:
    (row,) = [row for row in ROWS if row.name == "accelerator_policy"]

    assert row.choices == POLICIES


@pytest.mark.parametrize(
    ("name", "row"),
    [("FPGA", "fpga"), ("vitis-ai", "fpga"), ("VitisAIExecutionProvider", "fpga"), ("gpu", "cuda"), ("none", "cpu")]
    + [("CPUExecutionProvider", "cpu"), ("fpga_emulation", "fpga-emulation"), ("rocm", "migraphx")],
)
def test_a_row_by_its_other_names(name: str, row: str) -> None:
    assert accelerator(name) is ACCELERATORS[row]


def test_a_provider_without_a_row_gets_one() -> None:
    row = accelerator("XnnpackExecutionProvider")

    assert row.providers == ("XnnpackExecutionProvider", CPU)
    assert row.check({"intra_op_num_threads": 2}) == {"intra_op_num_threads": "2"}


@pytest.mark.parametrize("name", ["tpu", "plugin:", "plugin:a b"])
def test_an_unknown_name_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"SCORING_ACCELERATOR: expected one of cpu, cuda, .*got '{name}'"):
        accelerator(name)


def test_the_fpga_row_takes_one_model_and_does_not_scale() -> None:
    row = accelerator("fpga")

    assert (row.one_model, row.autoscale, row.policy, row.base_image) == (True, False, "require", "vitis-ai")


@pytest.mark.parametrize(
    ("name", "options", "limits", "host"),
    [
        ("cpu", {}, {}, {}),
        (
            "cuda",
            {},
            {"nvidia.com/gpu": "2"},
            {"DeviceRequests": [{"Driver": "nvidia", "Count": 2, "Capabilities": [["gpu"]]}]},
        ),
        ("openvino", {"device_type": "CPU"}, {}, {}),
        (
            "openvino",
            {"device_type": "HETERO:NPU,CPU"},
            {"npu.intel.com/accel": "2"},
            {"Devices": [{"PathOnHost": "/dev/accel", "PathInContainer": "/dev/accel", "CgroupPermissions": "rwm"}]},
        ),
        ("fpga-emulation", {}, {}, {}),
    ],
)
def test_what_a_host_hands_to_the_container(
    name: str, options: dict[str, str], limits: dict[str, str], host: dict[str, Any]
) -> None:
    row = accelerator(name)

    assert (row.kubernetes(2, options), row.host_config(2, options)) == (limits, host)


def test_an_fpga_has_the_name_that_the_cluster_gives_it() -> None:
    row = accelerator("fpga")

    assert row.kubernetes() == {"amd.com/xilinx_u250_gen3x16_xdma_shell_4_1-0": "1"}
    assert row.kubernetes(resource="amd.com/xilinx_u55c_gen3x16_xdma_base_3-0") == {
        "amd.com/xilinx_u55c_gen3x16_xdma_base_3-0": "1"
    }


@pytest.mark.parametrize("spelling", ["cacheDir", "cache_dir", "CACHE_DIR", "cache-dir", "cachedir"])
def test_every_spelling_of_an_option_is_taken(spelling: str) -> None:
    assert accelerator("fpga").check({spelling: "/cache"}) == {"cache_dir": "/cache"}


@pytest.mark.parametrize(
    ("name", "given", "checked"),
    [
        ("fpga", {"config_file": "a.json", "opt_level": 3}, {"config_file": "a.json", "opt_level": "3"}),
        ("openvino", {"device_type": "auto:gpu.1, cpu"}, {"device_type": "AUTO:GPU.1,CPU"}),
        ("openvino", {"load_config": {"CPU": {"NUM_STREAMS": "1"}}}, {"load_config": '{"CPU": {"NUM_STREAMS": "1"}}'}),
        ("openvino", {"enable_qdq_optimizer": True}, {"enable_qdq_optimizer": "True"}),
        ("cuda", {"device_id": 1, "use_tf32": "0"}, {"device_id": "1", "use_tf32": "0"}),
        ("tensorrt", {"trt_fp16_enable": True}, {"trt_fp16_enable": "True"}),
        ("fpga-emulation", {"precision": "fixed<16,6>"}, {"precision": "fixed<16,6>"}),
        ("fpga", {"cacheDir": "/a", "cache_dir": "/a"}, {"cache_dir": "/a"}),
    ],
)
def test_values_become_text(name: str, given: dict[str, Any], checked: dict[str, str]) -> None:
    assert accelerator(name).check(given) == checked


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("cpu", {"threads": 1}, "expected an option of cpu: none, got 'threads'"),
        ("fpga", {"xclbn": "x"}, "expected an option of fpga: cache_dir, cache_key, config_file"),
        ("fpga", {"opt_level": 9}, "opt_level: expected 0 to 3, or 65536, got '9'"),
        ("fpga", {"cacheDir": "/a", "cache_dir": "/b"}, "expected one value for cache_dir, given twice"),
        ("openvino", {"device_type": "HETERO:FPGA,CPU"}, "set SCORING_ACCELERATOR=fpga, which is VitisAI"),
        ("openvino", {"device_type": "CPU_FP32"}, "Write device_type=CPU;precision=FP32."),
        ("openvino", {"device_type": "MULTI:CPU"}, "with two of them or more, got 'MULTI:CPU'"),
        ("cuda", {"device_id": "first"}, "device_id: expected a whole number, got 'first'"),
        ("fpga-emulation", {"precision": "int8"}, "a fixed-point type such as"),
    ],
)
def test_what_an_option_cannot_be_is_refused_by_name(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        accelerator(name).check(given)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ('{"device_id": 1}', {"device_id": 1}),
        ("device_type=AUTO:GPU,CPU, precision=FP16", {"device_type": "AUTO:GPU,CPU", "precision": "FP16"}),
        ("cacheDir = /cache; target=X1;", {"cacheDir": "/cache", "target": "X1"}),
    ],
)
def test_options_are_written_as_json_or_as_pairs(text: str, options: dict[str, Any]) -> None:
    assert parse_options(text) == options


@pytest.mark.parametrize("text", ["{", "device_id", "a=1;b", "[]"])
def test_options_that_are_neither_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="SCORING_ACCELERATOR_OPTIONS: expected a JSON object or name=value"):
        parse_options(text)


def test_an_option_that_is_given_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"expected each option once, got 'device_type'"):
        parse_options("device_type=CPU;device_type=GPU")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        (
            "openvino",
            "To get it, build on base_images/openvino or run: pip install onnxruntime-openvino",
        ),
        ("XnnpackExecutionProvider", "Set SCORING_ACCELERATOR to another."),
        ("fpga", "To get it, build on base_images/vitis-ai; or set SCORING_ACCELERATOR to another."),
    ],
)
def test_the_fix_says_what_brings_the_provider(name: str, fix: str) -> None:
    assert accelerator(name).fix.startswith(fix)
