"""Options of ONNX Runtime's providers: which there are, what each may be, in whatever spelling they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring_runtime.errors import SettingsError

__all__ = [
    "CUDA",
    "EMULATION",
    "MIGRAPHX",
    "OPENVINO",
    "OPTIONS_SETTING",
    "TENSORRT",
    "VITIS_AI",
    "Option",
    "check",
    "parse_options",
    "plain",
]

OPTIONS_SETTING = "SCORING_ACCELERATOR_OPTIONS"


@dataclass(frozen=True)
class Option:
    """An option of a provider, by its name of today; other spellings differ in case and underscores only."""

    name: str
    pattern: str = ".*"  # what its text must match
    expected: str = "a text"
    old: str = ""  # its name up to ONNX Runtime 1.17
    secret: bool = False


def check(owner: str, options: tuple[Option, ...] | None, given: Mapping[str, Any]) -> dict[str, str]:
    """The options under their names of today, values as text; SettingsError names the first that cannot be."""
    if options is None:
        return {name: text_of(value) for name, value in given.items()}
    known = {plain(option.name): option for option in options}
    result: dict[str, str] = {}
    for name, value in given.items():
        option = known.get(plain(name))
        if option is None:
            names = ", ".join(sorted(one.name for one in options)) or "none"
            raise SettingsError(OPTIONS_SETTING, name, f"an option of {owner}: {names}")
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
    names = [name.strip() for name, _, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SettingsError(OPTIONS_SETTING, twice[0], "each option once")
    return {name.strip(): value.strip() for name, _, value in pairs}


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
