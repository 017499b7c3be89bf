"""Returns the value that the request names."""

import dataclasses
import datetime
import decimal
import enum
import json
import uuid

import numpy as np


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    name: str


class Plain:
    pass


def frame():
    import pandas as pd

    return pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def series():
    import pandas as pd

    return pd.Series([1, 2, 3])


def cyclic():
    items = []
    items.append(items)
    return items


def deep():
    value = 0
    for _ in range(100_000):
        value = [value]
    return value


def fail():
    raise ValueError("no such model")


async def coroutine():
    return {"awaited": True}


def generator():
    yield "a"
    yield "b"


RESULTS = {
    "dict": lambda: {"a": 1, "b": [1, 2, 3], "c": {"d": None}},
    "list": lambda: [1, 2.5, "x", True, False, None],
    "empty-dict": dict,
    "empty-list": list,
    "text": lambda: "hello",
    "empty-text": lambda: "",
    "json-text-is-encoded-again": lambda: json.dumps({"result": [1, 2]}),
    "non-ascii": lambda: {"é": "日本 😀"},
    "control-characters": lambda: '\x00\x1f\x7f\u2028"\\/',
    "lone-surrogate": lambda: "\ud800",
    "none": lambda: None,
    "none-inside": lambda: [None],
    "true": lambda: True,
    "zero": lambda: 0,
    "float": lambda: 0.1,
    "float-forms": lambda: [1e16, 1e-7, 1e22, 123456789.123456789, -0.0, 5e-324, 1.0],
    "big-integer": lambda: 2**70,
    "negative-big-integer": lambda: [-(2**64)],
    "tuple": lambda: (1, "x"),
    "tuple-with-status": lambda: ("x", 201),
    "nested-tuple": lambda: {"a": (1, (2,))},
    "integer-keys": lambda: {1: "a", 2: "b"},
    "mixed-scalar-keys": lambda: {True: 1, None: 2, 1.5: 3},
    "tuple-keys": lambda: {(1, 2): "a"},
    "int-enum": lambda: Level.HIGH,
    "numpy-float64": lambda: np.float64(1.5),
    "numpy-str": lambda: np.str_("s"),
    "numpy-float64-inside": lambda: {"p": [np.float64(0.1)]},
    "nan": lambda: float("nan"),
    "infinities": lambda: [float("inf"), float("-inf"), 1.5],
    "nan-inside": lambda: {"a": float("nan"), "b": 1},
    "numpy-nan": lambda: np.float64("nan"),
    "ndarray": lambda: np.array([1.5, 2.5]),
    "ndarray-2d": lambda: np.arange(4).reshape(2, 2),
    "ndarray-inside": lambda: {"result": np.array([1, 2])},
    "ndarray-bool": lambda: np.array([True, False]),
    "ndarray-0d": lambda: np.array(3),
    "numpy-int64": lambda: np.int64(7),
    "numpy-float32": lambda: np.float32(0.5),
    "numpy-bool": lambda: np.bool_(True),
    "numpy-int-inside": lambda: {"n": np.int32(5)},
    "data-frame": frame,
    "data-series": series,
    "datetime": lambda: datetime.datetime(2024, 1, 2, 3, 4, 5),
    "date": lambda: datetime.date(2024, 1, 2),
    "bytes": lambda: b"abc",
    "bytearray": lambda: bytearray(b"abc"),
    "dataclass": lambda: Point(1, "p"),
    "dataclass-inside": lambda: [Point(1, "p")],
    "set": lambda: {1},
    "complex": lambda: 1j,
    "enum": lambda: Colour.RED,
    "decimal": lambda: decimal.Decimal("1.5"),
    "uuid": lambda: uuid.UUID(int=1),
    "object": Plain,
    "class": lambda: Plain,
    "function": lambda: fail,
    "cyclic": cyclic,
    "too-deep": deep,
    "coroutine": coroutine,
    "generator": generator,
    "exception-object": lambda: ValueError("x"),
    "raises": fail,
    "raises-key-error": lambda: {}["missing"],
    "raises-assertion": lambda: (_ for _ in ()).throw(AssertionError()),
    "raises-recursion": lambda: deep_call(),
    "raises-stop-iteration": lambda: next(iter(())),
    "raises-memory-error": lambda: (_ for _ in ()).throw(MemoryError()),
    "raises-non-ascii": lambda: (_ for _ in ()).throw(RuntimeError("é\ud800")),
    "raises-timeout-error": lambda: (_ for _ in ()).throw(TimeoutError("upstream")),
    "raises-timeout-subclass": lambda: (_ for _ in ()).throw(Timeout("upstream")),
    "wrong-arguments": lambda: (lambda a: a)(),
}


class Timeout(TimeoutError):
    pass


def deep_call():
    return deep_call()


def init():
    pass


def run(data):
    return RESULTS[json.loads(data)]()
