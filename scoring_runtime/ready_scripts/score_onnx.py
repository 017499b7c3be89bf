"""Serves an ONNX model, on the accelerator that there is.

{"x": [[1, 2]]}                                  ->  {"y": [[0.5]]}     by the names of inputs and outputs
{"data": [[1, 2]]} or {"input": [[1, 2]]}        ->  the same, if the model has one input
{"inputs": {"x": {"dims": ["1", "2"], "dataType": 1, "rawData": "<base64>"}}, "outputFilter": ["y"]}
                                                 ->  {"outputs": {"y": {"dims": ...}}}, as ONNX Runtime Server has it
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from scoring_runtime.api import open_session
from scoring_runtime.api.response import AMLResponse

__all__ = ["init", "run"]

# What ONNX Runtime calls an input's type; what a TensorProto's dataType says, and its field for such values.
NUMPY = {
    "tensor(float)": "f4",
    "tensor(double)": "f8",
    "tensor(float16)": "f2",
    "tensor(bool)": "?",
    **{f"tensor(int{bits})": f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": f"u{bits // 8}" for bits in (8, 16, 32, 64)},
    "tensor(string)": "O",
}
PROTO = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}
FIELDS = ("floatData", "int32Data", "int64Data", "doubleData", "uint64Data")

session: Any
inputs: dict[str, Any]


def init() -> None:
    global session, inputs
    session = open_session(model_file(os.environ["AZUREML_MODEL_DIR"]))
    inputs = {one.name: one for one in session.get_inputs()}


def run(raw_data: str) -> Any:
    try:
        request = json.loads(raw_data)
        if not isinstance(request, dict):
            raise ValueError(f"expected an object with the inputs {shown(inputs)}")
        if is_tensors(request.get("inputs")):
            return answer_tensors(request["inputs"], request.get("outputFilter"))
        return score({name: array(inputs[name], value) for name, value in named(request).items()})
    except ValueError as error:
        return AMLResponse(f"This request cannot be scored: {error}", 400)


def model_file(folder: str) -> str:
    """The one *.onnx; its weights may lie beside it."""
    paths = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
    models = [path for path in paths if path.endswith(".onnx")] or paths
    if len(models) != 1:
        raise FileNotFoundError(f"{folder}: expected one *.onnx, found {sorted(paths)}")
    return models[0]


def named(request: dict[str, Any]) -> dict[str, Any]:
    """The inputs by name; of a model with one input it may also be called data or input."""
    if len(inputs) == 1 and set(request) in ({"data"}, {"input"}, {"inputs"}) and not set(request) <= set(inputs):
        return dict(zip(inputs, request.values(), strict=True))
    unknown, missing = sorted(set(request) - set(inputs)), sorted(set(inputs) - set(request))
    if unknown or missing:
        raise ValueError(f"expected the inputs {shown(inputs)}, got {shown(request)}")
    return request


def shown(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def array(declared: Any, value: Any) -> Any:
    if declared.type not in NUMPY:
        raise ValueError(f"{declared.name}: a {declared.type} cannot be sent as JSON")
    try:
        result = np.array(value, dtype=NUMPY[declared.type])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{declared.name}: expected a {declared.type}: {error}") from None
    shape = declared.shape
    fixed = [(n, m) for n, m in zip(shape, result.shape, strict=False) if isinstance(n, int)]
    if result.ndim != len(shape) or any(n != m for n, m in fixed):
        raise ValueError(f"{declared.name}: expected the shape {shape}, got {list(result.shape)}")
    return result


def score(arrays: dict[str, Any], outputs: list[str] | None = None) -> dict[str, Any]:
    """Each output by its name: arrays, or for some classifiers one {class: probability} a row."""
    names = outputs or [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays), strict=True))


def is_tensors(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, dict) and "dataType" in one for one in value.values())


def answer_tensors(given: dict[str, Any], wanted: list[str] | None) -> dict[str, Any]:
    arrays = {name: array(inputs[name], from_proto(name, tensor)) for name, tensor in named(given).items()}
    known = [one.name for one in session.get_outputs()]
    if wanted and not set(wanted) <= set(known):
        raise ValueError(f"outputFilter: the outputs are {shown(known)}")
    return {"outputs": {name: to_proto(name, value) for name, value in score(arrays, wanted).items()}}


def from_proto(name: str, tensor: dict[str, Any]) -> Any:
    if tensor["dataType"] not in PROTO:
        raise ValueError(f"{name}: dataType {tensor['dataType']!r} is not one of {', '.join(map(str, PROTO))}")
    dtype, dims = np.dtype(PROTO[tensor["dataType"]]), [int(one) for one in tensor.get("dims", ())]
    if "rawData" in tensor:
        values = np.frombuffer(base64.b64decode(tensor["rawData"], validate=True), dtype.newbyteorder("<"))
    else:
        values = np.array(next((tensor[field] for field in FIELDS if field in tensor), []), dtype)
    return values.reshape(dims)


def to_proto(name: str, value: Any) -> dict[str, Any]:
    types = {np.dtype(dtype): number for number, dtype in PROTO.items()}
    if not isinstance(value, np.ndarray) or value.dtype not in types:
        raise ValueError(f'{name} is no tensor of numbers: name the inputs directly, without "inputs"')
    raw = base64.b64encode(value.astype(value.dtype.newbyteorder("<")).tobytes()).decode()
    return {"dims": [str(one) for one in value.shape], "dataType": types[value.dtype], "rawData": raw}
