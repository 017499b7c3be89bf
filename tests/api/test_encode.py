"""JSON text: the same as json.dumps where that has an answer, and more types where it has none."""

import dataclasses
import datetime as dt
import decimal
import enum
import json
import logging
import math
import pathlib
import random
import struct
import uuid
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring_runtime.api import encode
from scoring_runtime.api.encode import allow_nan_by_default, to_json

KEYS = st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(KEYS, inner, max_size=5) | st.tuples(inner, inner),
    max_leaves=40,
)


@pytest.fixture(autouse=True)
def fresh_policy(monkeypatch):
    monkeypatch.setattr(encode, "policy", {"allow_nan": False, "warned": False})


@given(VALUES)
@settings(deadline=None, max_examples=150)
def test_text_is_that_of_json_dumps(value):
    assert to_json(value) == json.dumps(value).encode()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), min_size=16))
@settings(deadline=None, max_examples=150)
def test_long_lists_of_numbers_are_spelled_as_json_dumps_spells_them(values):
    assert to_json(values) == json.dumps(values).encode()


def test_numbers_of_every_magnitude_are_spelled_as_json_dumps_spells_them():
    picks = random.Random(1)
    values = [picks.uniform(-1, 1) * 10 ** picks.randint(-9, 21) for _ in range(5000)]
    values += [round(value, picks.randint(0, 9)) for value in values]
    bits = (struct.unpack("d", picks.randbytes(8))[0] for _ in range(5000))
    values += [value for value in bits if math.isfinite(value)]
    values += [1e-5, -1e-5, 9.9e-5, 1e-4, 10.00001, 1e15, 1e16, 1e17, 5e-324, -0.0, 2**63, -(2**63)]
    assert to_json(values) == json.dumps(values).encode()


@pytest.mark.parametrize(
    "value",
    [
        [[1.5] * 20, [0.00001, 2.0]],
        [*range(20), 2**70],
        [*range(20), "a,b"],
        [*range(20), None],
        [*range(20), True],
        [*range(20), {}],
        [*range(20), {"a": 1}],
        [[], *range(20)],
        [np.float64(1.5)] * 20,
        {"predictions": [0.25] * 20, "note": "a, b", "é": None},
        {"mixed": ["a"] * 20},
        {1: [0.25] * 20},
        "\ud800",
        {"a": "\ud800"},
    ],
    ids=repr,
)
def test_what_orjson_would_write_otherwise_is_left_to_json_dumps(value):
    assert to_json(value) == json.dumps(value).encode()


def test_another_version_of_orjson_may_write_exponents_without_sign():
    assert encode.EXPONENT.sub(encode.signed_exponent, b"[1e16,1.5e-7,5e-324,2e+22]") == b"[1e+16,1.5e-07,5e-324,2e+22]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, {"a": 2}], b'[1,{"a":2}]'),
        ([1] * 20, b"[" + b",".join([b"1"] * 20) + b"]"),
        ({"a": [1] * 20}, b'{"a":[' + b",".join([b"1"] * 20) + b"]}"),
    ],
)
def test_compact_text_has_no_spaces(value, text):
    assert to_json(value, compact=True) == text


class Color(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Result:
    label: str
    score: object


UTC = dt.timezone.utc


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.arange(3), [0, 1, 2]),
        (np.array([[1.5, math.nan]]), [[1.5, None]]),
        (np.array([math.inf]), [None]),
        (np.array(3.0), 3.0),
        (np.float32(0.1), 0.1),
        (np.array([0.1], "f4"), [0.1]),
        (np.array([1], ">i4"), [1]),
        (np.array([[1, 2], [3, 4]]).T, [[1, 3], [2, 4]]),
        (np.array([np.longdouble(2)]), [2.0]),
        (np.int64(4), 4),
        (np.bool_(True), True),
        (np.array([True]), [True]),
        (np.array(["a"]), ["a"]),
        (np.array([b"x"]), ["eA=="]),
        (np.array([1, None], dtype=object), [1, None]),
        (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
        (np.array([(1, "a")], dtype=[("x", "i4"), ("y", "U3")]), [{"x": 1, "y": "a"}]),
        (np.array((1, "a"), dtype=[("x", "i4"), ("y", "U3")]), {"x": 1, "y": "a"}),
        (np.datetime64("2021-01-01"), "2021-01-01T00:00:00"),
        (np.datetime64("NaT"), None),
        (np.array(["2021-01-01T01:02:03", "NaT"], "M8[ns]"), ["2021-01-01T01:02:03", None]),
        (np.array("2021-01-01", "M8[s]"), "2021-01-01T00:00:00"),
        (np.timedelta64(90, "s"), "P0DT0H1M30S"),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Index(["a"]), ["a"]),
        (pd.DataFrame({"a": [1, 2], "b": [1.5, None]}), [{"a": 1, "b": 1.5}, {"a": 2, "b": None}]),
        (pd.DataFrame({3: [1], ("x", "y"): [2]}), [{"3": 1, "('x', 'y')": 2}]),
        (pd.DataFrame({"t": pd.to_datetime(["2021-01-01", None])}), [{"t": "2021-01-01T00:00:00"}, {"t": None}]),
        (pd.DataFrame(), []),
        (pd.Timestamp("2021-01-01", tz="UTC"), "2021-01-01T00:00:00+00:00"),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timedelta("1D"), "P1DT0H0M0S"),
        (pd.Period("2021-01"), "2021-01"),
        (dt.datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01T00:00:00+00:00"),
        (dt.date(2020, 1, 1), "2020-01-01"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=500), "P1DT2H3M4.5S"),
        (dt.timedelta(seconds=-1), "-P0DT0H0M1S"),
        (b"ab", "YWI="),
        (bytearray(b"ab"), "YWI="),
        (memoryview(b"ab"), "YWI="),
        ({1}, [1]),
        (frozenset([1]), [1]),
        (Color.RED, "red"),
        (Point(1, 2), [1, 2]),
        ([Point(1, 2), np.ones(1)], [[1, 2], [1.0]]),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.Path("/a"), "/a"),
        (Result("cat", np.arange(2)), {"label": "cat", "score": [0, 1]}),
        ([Result("cat", decimal.Decimal(1))], [{"label": "cat", "score": "1"}]),
        ({"scores": np.array([0.5]), "n": 10**30}, {"scores": [0.5], "n": 10**30}),
        ({1: np.array([0.5])}, {"1": [0.5]}),
        ({"k": ["\ud800", np.ones(1)]}, {"k": ["\ud800", [1.0]]}),
        ({np.int64(1): 2}, {"1": 2}),
        ({dt.date(2020, 1, 1): 1}, {"2020-01-01": 1}),
        ([math.inf, (1, [-math.inf])], [None, [1, [None]]]),
        ([math.nan, np.ones(1)], [None, [1.0]]),
        ([float("nan")] * 20, [None] * 20),
        ({"a": math.nan, "b": [1.5] * 20}, {"a": None, "b": [1.5] * 20}),
    ],
    ids=repr,
)
def test_values_of_libraries_are_written_as_their_plain_form(value, plain):
    assert json.loads(to_json(value)) == plain


def test_nan_is_written_as_such_where_it_is_allowed():
    assert to_json([math.nan, -math.inf], allow_nan=True) == b"[NaN, -Infinity]"
    assert to_json(np.array([math.nan]), allow_nan=True) == b"[NaN]"
    assert to_json({"a": np.array([1.5])}, allow_nan=True) == b'{"a": [1.5]}'


def test_the_default_for_nan_is_decided_once():
    allow_nan_by_default(True)
    assert to_json(math.nan) == b"NaN"
    assert to_json(math.nan, allow_nan=False) == b"null"


@pytest.mark.parametrize("value", [[math.nan], np.array([math.nan])], ids=["list", "array"])
def test_nan_is_warned_of_once_in_a_process(value, caplog):
    with caplog.at_level(logging.WARNING, "azmlinfsrv"):
        to_json(value)
        to_json(value)
    assert [record.name for record in caplog.records] == ["azmlinfsrv"]
    assert "null" in caplog.text


@pytest.mark.parametrize("value", [object(), (n for n in ()), {(1, 2): 3}, 1j, np.array([1j]), [np.ones(1), object()]])
def test_what_has_no_json_form_raises_and_names_the_type(value):
    with pytest.raises(TypeError, match=r"object|generator|tuple|complex"):
        to_json(value)


@pytest.mark.parametrize("value", [np.complex64(1), np.void(b"ab")])
def test_numpy_scalars_without_a_json_form_raise(value):
    with pytest.raises(TypeError, match="numpy"):
        to_json(value)


@pytest.mark.parametrize("allow_nan", [True, False])
@pytest.mark.parametrize("inside", ["list", "dict", "with array"])
def test_a_value_that_contains_itself_raises(inside, allow_nan):
    value: list = []
    value.append({"list": value, "dict": {"a": value}, "with array": [value, np.ones(1)]}[inside])
    with pytest.raises((ValueError, RecursionError)):
        to_json(value, allow_nan=allow_nan)


def test_a_spark_data_frame_becomes_records():
    class Row(tuple):
        def asDict(self, recursive=False):  # noqa: N802
            return {"id": self[0], "x": self[1]}

    class DataFrame:  # as much of Spark's as is looked at; the real one: tests/batch/test_spark_schema.py
        def toPandas(self):  # noqa: N802
            raise AssertionError("needs pandas on the server")

        def collect(self):
            return [Row((1, 0.5)), Row((2, None))]

    assert json.loads(to_json(DataFrame())) == [{"id": 1, "x": 0.5}, {"id": 2, "x": None}]
