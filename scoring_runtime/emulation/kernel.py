"""Converts an ONNX model to a fixed-point kernel with hls4ml and compiles its C simulation, once a model."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from typing import Any

from scoring_runtime.errors import AcceleratorError

__all__ = ["PROVIDER", "build", "kernel_folder"]

PROVIDER = "HLS4MLEmulation"
PROJECT = "kernel"
INSTALL = "Run: pip install 'scoring-runtime[fpga-emulation]'; compiling also takes g++: apt-get install g++"
MODELS = "It takes small dense networks with one free dimension, the batch; quantise the model, or make it smaller."
DEFAULTS = {"precision": "fixed<16,6>", "reuse_factor": "1", "backend": "Vitis"}
# Options of ours and the arguments of hls4ml's converter.
ARGUMENTS = {"part": "part", "clock_period": "clock_period"}


def kernel_folder(model: str | bytes, options: Mapping[str, str], cache: str) -> str:
    """The folder of this model's kernel with these options: the same for the same, whoever asks."""
    digest = hashlib.sha256(json.dumps([DEFAULTS, sorted(chosen(options).items())]).encode())
    digest.update(read(model))
    return os.path.join(cache, f"{PROVIDER}-{digest.hexdigest()[:32]}")


def chosen(options: Mapping[str, str]) -> dict[str, str]:
    return {**DEFAULTS, **{name: value for name, value in options.items() if name != "cache_dir"}}


def read(model: str | bytes) -> bytes:
    if isinstance(model, bytes):
        return model
    with open(model, "rb") as file:
        return file.read()


def build(model: str | bytes, options: Mapping[str, str], folder: str) -> dict[str, Any]:
    """Convert and compile into the folder; what a session has to know of the kernel. Raises AcceleratorError."""
    try:
        import hls4ml
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.gemm_to_matmul import GemmToMatMul
        from qonnx.util.cleanup import cleanup_model
    except ModuleNotFoundError as error:
        raise refused(f"{error.name} is not installed", INSTALL) from None
    wanted = chosen(options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backend = wanted["backend"]
        try:
            original = ModelWrapper(read(model))
            names = [[one.name for one in tensors] for tensors in (original.graph.input, original.graph.output)]
            graph = cleanup_model(cleanup_model(original).transform(GemmToMatMul()))  # which gives tensors other names
            config = hls4ml.utils.config.config_from_onnx_model(
                graph, granularity="name", backend=backend, default_precision=wanted["precision"]
            )
            config["Model"]["ReuseFactor"] = int(wanted["reuse_factor"])
            config["Model"]["Strategy"] = wanted.get("strategy", config["Model"].get("Strategy", "Latency"))
            given = {name: wanted[option] for option, name in ARGUMENTS.items() if option in wanted}
            kernel = hls4ml.converters.convert_from_onnx_model(
                graph, output_dir=folder, project_name=PROJECT, backend=backend, hls_config=config, **given
            )
            kernel.compile()
        except Exception as error:
            text = " ".join(str(error).split())[:400]
            raise refused(
                f"hls4ml cannot make a kernel of this model: {type(error).__name__}: {text}", MODELS
            ) from error
    library = kernel.config.get_output_dir(), f"{PROJECT}-{kernel.config.get_config_value('Stamp')}.so"
    return {
        "library": os.path.join(library[0], "firmware", library[1]),
        "function": f"{PROJECT}_float",
        "inputs": described(graph, graph.graph.input, names[0]),
        "outputs": described(graph, graph.graph.output, names[1]),
        "nodes": len(graph.graph.node),
        "precision": wanted["precision"],
        "hls4ml": hls4ml.__version__,
    }


def refused(reason: str, fix: str) -> AcceleratorError:
    return AcceleratorError("fpga-emulation", "require", reason, fix)


def described(graph: Any, tensors: Any, names: list[str]) -> list[dict[str, Any]]:
    """Each tensor's name in the model and its shape without the batch."""
    shapes = [graph.get_tensor_shape(one.name)[1:] for one in tensors]
    return [{"name": name, "shape": [int(size) for size in shape]} for name, shape in zip(names, shapes, strict=True)]
