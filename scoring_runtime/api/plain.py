"""Values of libraries as values that JSON has: numbers, strings, lists, dicts.

Nothing is imported to find out: an array is known by its `dtype` and `tolist`, a DataFrame by its `columns`.
"""

from __future__ import annotations

import math
import sys
from typing import Any

__all__ = ["NotPlain", "extend", "is_array", "plain"]


class NotPlain(TypeError):
    """The value has no JSON form."""

    def __init__(self, value: object) -> None:
        kind = type(value)
        super().__init__(
            f"Object of type {kind.__name__} is not JSON serializable. Return numbers, strings, lists, dicts, arrays "
            f"or DataFrames, or an AMLResponse for anything else (got {kind.__module__}.{kind.__qualname__})."
        )


def is_array(value: Any) -> bool:
    """Whether this is an array, a tensor, a Series or a DataFrame, rather than one value."""
    kind = type(value)
    if hasattr(kind, "tolist") and hasattr(kind, "dtype"):
        return not scalar(value)
    return hasattr(kind, "columns") and hasattr(kind, "to_dict")


def scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def extend(value: Any) -> object:
    """The value one step nearer to JSON, as the `default` of an encoder has to give it."""
    kind = type(value)
    if is_array(value):
        return array(value)
    if scalar(value):
        return numpy_scalar(value)
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    if hasattr(kind, "toPandas") and hasattr(kind, "collect"):  # a Spark DataFrame
        return [row.asDict(recursive=True) for row in value.collect()]
    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return base64.b64encode(value).decode("ascii")
    if kind.__name__ in ("NaTType", "NAType"):
        return None
    if hasattr(kind, "isoformat"):  # dates, times, pandas timestamps and intervals of time
        return value.isoformat()
    if hasattr(kind, "total_seconds"):
        return duration(value)
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    if hasattr(kind, "__fspath__"):
        return value.__fspath__()
    if kind.__module__ in ("uuid", "decimal") or hasattr(kind, "start_time"):  # the last is a pandas Period
        return str(value)
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        return value.value
    raise NotPlain(value)


def array(value: Any) -> object:
    if hasattr(type(value), "columns"):
        return records(value)
    dtype = value.dtype
    if getattr(dtype, "names", None):
        return [extend(row) for row in value] if value.ndim else dict(zip(dtype.names, value.item(), strict=True))
    if getattr(dtype, "kind", "") in ("M", "m") and hasattr(value, "ravel"):
        # tolist() gives bare integers for nanoseconds, so each element is written on its own.
        return list(value) if value.ndim else extend(value[()])
    return value.tolist()


def records(frame: Any) -> list[dict[object, object]]:
    names = [name if isinstance(name, (str, int, float, bool)) else str(name) for name in frame.columns]
    columns = [frame.iloc[:, position].tolist() for position in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def numpy_scalar(value: Any) -> object:
    kind = value.dtype.kind
    if kind == "f":
        return float(str(value))  # 0.1 for a float32 0.1, as arrays are written
    if kind in ("M", "m"):
        moment = value.astype(f"{kind}8[us]").item()
        return None if moment is None else extend(moment)
    if kind == "V" and value.dtype.names:
        return {name: value[name] for name in value.dtype.names}
    if kind in ("V", "c"):
        raise NotPlain(value)
    return value.item()


def duration(value: Any) -> str:
    """ISO 8601, for example P1DT2H3M4.5S."""
    seconds = value.total_seconds()
    sign = "-" if seconds < 0 else ""
    span = abs(value)
    minutes, rest = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{span.microseconds:06d}".rstrip("0") if span.microseconds else ""
    return f"{sign}P{span.days}DT{hours}H{minutes}M{rest}{fraction}S"


def plain(value: Any, *, nan_is_null: bool) -> Any:
    """The whole value in plain types, keys included; the slow way, for what an encoder refused."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, float):
        return None if nan_is_null and not math.isfinite(value) else float(value)
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, dict):
        return {key(name): plain(item, nan_is_null=nan_is_null) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, nan_is_null=nan_is_null) for item in value]
    return plain(extend(value), nan_is_null=nan_is_null)


def key(name: Any) -> object:
    if name is None or isinstance(name, (str, int, float)):
        return name
    simple = extend(name)
    if simple is None or isinstance(simple, (str, int, float)):
        return simple
    raise TypeError(f"A key of a JSON object cannot be a {type(name).__name__}: {name!r}. Make it a string.")
