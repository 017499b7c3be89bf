"""Decides how an ONNX session is opened: providers with their options, threads, cache; opens nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scoring_runtime.accelerators import CPU, OPTIONS_SETTING, Accelerator
from scoring_runtime.errors import SettingsError

__all__ = ["SessionPlan", "cache_key", "intra_op_threads", "ladder", "plan_session"]

ALL_NODES = "require-all"  # the policy under which no node may be left to the processor
OPENVINO_PRECISIONS = {"FP32": "f32", "FP16": "f16"}


@dataclass(frozen=True)
class SessionPlan:
    """What InferenceSession is given."""

    providers: tuple[tuple[str, Mapping[str, str]], ...]
    threads: int
    config: Mapping[str, str] = field(default_factory=dict)  # session configuration entries
    environ: Mapping[str, str] = field(default_factory=dict)  # set unless they are
    cache: str = ""  # the folder of what the provider compiles


def plan_session(
    row: Accelerator, options: Mapping[str, Any], policy: str, threads: int, version: str, cache: str, key: str
) -> SessionPlan:
    """The plan for a row of the table; SettingsError where an option cannot be."""
    first = with_defaults(row, row.check(options), threads, cache, key)
    providers = [(row.providers[0], for_version(row, first, version))]
    providers += [(name, {} if name == CPU else shared(first)) for name in row.providers[1:]]
    config = {"session.record_ep_graph_assignment_info": "1"}
    if policy == ALL_NODES and row.providers[0] != CPU:
        # ONNX Runtime refuses this together with a CPU provider that is named.
        providers = [one for one in providers if one[0] != CPU]
        config["session.disable_cpu_ep_fallback"] = "1"
    environ = {"XLNX_ENABLE_CACHE": "1"} if row.name == "fpga" and cache else {}
    return SessionPlan(tuple(providers), threads, config, environ, cache if row.options else "")


def ladder(plan: SessionPlan) -> Iterator[SessionPlan]:
    """The plan, then the same without its first provider, and so on down to the processor."""
    yield plan
    config = {name: value for name, value in plan.config.items() if name != "session.disable_cpu_ep_fallback"}
    rest = [one for one in plan.providers[1:] if one[0] != CPU]
    for n in range(len(rest)):
        yield replace(plan, providers=(*rest[n:], (CPU, {})), config=config, environ={}, cache="")
    if plan.providers[0][0] != CPU:
        yield replace(plan, providers=((CPU, {}),), config=config, environ={}, cache="")


def with_defaults(row: Accelerator, given: dict[str, str], threads: int, cache: str, key: str) -> dict[str, str]:
    """What nobody has said: the cache, and threads where the provider has its own pool."""
    defaults: dict[str, str] = {}
    if row.name == "openvino":
        defaults = {"device_type": "CPU", "num_of_threads": str(threads)}
    if cache:
        folder = os.path.join(cache, key)
        defaults |= {
            "openvino": {"cache_dir": folder},
            "fpga": {"cache_dir": cache, "cache_key": key},
            "fpga-emulation": {"cache_dir": cache},
            "tensorrt": {
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "True",
                "trt_timing_cache_path": folder,
            },
            "migraphx": {"migraphx_model_cache_dir": folder},
        }.get(row.name, {})
    return {**defaults, **given}


def shared(options: Mapping[str, str]) -> dict[str, str]:
    """What a row's second provider takes from the first one's options: the device."""
    return {"device_id": options["device_id"]} if "device_id" in options else {}


def for_version(row: Accelerator, options: dict[str, str], version: str) -> dict[str, str]:
    """The options in the spelling of this ONNX Runtime."""
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if row.name == "openvino" and number >= (1, 23):
        return openvino_properties(options)
    old = {one.name: one.old for one in row.options or () if one.old}
    return {old.get(name, name) if number <= (1, 17) else name: value for name, value in options.items()}


def openvino_properties(options: dict[str, str]) -> dict[str, str]:
    """Precision, threads, streams and cache as properties of the device: from 1.23 on, options of these names warn."""
    rest = dict(options)
    device = rest.get("device_type", "CPU").partition(":")[0].partition(".")[0]
    precision, threads = rest.pop("precision", ""), rest.pop("num_of_threads", "")
    said = {"NUM_STREAMS": rest.pop("num_streams", ""), "CACHE_DIR": rest.pop("cache_dir", "")}
    said["INFERENCE_NUM_THREADS"] = threads if device == "CPU" else ""
    said["INFERENCE_PRECISION_HINT"] = OPENVINO_PRECISIONS.get(precision, "")
    said["EXECUTION_MODE_HINT"] = "ACCURACY" if precision == "ACCURACY" else ""
    properties = {name: value for name, value in said.items() if value}
    config = read_config(rest.pop("load_config", "{}"))
    if properties:
        config[device] = {**properties, **config.get(device, {})}
    if config:
        rest["load_config"] = json.dumps(config, sort_keys=True)
    return rest


def read_config(text: str) -> dict[str, Any]:
    """load_config is the object itself or the path of its file."""
    try:
        if not text.lstrip().startswith("{"):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        config = dict(json.loads(text))
        if not all(isinstance(properties, dict) for properties in config.values()):
            raise ValueError("Each device has an object of properties.")
        return config
    except (OSError, TypeError, ValueError) as error:
        name = f"{OPTIONS_SETTING}, load_config"
        raise SettingsError(
            name, text, "a JSON object of properties for each device, or its file", str(error)
        ) from None


def intra_op_threads(environ: Mapping[str, str], share: int) -> int:
    """The server sets ORT_NUM_THREADS to a worker's share; elsewhere it is this process's."""
    text = environ.get("ORT_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) else share


def cache_key(model: str | bytes, version: str, row: Accelerator, options: Mapping[str, Any]) -> str:
    """Of the model, the weights beside it, the provider, its options and ONNX Runtime: when one changes, so does it."""
    digest = hashlib.sha256(json.dumps([row.name, version, sorted(options.items())], default=str).encode())
    if isinstance(model, bytes):
        digest.update(model)
    else:
        for path in model_files(model):
            with open(path, "rb") as file:
                digest.update(os.path.basename(path).encode())
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()[:32]


def model_files(path: str) -> list[str]:
    """The model and the files beside it whose names begin with its own: model.onnx, model.onnx.data, model_w.bin."""
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    entries = os.scandir(folder or ".")
    with entries:
        return sorted(entry.path for entry in entries if entry.is_file() and entry.name.startswith(stem))
