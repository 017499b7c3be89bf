"""A request's JSON into run()'s keyword arguments: which way is decided once, at boot.

general     json.loads, then each parameter's converter
document    simdjson, where a parameter is an array of numbers or a table: numbers go from the parser's memory into
            the ndarray; whatever is not certain there takes the general way, with its answer or its error
orjson      where pysimdjson is not installed and every parameter is an array of numbers
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.errors import BadInput
from scoring_runtime.schemas.body import Document, document_reader, load
from scoring_runtime.schemas.misfit import Misfit
from scoring_runtime.schemas.values import plain_class

if TYPE_CHECKING:
    from scoring_runtime.schemas.declared import Declared

__all__ = ["Conversion"]

ABSENT: Any = inspect.Parameter.empty
#: From here on orjson reads an integer as a float.
EXACT_BELOW = 2.0**63
#: One bytes.find takes as long as bytes.count over so many bytes, measured with CPython 3.11.
BYTES_PER_FIND = 256


class Argument:
    """One parameter of run(): its name, its default, and what its value goes through."""

    def __init__(self, parameter: inspect.Parameter, declared: Declared) -> None:
        self.name = parameter.name
        self.default = parameter.default
        self._layers = declared.layers_of(self.name)
        self._steps = [(layer.convert, layer.optional) for layer in self._layers]
        self.array = self._array_input()
        self.is_table = any(plain_class(layer.param_type) == "PandasParameterType" for layer in self._layers)
        self.is_empty = not self._layers

    def converted(self, value: Any) -> Any:
        try:
            for convert, is_optional in self._steps:
                if not is_optional or _is_array(value) or value:
                    value = convert(value)
        except Misfit as misfit:
            raise misfit.refusal(self.name) from misfit.__cause__
        return value

    def omitted(self) -> Any:
        """The default, through the converter like any value; as Python would pass it where it does not convert."""
        if self.default is ABSENT:
            raise BadInput(f"A value is not provided for the {self.name!r} parameter.")
        if self.is_empty:
            return self.default
        try:
            return self.converted(copy.deepcopy(self.default))
        except BadInput:
            return self.default

    def _array_input(self) -> Any:
        if len(self._layers) != 1 or plain_class(self._layers[0].param_type) != "NumpyParameterType":
            return None
        from scoring_runtime.schemas.numpy_input import NumpyInput

        array = NumpyInput(self._layers[0].param_type)
        return array if array.has_fast_path else None


class Conversion:
    """Built at boot from what run() declares; both methods raise BadInput, which names parameter and place."""

    def __init__(self, declared: Declared) -> None:
        self._arguments = [Argument(parameter, declared) for parameter in declared.parameters]
        self.convert: Callable[[bytes | memoryview], dict[str, Any]] = self._chosen()

    def convert_values(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments from values that already are Python's: a GET's query, a batch's rows."""
        values = {}
        for argument in self._arguments:
            value = parsed.get(argument.name, ABSENT)
            values[argument.name] = argument.omitted() if value is ABSENT else argument.converted(value)
        return values

    def _chosen(self) -> Callable[[bytes | memoryview], dict[str, Any]]:
        arrays = [argument.array is not None for argument in self._arguments]
        if not any(arrays) and not any(argument.is_table for argument in self._arguments):
            return self._general
        read = document_reader()
        if read is not None:
            return lambda body: self._from_document(body if isinstance(body, bytes) else bytes(body), read)
        return self._from_orjson if all(arrays) else self._general

    def _general(self, body: bytes | memoryview) -> dict[str, Any]:
        return self.convert_values(load(body if isinstance(body, bytes) else bytes(body)))

    # -- simdjson ---------------------------------------------------------------------------------------------------

    def _from_document(self, body: bytes, read: Callable[[bytes], Document | None]) -> dict[str, Any]:
        document = read(body)
        if document is None:
            return self._general(body)
        values: dict[str, Any] = {}
        arrays: list[tuple[Argument, int]] = []
        expected = 0
        for argument in self._arguments:
            element = document.get(argument.name, ABSENT)
            if element is ABSENT:
                values[argument.name] = argument.omitted()
                continue
            found = None
            if argument.array is not None and hasattr(element, "as_buffer"):
                found = argument.array.from_simdjson(element)
            if found is None:
                values[argument.name] = argument.converted(_python(element))
            else:
                values[argument.name], brackets = found
                arrays.append((argument, brackets))
                expected += brackets
        if not _brackets_number(body, expected):
            self._check_flatness(document, arrays, values)
        return values

    def _check_flatness(self, document: Document, arrays: list[tuple[Argument, int]], values: dict[str, Any]) -> None:
        """simdjson's buffers flatten: [[1, [2]]] must not pass for [[1, 2]]."""
        for argument, brackets in arrays:
            element = document[argument.name]
            if element.mini.count(b"[") != brackets:
                values[argument.name] = argument.converted(_python(element))

    # -- orjson -----------------------------------------------------------------------------------------------------

    def _from_orjson(self, body: bytes | memoryview) -> dict[str, Any]:
        import orjson

        try:
            document = orjson.loads(body)
        except ValueError:
            return self._general(body)
        if not isinstance(document, dict):
            return self._general(body)
        try:
            values = self.convert_values(document)
        except BadInput:
            return self._general(body)
        return values if all(map(_is_exact, values.values())) else self._general(body)


def _brackets_number(body: bytes, expected: int) -> bool:
    """Whether body holds exactly so many "[". Few in a long body are found (memchr) faster than counted."""
    if expected * BYTES_PER_FIND > len(body):
        return body.count(b"[") == expected
    position = -1
    for _ in range(expected):  # the parsed arrays have at least so many
        position = body.find(b"[", position + 1)
    return body.find(b"[", position + 1) < 0


def _python(element: Any) -> Any:
    if hasattr(element, "as_buffer"):
        return element.as_list()
    return element.as_dict() if hasattr(element, "as_dict") else element


def _is_array(value: Any) -> bool:
    """An ndarray or a DataFrame of an outer layer, whose truth value is no question to ask."""
    return hasattr(value, "shape")


def _is_exact(array: Any) -> bool:
    """Whether no element can have been an integer that orjson had to round."""
    return array.dtype.kind in "fiu" and bool((abs(array.astype("float64", copy=False)) < EXACT_BELOW).all())
