"""JSON numbers into an ndarray: the general path from Python lists, the fast one out of a parsed simdjson document.

Both give what numpy.array(json.loads(...), dtype) gives, bit for bit; the fast one answers None where it is not
certain of that (a null, a text, a float for an int column, a ragged row), and the general one then decides.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy

from scoring_runtime.schemas.misfit import Misfit

__all__ = ["NumpyInput"]

#: ndarray kinds whose elements are one JSON number each, and the simdjson buffer that holds them all exactly.
BUFFERS = {"f": "d", "i": "i", "u": "u"}
BUFFER_DTYPES = {"d": numpy.dtype("float64"), "i": numpy.dtype("int64"), "u": numpy.dtype("uint64")}
PLAIN_KINDS = "fiub"
JSON_WORDS = {"f": "a number", "i": "an integer", "u": "an integer", "b": "a boolean", "M": "a date", "U": "a string"}


class NumpyInput:
    """The conversion of one NumpyParameterType, decided from its sample."""

    def __init__(self, param_type: Any) -> None:
        self.dtype: Any = param_type.sample_input.dtype if param_type.enforce_column_type else None
        self.shape: tuple[int, ...] | None = param_type.sample_input.shape if param_type.enforce_shape else None
        self.is_scalar = param_type.sample_input.ndim == 0
        self.is_plain = self.dtype is None or (self.dtype.kind in PLAIN_KINDS and self.dtype.names is None)
        self.has_fast_path = not self.is_scalar and (
            self.dtype is None or (self.is_plain and self.dtype.kind in BUFFERS and self.dtype.itemsize <= 8)
        )
        self._deserialize = param_type.deserialize_input
        self._preprocess = param_type._preprocess_json_input

    def convert(self, value: Any) -> Any:
        if isinstance(value, numpy.ndarray):
            return value
        if not isinstance(value, list) and not self.is_scalar:
            raise Misfit(self._expected, value)
        try:
            return self._assembled(value)
        except Misfit:
            raise
        except Exception as error:
            raise self._explained(value, error) from error

    def _assembled(self, value: Any) -> Any:
        if not self.is_plain and not self.is_scalar:
            return self._deserialize(list(value))
        if self.is_plain:
            array = numpy.array(value, dtype=self.dtype)
        else:
            array = numpy.array(self._preprocess(value, self.dtype), dtype=self.dtype)
        if self.shape is not None and not (array.ndim == len(self.shape) and array.shape[1:] == self.shape[1:]):
            misfit = self._located(value, 0) if self.dtype is not None and self.is_plain else None
            reason = f"Expected shape {self._shape_text}, got {shape_text(array.shape)}."
            raise Misfit(self._expected, value, reason=reason) if misfit is None else misfit.because(reason)
        return array

    # -- fast: from a simdjson array --------------------------------------------------------------------------------

    def from_simdjson(self, array: Any) -> tuple[Any, int] | None:
        """The ndarray and how many "[" its text must hold, or None where only the general path knows the answer.

        The buffer flattens: a nested array in place of a number shows in the caller's count of "[", nowhere else.
        """
        try:
            flat = self._flat(array)
            found = self._shape_of(array)
        except (TypeError, ValueError):
            return None
        if flat is None or found is None:
            return None
        shape, items, brackets = found
        if not items or len(flat) != items:
            return None
        if self.dtype is not None and self.dtype.kind in "iu":
            limits = numpy.iinfo(self.dtype)
            if flat.min() < limits.min or flat.max() > limits.max:
                return None
        # Copied, so that the array owns its memory as the general path's does (ndarray.resize asks for it).
        return numpy.array(flat.reshape(shape), dtype=self.dtype), brackets

    def _flat(self, array: Any) -> Any:
        if self.dtype is not None:
            return _buffer(array, BUFFERS[self.dtype.kind])
        try:
            return _buffer(array, "i")
        except (TypeError, ValueError):
            pass
        try:
            _buffer(array, "u")
        except (TypeError, ValueError):
            return _buffer(array, "d")
        return None  # integers beyond int64: numpy's own promotion decides

    def _shape_of(self, array: Any) -> tuple[tuple[int, ...], int, int] | None:
        """The rectangular shape, how many items that is, and in how many arrays; None if it is not the sample's.

        Raises TypeError or ValueError if it is ragged.
        """
        items = len(array)
        sizes = [items]
        brackets = 1
        level = array
        for dimension in range(1, len(self.shape) if self.shape is not None else _depth(array)):
            if dimension > 1:
                level = list(chain.from_iterable(level))
            (size,) = set(map(len, level))
            if self.shape is not None and size != self.shape[dimension]:
                return None
            sizes.append(size)
            brackets += items
            items *= size
        return tuple(sizes), items, brackets

    # -- what was wrong ---------------------------------------------------------------------------------------------

    @property
    def _shape_text(self) -> str:
        return shape_text(("any", *self.shape[1:]) if self.shape else ())

    @property
    def _expected(self) -> str:
        kind = "" if self.dtype is None else f" of {self.dtype}"
        if self.shape is None:
            return f"an array{kind}"
        if not self.shape:
            return f"one value{kind}"
        return f"an array{kind} of shape {self._shape_text}"

    def _explained(self, value: Any, error: Exception) -> Misfit:
        if self.is_plain and self.dtype is not None:
            return self._located(value, 0) or Misfit(self._expected, value, reason=error)
        rows = value if isinstance(value, list) and not self.is_plain else ()
        for position, item in enumerate(rows):
            try:
                self._preprocess(item, self.dtype)
            except Exception as cause:
                return Misfit(f"a value of {self.dtype}", item, [position], f"{type(cause).__name__}: {cause}")
        return Misfit(self._expected, value, reason=error)

    def _located(self, value: Any, depth: int) -> Misfit | None:
        """The first place, in reading order, that does not fit the sample's dtype and shape."""
        dimensions = None if self.shape is None else len(self.shape)
        if not isinstance(value, list):
            if dimensions is not None and depth < dimensions:
                return Misfit(f"an array{self._size_at(depth)}", value)
            return None if self._fits(value) else Misfit(f"{self._word} ({self.dtype})", value)
        if depth == dimensions:
            return Misfit(f"{self._word} ({self.dtype})", value)
        if self.shape is not None and depth and len(value) != self.shape[depth]:
            return Misfit(f"an array{self._size_at(depth)}", value)
        if self._fits(value) and (dimensions is None or depth == dimensions - 1):
            return None
        for position, item in enumerate(value):
            misfit = self._located(item, depth + 1)
            if misfit is not None:
                return misfit.under(position)
        return None

    @property
    def _word(self) -> str:
        return JSON_WORDS[self.dtype.kind]

    def _size_at(self, depth: int) -> str:
        return f" of {self.shape[depth]} items" if self.shape is not None and depth else ""

    def _fits(self, value: Any) -> bool:
        try:
            return bool(numpy.array(value, dtype=self.dtype).ndim == (1 if isinstance(value, list) else 0))
        except Exception:
            return False


def shape_text(shape: tuple[object, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _buffer(array: Any, of_type: str) -> Any:
    return numpy.frombuffer(array.as_buffer(of_type=of_type), dtype=BUFFER_DTYPES[of_type])


def _depth(array: Any) -> int:
    depth = 1
    while len(array) and hasattr(array[0], "as_buffer"):
        array = array[0]
        depth += 1
    return depth
