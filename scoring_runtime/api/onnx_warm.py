"""The first run, before the first request: what a provider compiles or allocates late happens here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["warm", "zeros"]

DTYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "object"}
LARGEST = 1 << 28  # elements: a model with such an input is warmed by its script


def warm(session: Any, inputs: bool | Mapping[str, Any]) -> str:
    """Run once with these inputs, or with zeros in the shapes that the model tells; why not, where that fails.

    Inputs that the script gives are the script's word: what run() raises then is raised.
    """
    if inputs is False:
        return ""
    if isinstance(inputs, Mapping):
        session.run(None, dict(inputs))
        return ""
    try:
        session.run(None, {one.name: zeros(one.type, one.shape) for one in session.get_inputs()})
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        return f"zeros are no input of this model, give warm_up=inputs: {text}"
    return ""


def zeros(kind: str, shape: list[Any]) -> Any:
    """An array for an input such as "tensor(float)" and ["batch", 3, 224, 224]; what is free becomes 1."""
    import numpy

    if not kind.startswith("tensor("):
        raise TypeError(f"an input of type {kind}")
    inner = kind.removeprefix("tensor(").removesuffix(")")
    dims = [size if isinstance(size, int) and size > 0 else 1 for size in shape]
    if numpy.prod(dims, dtype=float) > LARGEST:
        raise ValueError(f"an input of shape {shape}")
    array = numpy.zeros(dims, dtype=DTYPES.get(inner, inner))
    return numpy.full(dims, "", dtype=object) if inner == "string" else array
