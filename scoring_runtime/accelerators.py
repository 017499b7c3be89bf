"""The accelerators: a row each with ONNX Runtime's providers in order, what brings them, and what a host hands over.

accelerator("fpga").providers                    ("VitisAIExecutionProvider", "CPUExecutionProvider")
accelerator("fpga").kubernetes()                 {"amd.com/xilinx_u250_gen3x16_xdma_shell_4_1-0": "1"}
accelerator("cuda").host_config()                {"DeviceRequests": [...]}, for Docker, podman and IoT Edge
accelerator("openvino").check({"device": "x"})   SettingsError that names the option and what there is
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring_runtime.errors import SettingsError

__all__ = [
    "ACCELERATORS",
    "CPU",
    "OPTIONS_SETTING",
    "POLICIES",
    "POLICY_SETTING",
    "SETTING",
    "Accelerator",
    "Device",
    "Option",
    "accelerator",
    "parse_options",
]

CPU = "CPUExecutionProvider"
# Fall back and say so; at least one node of the graph on the accelerator; all of them.
POLICIES = ("prefer", "require", "require-all")
SETTING, POLICY_SETTING = "SCORING_ACCELERATOR", "SCORING_ACCELERATOR_POLICY"
OPTIONS_SETTING = "SCORING_ACCELERATOR_OPTIONS"
PLUGIN = "plugin:"  # before the name of a pip package that brings a provider as a plugin


@dataclass(frozen=True)
class Option:
    """An option of a provider, by its name of today; other spellings differ in case and underscores only."""

    name: str
    pattern: str = ".*"  # what its text must match
    expected: str = "a text"
    old: str = ""  # its name up to ONNX Runtime 1.17
    secret: bool = False


@dataclass(frozen=True)
class Device:
    """How a host hands the device to a container."""

    resource: str = ""  # in a Kubernetes container's limits
    paths: tuple[str, ...] = ()  # device files, for Docker
    driver: str = ""  # or a DeviceRequest of this driver's


@dataclass(frozen=True)
class Accelerator:
    """A row: its name is the value of SCORING_ACCELERATOR."""

    name: str
    title: str
    providers: tuple[str, ...]  # in the order in which ONNX Runtime asks them for nodes
    package: str  # the pip package that brings them; empty: only the base image does
    base_image: str  # the folder below base_images/
    device: Device = Device()
    options: tuple[Option, ...] | None = ()  # of the first provider; None: whatever it takes
    policy: str = "prefer"  # unless SCORING_ACCELERATOR_POLICY says
    plugin: str = ""  # a pip package that brings the first provider as a plugin of the stock onnxruntime
    one_model: bool = False  # an image holds exactly one
    autoscale: bool = True
    emulated: bool = False

    @property
    def fix(self) -> str:
        """How to get the provider, as the last sentence of an error."""
        image = f"build on base_images/{self.base_image}" if self.base_image else ""
        command = f"run: pip install {self.package}" if self.package else ""
        ways = " or ".join(filter(None, (image, command)))
        return f"To get it, {ways}; or set {SETTING} to another." if ways else f"Set {SETTING} to another."

    def check(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The options under their names of today, values as text; SettingsError names the first that cannot be."""
        if self.options is None:
            return {name: text_of(value) for name, value in given.items()}
        known = {plain(option.name): option for option in self.options}
        result: dict[str, str] = {}
        for name, value in given.items():
            option = known.get(plain(name))
            if option is None:
                names = ", ".join(sorted(one.name for one in self.options)) or "none"
                raise SettingsError(OPTIONS_SETTING, name, f"an option of {self.name}: {names}")
            text = text_of(value)
            if option.name == "device_type":
                text = openvino_device(text)
            if not re.fullmatch(option.pattern, text, re.DOTALL):
                shown = "***" if option.secret else text
                raise SettingsError(f"{OPTIONS_SETTING}, {option.name}", shown, option.expected)
            if result.setdefault(option.name, text) != text:
                expected = f"one value for {option.name}, given twice"
                raise SettingsError(f"{OPTIONS_SETTING}, {name}", "***" if option.secret else text, expected)
        return result

    def device_for(self, options: Mapping[str, str]) -> Device:
        """OpenVINO runs on the processor unless its device_type says otherwise; the others have one device."""
        kinds = re.findall(r"GPU|NPU", options.get("device_type", ""))
        return INTEL_DEVICES[kinds[0]] if self.name == "openvino" and kinds else self.device

    def kubernetes(
        self, count: int = 1, options: Mapping[str, str] | None = None, resource: str = ""
    ) -> dict[str, str]:
        """The container's `resources.limits` for this many devices; `resource` where the cluster's has another name."""
        name = resource or self.device_for(options or {}).resource
        return {name: str(count)} if name else {}

    def host_config(self, count: int = 1, options: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What belongs into HostConfig of Docker's create call, and so into IoT Edge's createOptions."""
        device = self.device_for(options or {})
        if device.driver:
            request = {"Driver": device.driver, "Count": count, "Capabilities": [["gpu"]]}
            return {"DeviceRequests": [request]}
        paths = [{"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"} for path in device.paths]
        return {"Devices": paths} if paths else {}


def plain(name: str) -> str:
    """cacheDir, cache_dir and CACHE-DIR are one."""
    return re.sub("[_-]", "", name).lower()


def text_of(value: Any) -> str:
    """ONNX Runtime takes texts only, and says True and False as Python does."""
    return json.dumps(value) if isinstance(value, Mapping | list) else str(value)


def openvino_device(text: str) -> str:
    device = text.upper().replace(" ", "")
    if "FPGA" in device:
        raise SettingsError(
            f"{OPTIONS_SETTING}, device_type",
            text,
            "a device that OpenVINO has",
            "Its FPGA device ended with release 2020.3: set SCORING_ACCELERATOR=fpga, which is VitisAI.",
        )
    old = re.fullmatch(r"(CPU|GPU(?:\.\d+)?|NPU)_(FP32|FP16|U8)", device)
    if old:
        raise SettingsError(
            f"{OPTIONS_SETTING}, device_type",
            text,
            "a device without a precision",
            f"Write device_type={old[1]};precision={old[2]}.",
        )
    return device


WHOLE = (r"\d+", "a whole number")
FLAG = ("(?i:true|false|0|1)", "true or false")
ONE_DEVICE = r"(CPU|GPU(\.\d+)?|NPU)"

VITIS_AI = (
    Option("config_file", ".+", "the path of vaip_config.json"),
    Option("cache_dir", ".+", "a folder", old="cacheDir"),
    Option("cache_key", ".+", "a folder's name", old="cacheKey"),
    Option("encryption_key", "[0-9a-fA-F]{64}", "256 bits in hexadecimal", old="encryptionKey", secret=True),
    Option("target", ".+", "X1, X2 or a target of the installation"),
    Option("xclbin", ".+", "the path of an xclbin file"),
    Option("opt_level", "[0-3]|65536", "0 to 3, or 65536"),
    Option("log_level", "(?i:info|warning|error|fatal)", "info, warning, error or fatal"),
    Option("enable_preemption", *FLAG),
    Option("enable_cache_file_io_in_mem", *FLAG),
)
OPENVINO = (
    Option(
        "device_type",
        rf"{ONE_DEVICE}|(AUTO|HETERO|MULTI):{ONE_DEVICE}(,{ONE_DEVICE})+",
        "CPU, GPU, GPU.n, NPU, or AUTO:, HETERO:, MULTI: with two of them or more",
    ),
    Option("precision", "FP32|FP16|ACCURACY", "FP32, FP16 or ACCURACY"),
    Option("num_of_threads", *WHOLE),
    Option("num_streams", *WHOLE),
    Option("cache_dir", ".+", "a folder"),
    Option("load_config", r"\{.*\}|.+\.json", "a JSON object of OpenVINO's properties for each device, or its file"),
    Option("enable_qdq_optimizer", *FLAG),
    Option("disable_dynamic_shapes", *FLAG),
    Option("enable_opencl_throttling", *FLAG),
    Option("enable_causallm", *FLAG),
    Option("reshape_input", r".+\[.+\].*", "name[1,3,224,224]"),
    Option("layout", r".+\[.+\].*", "name[NCHW]"),
    Option("model_priority", "LOW|MEDIUM|HIGH|DEFAULT", "LOW, MEDIUM, HIGH or DEFAULT"),
    Option("device_luid", ".+", "the identifiers of devices"),
)


def options_of(flags: str, whole: str, texts: str) -> tuple[Option, ...]:
    """Options by kind, each a text of names."""
    return (
        *(Option(name, *FLAG) for name in flags.split()),
        *(Option(name, *WHOLE) for name in whole.split()),
        *(Option(name) for name in texts.split()),
    )


CUDA = options_of(
    "do_copy_in_default_stream cudnn_conv_use_max_workspace cudnn_conv1d_pad_to_nc1d enable_cuda_graph use_tf32 "
    "prefer_nhwc tunable_op_enable tunable_op_tuning_enable enable_skip_layer_norm_strict_mode fuse_conv_bias "
    "use_ep_level_unified_stream has_user_compute_stream",
    "device_id gpu_mem_limit tunable_op_max_tuning_duration_ms sdpa_kernel user_compute_stream",
    "arena_extend_strategy cudnn_conv_algo_search gpu_external_alloc gpu_external_free gpu_external_empty_cache",
)
TENSORRT = options_of(
    "has_user_compute_stream trt_fp16_enable trt_bf16_enable trt_int8_enable trt_int8_use_native_calibration_table "
    "trt_dla_enable trt_dump_subgraphs trt_engine_cache_enable trt_timing_cache_enable trt_force_timing_cache "
    "trt_detailed_build_log trt_build_heuristics_enable trt_context_memory_sharing_enable trt_sparsity_enable "
    "trt_layer_norm_fp32_fallback trt_engine_decryption_enable trt_force_sequential_engine_build "
    "trt_cuda_graph_enable trt_weight_stripped_engine_enable trt_dump_ep_context_model trt_engine_hw_compatible",
    "device_id trt_max_partition_iterations trt_min_subgraph_size trt_max_workspace_size trt_dla_core "
    "trt_builder_optimization_level trt_auxiliary_streams trt_ep_context_embed_mode user_compute_stream",
    "trt_int8_calibration_table_name trt_engine_cache_path trt_engine_cache_prefix trt_timing_cache_path "
    "trt_engine_decryption_lib_path trt_tactic_sources trt_extra_plugin_lib_paths trt_profile_min_shapes "
    "trt_profile_max_shapes trt_profile_opt_shapes trt_ep_context_file_path trt_onnx_model_folder_path "
    "trt_preview_features trt_op_types_to_exclude",
)
MIGRAPHX = options_of(
    "migraphx_fp16_enable migraphx_bf16_enable migraphx_fp8_enable migraphx_int8_enable "
    "migraphx_use_native_calibration_table migraphx_exhaustive_tune",
    "device_id migraphx_mem_limit",
    "migraphx_int8_calibration_table_name migraphx_model_cache_dir migraphx_arena_extend_strategy",
)
# hls4ml's: the fixed-point type of values and weights, how often a multiplier is used again, and which board's tools.
EMULATION = (
    Option("precision", r"(ap_)?(u?fixed)<\d+,-?\d+.*>", "a fixed-point type such as fixed<16,6>"),
    Option("reuse_factor", "[1-9]\\d*", "a whole number from 1"),
    Option("backend", "Vitis|Vivado|VivadoAccelerator|Quartus|oneAPI", "a backend of hls4ml, such as Vitis"),
    Option("part", ".+", "a part's number, such as xcu250-figd2104-2L-e"),
    Option("clock_period", *WHOLE),
    Option("strategy", "(?i:latency|resource)", "latency or resource"),
    Option("cache_dir", ".+", "a folder"),
)

INTEL_DEVICES = {
    "GPU": Device("gpu.intel.com/i915", ("/dev/dri",)),
    "NPU": Device("npu.intel.com/accel", ("/dev/accel",)),
}
NVIDIA = Device("nvidia.com/gpu", driver="nvidia")
# Azure's FPGA machines (NP series) carry the Alveo U250; `kubectl describe node` shows the name on other clusters.
ALVEO = Device("amd.com/xilinx_u250_gen3x16_xdma_shell_4_1-0", ("/dev/dri", "/dev/xclmgmt"))

ACCELERATORS: dict[str, Accelerator] = {
    row.name: row
    for row in (
        Accelerator("cpu", "processor", (CPU,), "onnxruntime", "cpu"),
        Accelerator("cuda", "NVIDIA GPU", ("CUDAExecutionProvider", CPU), "onnxruntime-gpu", "cuda", NVIDIA, CUDA),
        Accelerator(
            "tensorrt",
            "NVIDIA GPU through TensorRT",
            ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU),
            "onnxruntime-gpu",
            "cuda",
            NVIDIA,
            TENSORRT,
        ),
        Accelerator(
            "openvino",
            "Intel processor, GPU or NPU",
            ("OpenVINOExecutionProvider", CPU),
            "onnxruntime-openvino",
            "openvino",
            options=OPENVINO,
            plugin="onnxruntime-ep-openvino",
        ),
        Accelerator(
            "migraphx",
            "AMD GPU",
            ("MIGraphXExecutionProvider", CPU),
            "onnxruntime-migraphx",
            "",
            Device("amd.com/gpu", ("/dev/kfd", "/dev/dri")),
            MIGRAPHX,
        ),
        Accelerator(
            "fpga",
            "AMD FPGA through Vitis AI",
            ("VitisAIExecutionProvider", CPU),
            "",
            "vitis-ai",
            ALVEO,
            VITIS_AI,
            policy="require",
            one_model=True,
            autoscale=False,
        ),
        Accelerator(
            "fpga-emulation",
            "emulation of an FPGA kernel on the processor, through hls4ml",
            ("HLS4MLEmulation",),
            "'scoring-runtime[fpga-emulation]'",
            "",
            options=EMULATION,
            policy="require",
            one_model=True,
            autoscale=False,
            emulated=True,
        ),
    )
}
ALIASES = {"gpu": "cuda", "nvidia": "cuda", "trt": "tensorrt", "rocm": "migraphx", "vitisai": "fpga", "none": "cpu"}


def accelerator(name: str) -> Accelerator:
    """The row by its name, an alias, or a provider's name; a provider without a row gets one of its own."""
    known = {plain(row.name): row for row in ACCELERATORS.values()}
    known |= {plain(alias): ACCELERATORS[row] for alias, row in ALIASES.items()}
    known |= {plain(row.providers[0]): row for row in reversed(ACCELERATORS.values())}
    found = known.get(plain(name))
    if found is not None:
        return found
    if re.fullmatch(r"\w+ExecutionProvider", name):
        return Accelerator(name, name.removesuffix("ExecutionProvider"), (name, CPU), "", "", options=None)
    if name.startswith(PLUGIN):
        package = name.removeprefix(PLUGIN).replace("_", "-")
        return Accelerator(name, f"the plugin {package}", (name, CPU), package, "", options=None, plugin=package)
    names = ", ".join(ACCELERATORS)
    raise SettingsError(
        SETTING, name, f"one of {names}, plugin:PACKAGE, or a provider such as XnnpackExecutionProvider"
    )


def parse_options(text: str) -> dict[str, Any]:
    """A JSON object, or name=value pairs between semicolons or commas; a value may have commas of its own."""
    text = text.strip()
    if not text:
        return {}
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise SettingsError(OPTIONS_SETTING, "***", "a JSON object or name=value;name=value", str(error)) from None
    pairs = [pair.partition("=") for pair in re.split(r";|,\s*(?=\w+\s*=)", text) if pair.strip()]
    broken = [name for name, equals, _ in pairs if not equals]
    if broken:
        expected = "a JSON object or name=value;name=value"
        raise SettingsError(OPTIONS_SETTING, broken[0], expected, "It has no equals sign.")
    return {name.strip(): value.strip() for name, _, value in pairs}
