from __future__ import annotations

import json
import warnings
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType

from scoring_runtime.errors import BadInput

bounded = settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

DTYPES = ["f8", "f4", "f2", ">f8", "i8", "i4", "i1", "u1", "u8", "?", "U3", "O"]

integers = st.one_of(
    st.integers(-5, 5), st.integers(-(2**65), 2**65), st.sampled_from([2**53 + 1, 2**63, 2**64 - 1, -(2**63), 255, 256])
)
numbers = st.one_of(integers, st.floats(allow_nan=False, allow_infinity=False), st.just(-0.0))
anything = st.one_of(
    numbers, st.none(), st.booleans(), st.sampled_from(["1.5", "x", ""]), st.lists(numbers, max_size=2)
)


@st.composite
def arrays(draw: Any) -> Any:
    """Mostly rectangular arrays, of one kind of element or of many."""
    element = draw(st.sampled_from([numbers, integers, st.integers(0, 9), st.floats(-9, 9), anything]))
    rows, columns = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    depth = draw(st.sampled_from([1, 2, 2, 2, 3]))
    if depth == 1:
        return draw(st.lists(element, min_size=rows, max_size=rows))
    row = st.lists(element, min_size=columns, max_size=columns)
    row = st.one_of(row, st.lists(element, max_size=3)) if draw(st.integers(0, 5)) == 0 else row
    if depth == 3:
        row = st.lists(row, min_size=2, max_size=2)
    return draw(st.lists(row, min_size=rows, max_size=rows))


def outcome(convert: Any, value: Any) -> Any:
    """dtype, shape and bytes of what comes out, or "refused"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            array = convert(value)
        except Exception:
            return "refused"
    content = array.tolist() if array.dtype.kind == "O" else array.tobytes()
    return array.dtype, array.shape, content, array.flags.owndata, array.flags.writeable


@bounded
@given(
    value=arrays(),
    dtype=st.sampled_from(DTYPES),
    shape=st.sampled_from([(1,), (1, 1), (2, 2), (1, 3), (1, 2, 2), (1, 1, 1)]),
    types=st.booleans(),
    enforce_shape=st.booleans(),
)
def test_every_body_converts_as_json_and_numpy_do(
    convert: Any, value: Any, dtype: str, shape: Any, types: bool, enforce_shape: bool
) -> None:
    param_type = NumpyParameterType(numpy.zeros(shape, dtype), types, enforce_shape)
    body = json.dumps({"data": value}).encode()
    expected = outcome(lambda body: param_type.deserialize_input(json.loads(body)["data"]), body)
    assert outcome(lambda body: convert(param_type, body), body) == expected


@bounded
@given(value=arrays(), dtype=st.sampled_from(DTYPES), types=st.booleans())
def test_without_simdjson_every_body_converts_alike(
    convert: Any, no_simdjson: None, value: Any, dtype: str, types: bool
) -> None:
    param_type = NumpyParameterType(numpy.zeros((1, 2), dtype), types)
    body = json.dumps({"data": value}).encode()
    expected = outcome(lambda body: param_type.deserialize_input(json.loads(body)["data"]), body)
    assert outcome(lambda body: convert(param_type, body), body) == expected


@bounded
@given(
    text=st.sampled_from(
        ["1E5", "-0", "-0.0", "0.1e-400", "1e400", "NaN", "-Infinity", "12345678901234567890123", "1e23", "5e-324"]
        + ["9007199254740993", "0.30000000000000004", "2.2250738585072011e-308", "1.7976931348623157e308"]
    ),
    dtype=st.sampled_from(["f8", "f4", "i8", "u8"]),
)
def test_number_spellings_convert_as_pythons_float_does(convert: Any, text: str, dtype: str) -> None:
    param_type = NumpyParameterType(numpy.zeros(1, dtype))
    body = b'{"data": [' + text.encode() + b"]}"
    expected = outcome(lambda body: param_type.deserialize_input(json.loads(body)["data"]), body)
    assert outcome(lambda body: convert(param_type, body), body) == expected


@bounded
@given(value=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_floats_are_bit_exact(convert: Any, value: list[float]) -> None:
    converted = convert(NumpyParameterType(numpy.zeros(1)), value)
    assert converted.tobytes() == numpy.array(value).tobytes()


@pytest.mark.parametrize(
    "text",
    ["[[1, [2]], [3, 4]]", "[[[1], 2], [3, 4]]", "[[1, 2], [3, [4]]]", "[[1, []], [2, [3, 4]]]", "[[[1, 2]]]"],
)
def test_array_nested_in_a_row_is_not_flattened(refused: Any, text: str) -> None:
    body = b'{"data": ' + text.encode() + b"}"
    assert "/data/" in refused(NumpyParameterType(numpy.zeros((1, 2))), body)


def test_brackets_elsewhere_in_the_body_do_no_harm(convert: Any) -> None:
    body = b'{"note": "[[[", "data": [[1, 2]], "more": [[3]]}'
    assert convert(NumpyParameterType(numpy.zeros((1, 2))), body).tolist() == [[1, 2]]


def test_long_body_with_few_brackets_converts(convert: Any) -> None:
    value = [[float(n) / 3 for n in range(2000)]]
    assert convert(NumpyParameterType(numpy.zeros((1, 2000))), value).tolist() == value


@pytest.mark.parametrize("position", [0, 1999])
def test_array_hidden_in_a_long_row_is_found(refused: Any, position: int) -> None:
    row: list[Any] = [float(n) for n in range(2000)]
    row[position] = [1.5]
    assert f"/data/0/{position}" in refused(NumpyParameterType(numpy.zeros((1, 2000))), [row])


def test_escaped_names_are_found(convert: Any) -> None:
    assert convert(NumpyParameterType(numpy.zeros(1)), rb'{"d\u0061ta": [1]}').tolist() == [1]


def test_duplicate_keys_take_the_last(convert: Any) -> None:
    assert convert(NumpyParameterType(numpy.zeros(1)), b'{"data": [1], "data": [2]}').tolist() == [2]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_other_encodings_are_read(convert: Any, encoding: str) -> None:
    body = '{"data": [1.5]}'.encode(encoding)
    assert convert(NumpyParameterType(numpy.zeros(1)), body).tolist() == [1.5]


def test_bodies_larger_than_the_kept_parser_convert(convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoring_runtime.schemas.body.KEPT_BYTES", 4)
    assert convert(NumpyParameterType(numpy.zeros(1)), [1, 2]).tolist() == [1, 2]


def test_memoryview_body_converts(declare: Any) -> None:
    declared = declare(NumpyParameterType(numpy.zeros(1)))
    assert declared.convert(memoryview(b'{"data": [1]}'))["data"].tolist() == [1]


def test_memoryview_body_converts_without_simdjson(declare: Any, no_simdjson: None) -> None:
    declared = declare(NumpyParameterType(numpy.zeros(1)))
    assert declared.convert(memoryview(b'{"data": [1]}'))["data"].tolist() == [1]


def test_body_that_is_no_object_is_refused_without_simdjson(refused: Any, no_simdjson: None) -> None:
    assert refused(NumpyParameterType(numpy.zeros(1)), b"[1]") == "POST body should be a JSON dictionary."


@pytest.mark.parametrize("text", ["", "{", '{"data": [NaN]}', '{"data": [1e400]}'])
def test_what_orjson_refuses_json_decides(declare: Any, no_simdjson: None, text: str) -> None:
    declared = declare(NumpyParameterType(numpy.zeros(1)))
    if "data" in text:
        assert not numpy.isfinite(declared.convert(text.encode())["data"]).any()
    else:
        with pytest.raises(BadInput, match="POST body"):
            declared.convert(text.encode())


def test_parser_still_in_use_is_not_waited_for(declare: Any) -> None:
    from scoring_runtime.schemas.body import document_reader

    read = document_reader()
    first = read(b'{"a": [1]}')
    second = read(b'{"b": [2]}')
    assert (first["a"].as_list(), second["b"].as_list()) == ([1], [2])


def test_null_is_nan_for_floats(convert: Any) -> None:
    assert numpy.isnan(convert(NumpyParameterType(numpy.zeros(1)), [None, 1.0])).tolist() == [True, False]


def test_text_of_a_number_converts_for_floats(convert: Any) -> None:
    assert convert(NumpyParameterType(numpy.zeros(1)), ["1.5"]).tolist() == [1.5]


def test_defect_1_datetime64_ns_sample_is_served(convert: Any) -> None:
    sample = numpy.array(["2020-01-01T01:02:03.000000004"], dtype="datetime64[ns]")
    assert convert(NumpyParameterType(sample), ["2021-02-03T04:05:06"])[0] == numpy.datetime64("2021-02-03T04:05:06")


def test_defect_2_scalar_sample_takes_a_number(convert: Any) -> None:
    converted = convert(NumpyParameterType(numpy.array(1.5)), 2)
    assert (converted.shape, converted.dtype, converted.item()) == ((), numpy.float64, 2.0)


def test_defect_2_scalar_date_sample_takes_a_date(convert: Any) -> None:
    converted = convert(NumpyParameterType(numpy.array("2020-01-01", dtype="datetime64[D]")), "2021-02-03")
    assert converted == numpy.datetime64("2021-02-03")


def test_scalar_date_sample_refuses_an_array(refused: Any) -> None:
    message = refused(NumpyParameterType(numpy.array("2020-01-01", dtype="datetime64[D]")), ["2021-02-03"])
    assert "expected one value of datetime64[D] at /data, got an array of 1 item." in message


def test_what_is_no_json_value_is_named_by_its_type(declare: Any) -> None:
    with pytest.raises(BadInput, match="at /data, got a set"):
        declare(NumpyParameterType(numpy.zeros(1))).convert_values({"data": set()})


def test_scalar_sample_refuses_an_array(refused: Any) -> None:
    message = refused(NumpyParameterType(numpy.array(1.5)), [1.0, 2.0])
    assert message == (
        "The 'data' parameter: expected a number (float64) at /data, got an array of 2 items. "
        "Expected shape (), got (2,)."
    )


def test_defect_17_wrong_element_is_named_with_its_place(refused: Any) -> None:
    rows = [[0.0, 1.0], [2.0, 3.0], [4.0, "abc"]]
    assert refused(NumpyParameterType(numpy.zeros((1, 2))), rows) == (
        "The 'data' parameter: expected a number (float64) at /data/2/1, got the string 'abc'."
    )


def test_wrong_row_length_is_named_with_its_place(refused: Any) -> None:
    assert refused(NumpyParameterType(numpy.zeros((1, 2))), [[0.0, 1.0], [2.0]]) == (
        "The 'data' parameter: expected an array of 2 items at /data/1, got an array of 1 item."
    )


def test_wrong_shape_is_named_whole(refused: Any) -> None:
    assert refused(NumpyParameterType(numpy.zeros((1, 2))), [[0.0, 1.0, 2.0]]) == (
        "The 'data' parameter: expected an array of 2 items at /data/0, got an array of 3 items. "
        "Expected shape (any, 2), got (1, 3)."
    )


def test_missing_dimension_is_named(refused: Any) -> None:
    assert "expected an array of 2 items at /data/0, got the number 0.5" in refused(
        NumpyParameterType(numpy.zeros((1, 2))), [0.5, 1.5]
    )


def test_empty_array_for_two_dimensions_is_refused(refused: Any) -> None:
    assert "Expected shape (any, 2), got (0,)." in refused(NumpyParameterType(numpy.zeros((1, 2))), [])


def test_shape_is_free_where_the_script_says_so(convert: Any) -> None:
    param_type = NumpyParameterType(numpy.zeros((1, 2)), enforce_shape=False)
    assert convert(param_type, [[[1.0, 2.0, 3.0]]]).shape == (1, 1, 3)


def test_ragged_rows_are_refused_whatever_the_shape(refused: Any) -> None:
    param_type = NumpyParameterType(numpy.zeros((1, 2)), enforce_shape=False)
    assert "expected an array of float64 at /data, got an array of 2 items." in refused(param_type, [[1.0], [1.0, 2.0]])


def test_ragged_rows_are_refused_whatever_the_dtype(refused: Any) -> None:
    param_type = NumpyParameterType(numpy.zeros((1, 2)), enforce_column_type=False)
    assert "expected an array of shape (any, 2) at /data" in refused(param_type, [[1.0], [1.0, 2.0]])


def test_uniform_shape_is_checked_whatever_the_dtype(refused: Any) -> None:
    param_type = NumpyParameterType(numpy.zeros((1, 2)), enforce_column_type=False)
    assert "Expected shape (any, 2), got (1, 1)." in refused(param_type, [[1.0]])


def test_object_for_an_array_is_refused(refused: Any) -> None:
    assert refused(NumpyParameterType(numpy.zeros(1, "i4")), {"a": 1}) == (
        "The 'data' parameter: expected an array of int32 of shape (any,) at /data, got an object with 1 key."
    )


def test_integer_out_of_range_is_named(refused: Any) -> None:
    assert refused(NumpyParameterType(numpy.zeros(1, "u1")), [1, 256]) == (
        "The 'data' parameter: expected an integer (uint8) at /data/1, got the integer 256."
    )


def test_wrong_date_is_named_with_its_place(refused: Any) -> None:
    message = refused(NumpyParameterType(numpy.array(["2020-01-01"], "datetime64[D]")), ["2020-01-01", "soon"])
    assert "at /data/1, got the string 'soon'" in message


def test_wrong_member_of_a_structured_row_is_named(refused: Any) -> None:
    sample = numpy.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])
    assert "at /data/1, got an object with 1 key. KeyError: 'b'" in refused(
        NumpyParameterType(sample), [{"a": 1, "b": 2}, {"a": 1}]
    )


def test_structured_value_of_a_wrong_type_is_refused(refused: Any) -> None:
    sample = numpy.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])
    assert "at /data, got an array of 1 item" in refused(NumpyParameterType(sample), [{"a": 1, "b": "x"}])


def test_structured_rows_convert(convert: Any) -> None:
    sample = numpy.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])
    assert convert(NumpyParameterType(sample), [{"a": 1, "b": 2}, [3, 4.5]]).tolist() == [(1, 2.0), (3, 4.5)]


def test_list_is_left_as_it_was(declare: Any) -> None:
    value = ["2020-01-01"]
    declare(NumpyParameterType(numpy.array(["2020-01-01"], "datetime64[D]"))).convert_values({"data": value})
    assert value == ["2020-01-01"]


def test_ndarray_passes_as_it_is(declare: Any) -> None:
    array = numpy.zeros(3)
    assert declare(NumpyParameterType(numpy.zeros(1))).convert_values({"data": array})["data"] is array


def test_two_arrays_in_one_body_convert() -> None:
    from inference_schema.schema_decorators import input_schema

    from scoring_runtime import schemas

    @input_schema("a", NumpyParameterType(numpy.zeros((1, 2))))
    @input_schema("b", NumpyParameterType(numpy.zeros(1, "i8")))
    def run(a: Any, b: Any, note: str = "none") -> Any: ...

    declared = schemas.describe(run)
    assert declared is not None
    values = declared.convert(b'{"b": [3], "a": [[1, 2]]}')
    assert (values["a"].tolist(), values["b"].tolist(), values["note"]) == ([[1, 2]], [3], "none")
    with pytest.raises(BadInput, match="/b/0"):
        declared.convert(b'{"b": [[3]], "a": [[1, 2]]}')
