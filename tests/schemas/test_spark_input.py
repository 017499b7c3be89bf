"""A SparkParameterType's values, by types that name themselves as Spark's do; the real ones: test_spark_schema.py."""

from __future__ import annotations

import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from scoring_runtime.schemas.misfit import Misfit
from scoring_runtime.schemas.spark_input import SparkInput, reader_of


def spark_type(name: str, **more: Any) -> Any:
    return SimpleNamespace(typeName=lambda: name, **more)


def struct(**fields: Any) -> Any:
    return spark_type("struct", fields=[SimpleNamespace(name=n, dataType=kind) for n, kind in fields.items()])


LONG, DOUBLE, BYTE = spark_type("long"), spark_type("double"), spark_type("byte")
ROW = struct(id=LONG, tags=spark_type("array", elementType=BYTE), more=spark_type("map", valueType=DOUBLE))


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
    [
        (LONG, 5, 5),
        (LONG, None, None),
        (DOUBLE, 2, 2.0),
        (spark_type("boolean"), True, True),
        (spark_type("string"), "x", "x"),
        (spark_type("decimal"), 0.1, Decimal("0.1")),
        (spark_type("date"), "2020-02-03", datetime.date(2020, 2, 3)),
        (spark_type("timestamp"), "2020-02-03 04:05", datetime.datetime(2020, 2, 3, 4, 5)),
        (spark_type("binary"), "eHl6", bytearray(b"xyz")),
        (ROW, {"id": 1, "tags": [1, None], "more": {"k": 1}, "other": 0}, (1, [1, None], {"k": 1.0})),
    ],
)
def test_values_become_what_spark_takes(kind: Any, value: Any, converted: Any) -> None:
    result = reader_of(kind)(value)
    assert (type(result), result) == (type(converted), converted)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (BYTE, 128, "expected an integer of 8 bits at /data, got the integer 128."),
        (LONG, True, "expected an integer of 64 bits at /data, got the boolean true."),
        (DOUBLE, "1", "expected a number at /data, got the string '1'."),
        (spark_type("boolean"), 1, "expected a boolean at /data, got the integer 1."),
        (spark_type("decimal"), [1], "expected a decimal number at /data, got an array of 1 item."),
        (spark_type("date"), "soon", "expected a date at /data, got the string 'soon'. Unknown string format: soon"),
        (ROW, {"id": 1, "tags": [1, 2.5]}, "expected the column 'more' at /data, got an object with 2 keys."),
        (ROW, {"id": 1, "tags": [1, 2.5], "more": {}}, "expected an integer of 8 bits at /data/tags/1, got "),
        (ROW, {"id": 1, "tags": 5, "more": {}}, "expected an array at /data/tags, got the integer 5."),
        (ROW, {"id": 1, "tags": [], "more": {"k": ""}}, "expected a number at /data/more/k, got the string ''."),
        (ROW, {"id": 1, "tags": [], "more": []}, "expected an object at /data/more, got an array of 0 items."),
        (ROW, [1], "expected an object with id, tags, more at /data, got an array of 1 item."),
    ],
)
def test_a_misfit_is_named_with_its_place(kind: Any, value: Any, message: str) -> None:
    with pytest.raises(Misfit) as raised:
        reader_of(kind)(value)
    assert message in str(raised.value.refusal("data"))


def parameter(apply_sample_schema: bool, deserialize: Any = None) -> Any:
    sample = SimpleNamespace(schema=ROW)
    return SimpleNamespace(sample_input=sample, apply_sample_schema=apply_sample_schema, deserialize_input=deserialize)


def test_a_body_that_is_no_array_and_a_bad_row_are_refused_before_spark_is_asked() -> None:
    convert = SparkInput(parameter(True)).convert
    for value, place in (("x", "at /data, got the string"), ([{"id": 1.5}], "the column 'tags' at /data/0")):
        with pytest.raises(Misfit) as raised:
            convert(value)
        assert place in str(raised.value.refusal("data"))


def test_without_the_samples_schema_spark_decides_and_its_complaint_is_the_reason() -> None:
    assert SparkInput(parameter(False, len)).convert([1, 2]) == 2

    def refuse(value: Any) -> Any:
        raise ValueError("CANNOT_INFER_TYPE")

    with pytest.raises(Misfit, match="rows of the sample's schema") as raised:
        SparkInput(parameter(False, refuse)).convert([])
    assert raised.value.reason == "CANNOT_INFER_TYPE"


def test_a_data_frame_passes() -> None:
    frame = SimpleNamespace(sparkSession=None)
    assert SparkInput(parameter(True)).convert(frame) is frame
