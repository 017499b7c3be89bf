"""The general path: StandardPythonParameterType, the script's own types, nesting, options."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy
import pandas
import pytest
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

from scoring_runtime.schemas.values import converter_for


class Custom(AbstractParameterType):
    """What a script may write itself."""

    def deserialize_input(self, input_data: Any) -> Any:
        if input_data == "bad":
            raise LookupError("no such thing as bad")
        return f"custom {input_data}"

    def input_to_swagger(self) -> dict[str, Any]:
        return {"type": "string", "example": "x"}


@pytest.mark.parametrize(
    ("sample", "value", "converted"),
    [
        (1, 2, 2),
        (1, 2**70, 2**70),
        (1.5, 2.5, 2.5),
        ("x", "y", "y"),
        (True, False, False),
        (b"x", "eHl6", b"xyz"),
        (bytearray(b"x"), "eHl6", bytearray(b"xyz")),
        (datetime.datetime(2020, 1, 1), "2021-02-03 04:05:06", datetime.datetime(2021, 2, 3, 4, 5, 6)),
        (datetime.time(1), "04:05:06", datetime.time(4, 5, 6)),
        ([1], ["anything", 5], ["anything", 5]),
        ((1, 2), [5], [5]),
        ({"a": 1}, {"a": {"b": None}}, {"a": {"b": None}}),
    ],
)
def test_python_values_convert_to_the_samples_type(convert: Any, sample: Any, value: Any, converted: Any) -> None:
    result = convert(StandardPythonParameterType(sample), value)
    assert (type(result), result) == (type(converted), converted)


@pytest.mark.parametrize(
    ("sample", "value", "message"),
    [
        (1, "5", "expected an integer at /data, got the string '5'."),
        (1, 1.0, "expected an integer at /data, got the number 1.0."),
        (1, None, "expected an integer at /data, got null."),
        (1.5, "x" * 99, "expected a number at /data, got a string of 99 characters."),
        (1.5, True, "expected a number at /data, got the boolean true."),
        ("x", 5, "expected a string at /data, got the integer 5."),
        (True, [1, 2], "expected a boolean at /data, got an array of 2 items."),
        (True, 10**50, "expected a boolean at /data, got an integer of many digits."),
        ([1], {"a": 1}, "expected an array at /data, got an object with 1 key."),
        ({"a": 1}, [1], "expected an object at /data, got an array of 1 item."),
    ],
)
def test_defect_17_wrong_python_values_are_named(refused: Any, sample: Any, value: Any, message: str) -> None:
    assert refused(StandardPythonParameterType(sample), value) == f"The 'data' parameter: {message}"


@pytest.mark.parametrize("sample", [b"x", datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.time(1)])
@pytest.mark.parametrize("value", [5, None, "=no=", ["x"]])
def test_wrong_texts_are_refused_with_a_reason(refused: Any, sample: Any, value: Any) -> None:
    assert "at /data, got" in refused(StandardPythonParameterType(sample), value)


def test_defect_5_date_converts(convert: Any) -> None:
    assert convert(StandardPythonParameterType(datetime.date(2020, 1, 1)), "2021-02-03") == datetime.date(2021, 2, 3)


def test_defect_7_members_of_a_plain_dict_sample_stay_unchecked(convert: Any) -> None:
    assert convert(StandardPythonParameterType({"a": 1}), {"zzz": 1}) == {"zzz": 1}


def test_defect_8_true_still_passes_for_an_integer(convert: Any) -> None:
    assert convert(StandardPythonParameterType(1), True) is True


def test_defect_8_an_integer_stays_one_where_a_number_is_expected(convert: Any) -> None:
    assert type(convert(StandardPythonParameterType(1.5), 2)) is int


def test_range_sample_is_refused(refused: Any) -> None:
    assert "at /data" in refused(StandardPythonParameterType(range(3)), [0, 1, 2])


def test_defect_14_types_nested_in_a_dict_convert(convert: Any) -> None:
    param_type = StandardPythonParameterType(
        {"n": NumpyParameterType(numpy.zeros(1)), "p": PandasParameterType(pandas.DataFrame({"a": [1]})), "plain": 1}
    )
    value = convert(param_type, {"n": [1.5], "p": [{"a": 5}], "plain": "as it is", "more": 1})
    assert value["n"].tolist() == [1.5]
    assert value["p"]["a"].tolist() == [5]
    assert (value["plain"], value["more"]) == ("as it is", 1)


def test_member_left_out_of_a_nested_dict_is_not_asked_for(convert: Any) -> None:
    assert convert(StandardPythonParameterType({"n": NumpyParameterType(numpy.zeros(1))}), {}) == {}


def test_types_nested_in_a_list_convert(convert: Any) -> None:
    value = convert(StandardPythonParameterType([NumpyParameterType(numpy.zeros(1))]), [[1.5], [2, 3]])
    assert [each.tolist() for each in value] == [[1.5], [2.0, 3.0]]


def test_place_inside_nested_types_is_named(refused: Any) -> None:
    inner = StandardPythonParameterType({"n/m": NumpyParameterType(numpy.zeros((1, 1)))})
    message = refused(StandardPythonParameterType([inner]), [{}, {"n/m": [[1], ["x"]]}])
    assert message == "The 'data' parameter: expected a number (float64) at /data/1/n~1m/1/0, got the string 'x'."


def test_power_bi_inputs_convert(convert: Any) -> None:
    param_type = StandardPythonParameterType({"WebServiceInput0": PandasParameterType(pandas.DataFrame({"a": [1]}))})
    frame = convert(param_type, {"WebServiceInput0": [{"a": 1}, {"a": 2}]})["WebServiceInput0"]
    assert frame["a"].tolist() == [1, 2]


def test_dict_given_is_left_as_it_was(declare: Any) -> None:
    value = {"n": [1.5]}
    declare(StandardPythonParameterType({"n": NumpyParameterType(numpy.zeros(1))})).convert_values({"data": value})
    assert value == {"n": [1.5]}


def test_custom_type_converts(convert: Any) -> None:
    assert convert(Custom(b"sample"), [1, 2]) == "custom [1, 2]"


def test_anything_with_a_conversion_is_converted() -> None:
    class Foreign:
        def __getattr__(self, name: str) -> Any:
            if name == "deserialize_input":
                return str
            raise AttributeError(name)

    assert converter_for(Foreign())(5) == "5"


def test_value_of_the_custom_samples_type_passes_as_it_is(convert: Any) -> None:
    assert convert(Custom("sample"), "text") == "text"


def test_custom_types_exception_is_the_reason(refused: Any) -> None:
    assert refused(Custom(b"sample"), "bad") == (
        "The 'data' parameter: expected what Custom takes at /data, got the string 'bad'. no such thing as bad"
    )


def test_custom_type_that_skips_its_base_converts(convert: Any) -> None:
    class Bare(Custom):
        def __init__(self) -> None:
            pass

    assert convert(Bare(), 5) == "custom 5"


def test_custom_type_with_a_dict_sample_gets_what_is_no_dict(convert: Any) -> None:
    assert convert(Custom({"a": 1}), 5) == "custom 5"


@pytest.mark.parametrize("base", [NumpyParameterType, PandasParameterType])
def test_subclass_with_a_conversion_of_its_own_is_asked(convert: Any, base: Any) -> None:
    class Own(base):  # type: ignore[misc]
        def deserialize_input(self, input_data: Any) -> Any:
            return ("own", input_data)

    sample = numpy.zeros(1) if base is NumpyParameterType else pandas.DataFrame({"a": [1]})
    assert convert(Own(sample), [5]) == ("own", [5])


def test_subclass_that_only_documents_converts_as_its_base(convert: Any) -> None:
    class Documented(NumpyParameterType):  # type: ignore[misc]
        def supported_versions(self) -> list[str]:
            return ["3.0"]

    assert convert(Documented(numpy.zeros(1)), [5]).tolist() == [5.0]


@pytest.mark.parametrize("value", [0, False, "", [], None])
def test_falsy_value_of_an_optional_parameter_passes_as_it_is(convert: Any, value: Any) -> None:
    assert convert(NumpyParameterType(numpy.zeros(1)), value, optional=True) == value


def test_value_of_an_optional_parameter_converts(convert: Any) -> None:
    assert convert(NumpyParameterType(numpy.zeros(1)), [1], optional=True).tolist() == [1.0]


def test_falsy_value_behind_the_simdjson_way_passes_as_it_is(convert: Any) -> None:
    assert convert(PandasParameterType(pandas.DataFrame({"a": [1]})), {}, optional=True) == {}


def test_value_without_conversion_passes_as_it_is(convert: Any) -> None:
    assert convert(NumpyParameterType(numpy.zeros(1)), "x", convert_to_provided_type=False) == "x"


def test_spark_rows_are_converted_by_sparks_own_type(convert: Any) -> None:
    """pyspark itself is not needed: any type of inference-schema with a class of its own goes the same way."""

    class Frame(list):  # type: ignore[type-arg]
        pass

    class SparkLike(AbstractParameterType):
        def deserialize_input(self, input_data: Any) -> Any:
            return Frame(input_data)

        def input_to_swagger(self) -> dict[str, Any]:
            return {"type": "array", "items": {"type": "object"}, "example": []}

    SparkLike.__module__ = "inference_schema.parameter_types.spark_parameter_type"
    assert type(convert(SparkLike(Frame()), json.loads("[1]"))) is Frame
