"""A session whose run() goes through an emulated kernel; it has what a score.py uses of InferenceSession."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoring_runtime.emulation.kernel import PROVIDER, build, kernel_folder

__all__ = ["EmulatedSession", "Tensor"]

DESCRIPTION = "kernel.json"  # written last: a folder that has it is whole


@dataclass(frozen=True)
class Tensor:
    """An input or an output, as get_inputs() tells it."""

    name: str
    shape: list[int | str]
    type: str = "tensor(float)"


class EmulatedSession:
    """An FPGA kernel's bit-accurate C simulation. It computes on the processor: its times say nothing of a board."""

    def __init__(self, kernel: Mapping[str, Any]) -> None:
        self.kernel = kernel
        self.nodes: int = kernel["nodes"]
        self.inputs = [Tensor(one["name"], ["batch", *one["shape"]]) for one in kernel["inputs"]]
        self.outputs = [Tensor(one["name"], ["batch", *one["shape"]]) for one in kernel["outputs"]]
        function = getattr(ctypes.CDLL(kernel["library"]), kernel["function"])
        function.restype = None
        function.argtypes = [ctypes.c_void_p] * (len(self.inputs) + len(self.outputs))
        self.function = function

    def __repr__(self) -> str:
        return f"<EmulatedSession {self.kernel['precision']}, {self.nodes} nodes, hls4ml {self.kernel['hls4ml']}>"

    @classmethod
    def open(cls, model: str | bytes, options: Mapping[str, str], cache: str) -> EmulatedSession:
        """From the cache if it is there, else compiled into it; one process at a time. Raises AcceleratorError."""
        folder = kernel_folder(model, options, cache)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        description = os.path.join(folder, DESCRIPTION)
        with open(os.path.join(folder, ".lock"), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kernel = known(description)
            if kernel is None:
                kernel = build(model, options, folder)
                with open(description + ".tmp", "w", encoding="utf-8") as file:
                    json.dump(kernel, file)
                os.replace(description + ".tmp", description)
        return cls(kernel)

    def get_providers(self) -> list[str]:
        return [PROVIDER]

    def get_inputs(self) -> list[Tensor]:
        return self.inputs

    def get_outputs(self) -> list[Tensor]:
        return self.outputs

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: object = None
    ) -> list[Any]:
        """The named outputs (all, if none is named) for arrays whose first dimension is the batch."""
        import numpy

        names = [one.name for one in self.outputs] if not output_names else list(output_names)
        unknown = sorted({*names} - {one.name for one in self.outputs})
        if unknown:
            raise ValueError(
                f"Invalid output name: {unknown[0]}. The outputs are {[one.name for one in self.outputs]}."
            )
        given = [contiguous(one, input_feed) for one in self.inputs]
        count = len(given[0])
        results = [numpy.empty((count, *one["shape"]), dtype=numpy.float32) for one in self.kernel["outputs"]]
        for n in range(count):  # the kernel takes one item at a time, as on the board
            self.function(*(array[n].ctypes.data for array in (*given, *results)))
        found = dict(zip((one.name for one in self.outputs), results, strict=True))
        return [found[name] for name in names]


def known(description: str) -> dict[str, Any] | None:
    """What was compiled before, unless the folder has moved since: the kernel finds its weights by their path."""
    try:
        with open(description, encoding="utf-8") as file:
            kernel: dict[str, Any] = json.load(file)
    except (OSError, ValueError):
        return None
    here = kernel["library"].startswith(os.path.dirname(description)) and os.path.isfile(kernel["library"])
    return kernel if here else None


def contiguous(tensor: Tensor, feed: Mapping[str, Any]) -> Any:
    import numpy

    if tensor.name not in feed:
        raise ValueError(f"Required inputs (['{tensor.name}']) are missing from input feed {sorted(feed)}.")
    array = numpy.ascontiguousarray(feed[tensor.name], dtype=numpy.float32)
    if list(array.shape[1:]) != tensor.shape[1:]:
        raise ValueError(f"Got invalid dimensions for input {tensor.name}: {array.shape}, expected {tensor.shape}.")
    return array
