"""What a run() declares through inference-schema: read from its own decorators, not from a registry of names."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scoring_runtime.errors import ScriptSignatureError
from scoring_runtime.schemas.conversion import Conversion
from scoring_runtime.schemas.layers import Layer, argument_names, chain, innermost, layer_of

__all__ = ["ALL_VERSIONS", "ANYTHING", "REQUEST_HEADERS", "Declared", "describe"]

REQUEST_HEADERS = "request_headers"
ALL_VERSIONS = ("2.0", "3.0", "3.1")
ANYTHING = {"type": "object"}


@dataclass(frozen=True)
class Declared:
    """A schema-decorated run(): what to call, with which arguments, and how each is converted first."""

    #: Call this with converted arguments. Innermost, unless the script put a decorator of its own around a schema:
    #: then that decorator sees what it would have seen, and layers beneath it convert for themselves.
    target: Callable[..., Any]
    #: run()'s parameters in order, without request_headers.
    parameters: tuple[inspect.Parameter, ...]
    takes_request_headers: bool
    #: The layers already peeled off around target, outermost first.
    peeled: tuple[Layer, ...]
    #: Every layer, outermost first, for the documents.
    layers: tuple[Layer, ...]
    #: The positional argument names of the user's own function, in order.
    names: tuple[str, ...]

    @cached_property
    def conversion(self) -> Conversion:
        return Conversion(self)

    @property
    def convert(self) -> Callable[[bytes | memoryview], dict[str, Any]]:
        """A JSON body into keyword arguments for target; fetch it once, at boot. Raises BadInput."""
        return self.conversion.convert

    @property
    def convert_values(self) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """The same from values that are Python's already: a query string's, a batch's."""
        return self.conversion.convert_values

    def layers_of(self, name: str) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.peeled if layer.name == name and layer.converts)

    @property
    def input_schema(self) -> dict[str, Any]:
        """ServiceInput: one property per argument, those without a declaration left open."""
        inputs = [layer for layer in reversed(self.layers) if layer.name is not None]
        if not inputs:
            return ANYTHING
        properties: dict[str, Any] = {name: {} for name in self.names}
        example: dict[str, Any] = dict.fromkeys(self.names, "")
        for layer in inputs:
            schema = dict(layer.schema)
            example[str(layer.name)] = schema.pop("example")
            properties[str(layer.name)] = schema
        return {"type": "object", "properties": properties, "example": example}

    @property
    def output_schema(self) -> dict[str, Any]:
        return next((layer.schema for layer in self.layers if layer.name is None), ANYTHING)

    @property
    def versions(self) -> tuple[str, ...]:
        """The swagger versions that can show it: of several inputs the outermost decides, as in inference-schema."""
        of_input = next((layer.versions for layer in self.layers if layer.name is not None), [])
        of_output = next((layer.versions for layer in self.layers if layer.name is None), [])
        if of_input and of_output:
            return tuple(sorted(set(of_input) & set(of_output)))
        return tuple(sorted(of_input or of_output or ALL_VERSIONS))


def describe(run: Callable[..., Any]) -> Declared | None:
    """What run declares; None if inference-schema's decorators are not on it.

    Raises ScriptSignatureError if a decorator names an argument that run() does not take.
    """
    if "inference_schema.schema_decorators" not in sys.modules:
        return None
    functions = list(chain(run))
    by_depth = [layer_of(function) for function in functions]
    layers = tuple(layer for layer in by_depth if layer is not None)
    if not layers:
        return None
    outermost = by_depth.index(None)  # the first that is no layer: the user's function, or a decorator of the script's
    peeled = layers[:outermost]
    signature = inspect.signature(run)
    for layer in peeled:
        if layer.converts and not layer.optional and layer.name not in signature.parameters:
            raise ScriptSignatureError(
                f"@input_schema declares the parameter {layer.name!r}, which run{signature} does not take: "
                "give both the same name."
            )
    return Declared(
        target=functions[outermost],
        parameters=tuple(each for name, each in signature.parameters.items() if name != REQUEST_HEADERS),
        takes_request_headers=REQUEST_HEADERS in signature.parameters,
        peeled=peeled,
        layers=layers,
        names=tuple(name for name in argument_names(innermost(run)) if name != REQUEST_HEADERS),
    )
