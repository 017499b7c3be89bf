"""JSON records into a DataFrame: inference-schema's own conversion, and a way round its JSON round trip.

The general path is PandasParameterType.deserialize_input: json.dumps, pandas.read_json(dtype=False), astype. The fast
one makes the columns straight from the records. read_json's surprises (labels "1" become integers, columns named like
dates are converted) are not re-implemented: the first records with a new set of names are shown to read_json itself,
and only names it leaves alone get a Plan. The fast path answers None for anything else it is not sure of: a null, a
nested value, mixed types, a missing key. Floats are the ones Python's float() gives; read_json's own reader
drops what follows the fifteenth decimal.
"""

from __future__ import annotations

import json
from io import StringIO
from operator import itemgetter
from typing import Any

import numpy
import pandas

from scoring_runtime.schemas.misfit import Misfit

__all__ = ["PandasInput"]

#: A second in 2020: read_json takes it for a date in every column it looks for dates in.
DATE_LIKE = 1_600_000_000
PLANS_KEPT = 16
#: read_json tries labels and positions as dates from this number on.
ROWS_AT_MOST = 31_536_000

INT64, FLOAT64, BOOL, OBJECT = map(numpy.dtype, ("int64", "float64", "bool", "object"))
#: Kinds of dtypes between which numpy casts as pandas does, and sooner.
SAME_CASTS = {("i", "i"), ("i", "u"), ("i", "f"), ("f", "f")}
JSON_WORDS = {"i": "an integer", "u": "an integer", "f": "a number", "b": "a boolean"}
SCALARS = (str, int, float, bool, type(None))


class Plan:
    """How records with exactly these names become columns: decided once per set of names."""

    def __init__(self, names: tuple[str, ...], columns: Any, dtypes: list[Any] | None) -> None:
        self.columns = columns
        self.dtypes = dtypes or [None] * len(names)
        self._pick = itemgetter(*names)
        self._is_single = len(names) == 1

    def frame(self, records: list[dict[str, Any]]) -> Any:
        if set(map(len, records)) != {len(self.columns)}:
            return None
        values = [tuple(map(self._pick, records))] if self._is_single else zip(*map(self._pick, records), strict=True)
        return self.assembled(values, len(records))

    def assembled(self, values: Any, rows: int) -> Any:
        arrays = []
        for column, dtype in zip(values, self.dtypes, strict=True):
            array = _column(column, dtype)
            if array is None:
                return None
            # A bare array of objects would be inferred again, to strings in pandas 3.
            arrays.append(pandas.Series(array, dtype=OBJECT) if array.dtype == OBJECT else array)
        frame = pandas.DataFrame(dict(enumerate(arrays)), index=pandas.RangeIndex(rows), copy=True)
        frame.columns = self.columns
        return frame


class PandasInput:
    """The conversion of one PandasParameterType, decided from its sample."""

    def __init__(self, param_type: Any) -> None:
        self.orient: Any = param_type.orient
        self.sample = param_type.sample_input
        self.enforces_dtypes: bool = param_type.enforce_column_type
        self.enforces_shape: bool = param_type.enforce_shape
        self.has_fast_path = self.orient in ("records", "split", "values") and not param_type.apply_column_names
        self._deserialize = param_type.deserialize_input
        self._plans: dict[tuple[Any, ...], Plan | None] = {}

    def convert(self, value: Any) -> Any:
        if isinstance(value, pandas.DataFrame):
            return value
        if not isinstance(value, (list, dict)):
            raise Misfit(self._expected, value)
        if self.orient == "records" and isinstance(value, dict) and value and _is_flat(value):
            value = [value]
        frame = self._fast(value) if self.has_fast_path else None
        if frame is not None:
            return frame
        try:
            return self._deserialize(value)
        except Exception as error:
            raise self._explained(value, error) from error

    # -- fast -------------------------------------------------------------------------------------------------------

    def _fast(self, value: Any) -> Any:
        try:
            if self.orient == "records":
                return self._from_records(value)
            return self._from_split(value) if self.orient == "split" else self._from_values(value)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError):
            return None

    def _from_records(self, records: Any) -> Any:
        if not 0 < len(records) < ROWS_AT_MOST:
            return None
        plan = self._plan_for(tuple(records[0].keys()))
        return plan and plan.frame(records)

    def _from_split(self, value: Any) -> Any:
        columns, rows, index = value["columns"], value["data"], value.get("index")
        if not (value.keys() <= {"columns", "data", "index"} and 0 < len(rows) < ROWS_AT_MOST):
            return None
        if not (index is None or (index == list(range(len(rows))) and set(map(type, index)) == {int})):
            return None
        if set(map(type, columns)) != {str}:
            return None
        frame = self._from_rows(tuple(columns), rows)
        if frame is not None and index is not None:
            frame.index = pandas.Index(numpy.arange(len(rows), dtype=numpy.int64))
        return frame

    def _from_values(self, rows: Any) -> Any:
        return self._from_rows(None, rows) if 0 < len(rows) < ROWS_AT_MOST else None

    def _from_rows(self, names: tuple[str, ...] | None, rows: Any) -> Any:
        if set(map(type, rows)) != {list}:
            return None
        plan = self._plan_for(tuple(range(len(rows[0]))) if names is None else names)
        return plan and plan.assembled(zip(*rows, strict=True), len(rows))

    def _plan_for(self, names: tuple[Any, ...]) -> Plan | None:
        try:
            return self._plans[names]
        except KeyError:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            plan = self._plans[names] = self._planned(names)
            return plan

    def _planned(self, names: tuple[Any, ...]) -> Plan | None:
        if len(set(names)) != len(names) or not names or (self.enforces_shape and len(names) != self.sample.shape[1]):
            return None
        columns = self._as_read(names)
        if columns is None:
            return None
        if not self.enforces_dtypes:
            return Plan(names, columns, None)
        of_sample = self.sample.dtypes.to_dict()
        dtypes = [of_sample.get(label, OBJECT) for label in columns]
        return Plan(names, columns, dtypes) if all(map(_is_planned, dtypes)) else None

    def _as_read(self, names: tuple[Any, ...]) -> Any:
        """The column labels read_json makes of these names; None if it would take one of the columns for dates."""
        row = [DATE_LIKE] * len(names)
        document = {
            "records": [dict(zip(names, row, strict=True))],
            "split": {"columns": names, "data": [row]},
            "values": [row],
        }[self.orient]
        shown = pandas.read_json(StringIO(json.dumps(document)), orient=self.orient, dtype=False)
        return shown.columns if list(shown.dtypes) == [INT64] * len(names) else None

    # -- what was wrong ---------------------------------------------------------------------------------------------

    @property
    def _expected(self) -> str:
        columns = ", ".join(f"{name}: {dtype}" for name, dtype in self.sample.dtypes.items())
        return f"a table (orient={self.orient!r}) with the columns {columns}"

    def _explained(self, value: Any, error: Exception) -> Misfit:
        if self.orient == "records" and isinstance(value, list):
            for position, record in enumerate(value):
                misfit = self._misfit_of(record)
                if misfit is not None:
                    return misfit.under(position)
        return Misfit(self._expected, value, reason=error)

    def _misfit_of(self, record: Any) -> Misfit | None:
        if not isinstance(record, dict):
            return Misfit("an object", record)
        for name, dtype in self.sample.dtypes.items() if self.enforces_dtypes else ():
            kind = getattr(dtype, "kind", "O")
            cell = record.get(str(name))
            if kind not in JSON_WORDS or not isinstance(dtype, numpy.dtype) or _fits(cell, dtype):
                continue
            if str(name) not in record:
                return Misfit(f"a value for the column {str(name)!r} ({dtype})", record)
            return Misfit(f"{JSON_WORDS[kind]} ({dtype})", cell, [name])
        return None


def _column(values: tuple[Any, ...], dtype: Any) -> Any:
    """One column as read_json and astype would make it, or None."""
    array = _as_read(values, dtype)
    if array is None or dtype is None or array.dtype == dtype:
        return array
    if array.dtype == FLOAT64 and isinstance(dtype, (pandas.StringDtype, pandas.CategoricalDtype)):
        return None  # the text of a float is that of read_json's reading
    are_numpys = isinstance(array, numpy.ndarray) and isinstance(dtype, numpy.dtype)
    if are_numpys and (dtype == OBJECT or (array.dtype.kind, dtype.kind) in SAME_CASTS):
        return array.astype(dtype)
    return pandas.Series(array).astype(dtype)


def _as_read(values: tuple[Any, ...], dtype: Any) -> Any:
    """The column before astype: None for a null, a nested value or types that do not go together."""
    kinds = set(map(type, values))
    if kinds == {str}:
        if dtype == OBJECT:
            return numpy.array(values, dtype=OBJECT)
        return pandas.array(values, dtype=dtype) if isinstance(dtype, pandas.StringDtype) else pandas.Series(values)
    if kinds == {int}:
        return numpy.array(values, dtype=INT64)
    if kinds == {bool}:
        return numpy.array(values, dtype=BOOL)
    if kinds == {float} or kinds == {float, int}:
        array = numpy.array(values, dtype=FLOAT64)
        # Integers beyond int64 among floats make read_json's column one of objects.
        exact = len(kinds) == 1 or abs(array).max() < 2.0**63
        return array if exact and numpy.isfinite(array).all() else None
    return None


def _is_planned(dtype: Any) -> bool:
    """All but timedeltas, which inference-schema converts before astype."""
    return not str(dtype).startswith("timedelta")


def _is_flat(record: dict[str, Any]) -> bool:
    return all(isinstance(cell, SCALARS) for cell in record.values())


def _fits(cell: Any, dtype: Any) -> bool:
    if cell is None:
        return bool(dtype.kind == "f")
    try:
        pandas.Series([cell]).astype(dtype)
    except Exception:
        return False
    return True
