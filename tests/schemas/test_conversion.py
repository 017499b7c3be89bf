"""Bodies as a whole: what is JSON, what is there, what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy
import pandas
import pytest
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

from scoring_runtime import schemas
from scoring_runtime.errors import BadInput

NUMBER = StandardPythonParameterType(1)
SAMPLES = {
    "general": NUMBER,
    "array": NumpyParameterType(numpy.zeros(1)),
    "table": PandasParameterType(pandas.DataFrame({"a": [1]})),
}


def declared(run: Callable[..., Any]) -> schemas.Declared:
    described = schemas.describe(run)
    assert described is not None
    return described


@pytest.fixture(params=sorted(SAMPLES))
def run_x(request: pytest.FixtureRequest) -> schemas.Declared:
    """A run(x) whose bodies go each of the ways."""

    @input_schema("x", SAMPLES[request.param])
    def run(x: Any) -> Any: ...

    return declared(run)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "POST body is empty. Expecting a JSON dictionary."),
        (b" ", "POST body could not be decoded as JSON: Expecting value: line 1 column 2 (char 1)"),
        (b'{"x": }', "POST body could not be decoded as JSON: Expecting value: line 1 column 7 (char 6)"),
        (b"[1]", "POST body should be a JSON dictionary."),
        (b"5", "POST body should be a JSON dictionary."),
        (b'"text"', "POST body should be a JSON dictionary."),
        (b"{}", "A value is not provided for the 'x' parameter."),
        (b'{"X": 1}', "A value is not provided for the 'x' parameter."),
    ],
)
def test_refusals_keep_the_texts_clients_match(run_x: schemas.Declared, body: bytes, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        run_x.convert(body)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": "\xff"}',
        b'{"x": ' + b"[" * 200_000,
        b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"x": ' + b"9" * 5_000 + b"}",
    ],
    ids=["no utf-8", "too deep, unfinished", "too deep", "too many digits"],
)
def test_bodies_that_python_cannot_read_are_bad_input(run_x: schemas.Declared, body: bytes) -> None:
    with pytest.raises(BadInput, match="POST body could not be decoded as JSON: "):
        run_x.convert(body)


def test_memoryview_is_a_body(run_x: schemas.Declared) -> None:
    with pytest.raises(BadInput, match="'x' parameter"):
        run_x.convert(memoryview(b"{}"))


def test_extra_keys_and_a_forged_request_headers_are_ignored() -> None:
    @input_schema("x", NUMBER)
    def run(x: int, request_headers: Any) -> Any: ...

    assert declared(run).convert(b'{"x": 1, "request_headers": {"A": "b"}, "y": 2}') == {"x": 1}


def test_undeclared_parameters_get_their_json_value() -> None:
    @input_schema("x", NUMBER)
    def run(x: int, y: Any) -> Any: ...

    assert declared(run).convert(b'{"x": 1, "y": {"z": [null]}}') == {"x": 1, "y": {"z": [None]}}


def test_undeclared_parameter_left_out_is_refused() -> None:
    @input_schema("x", NUMBER)
    def run(x: int, y: Any) -> Any: ...

    with pytest.raises(BadInput, match=r"^A value is not provided for the 'y' parameter\.$"):
        declared(run).convert(b'{"x": 1}')


def test_defect_9_defaults_stand_in_for_what_is_left_out() -> None:
    @input_schema("x", NUMBER)
    @input_schema("y", StandardPythonParameterType(1.5))
    def run(x: int = 1, y: float = 2.5, z: str = "plain") -> Any: ...

    assert declared(run).convert(b"{}") == {"x": 1, "y": 2.5, "z": "plain"}


def test_defaults_go_through_the_converter() -> None:
    @input_schema("x", SAMPLES["array"])
    def run(x: Any = [1, 2]) -> Any: ...  # noqa: B006

    converted = declared(run).convert(b"{}")["x"]
    assert (converted.dtype, converted.tolist()) == (numpy.float64, [1.0, 2.0])


def test_default_that_does_not_convert_is_passed_as_python_would() -> None:
    @input_schema("x", SAMPLES["array"])
    def run(x: Any = None) -> Any: ...

    assert declared(run).convert(b"{}") == {"x": None}


def test_default_is_left_as_it_was() -> None:
    default = [{"n": [1.0]}]

    @input_schema("x", StandardPythonParameterType([StandardPythonParameterType({"n": SAMPLES["array"]})]))
    def run(x: Any = default) -> Any: ...

    declared(run).convert(b"{}")
    assert default == [{"n": [1.0]}]


def test_null_is_not_left_out() -> None:
    @input_schema("x", NUMBER)
    def run(x: Any = 5) -> Any: ...

    with pytest.raises(BadInput, match="expected an integer at /x, got null"):
        declared(run).convert(b'{"x": null}')


def test_optional_parameter_without_default_is_asked_for() -> None:
    @input_schema("x", NUMBER, optional=True)
    def run(x: Any) -> Any: ...

    with pytest.raises(BadInput, match="A value is not provided"):
        declared(run).convert(b"{}")


def test_output_schema_alone_makes_arguments_of_the_body() -> None:
    @output_schema(NUMBER)
    def run(x: Any) -> Any: ...

    assert declared(run).convert(b'{"x": [1]}') == {"x": [1]}


def test_parameter_declared_twice_converts_from_the_outside_in() -> None:
    @input_schema("x", StandardPythonParameterType(b"x"))
    @input_schema("x", StandardPythonParameterType(b"x"))
    def run(x: Any) -> Any: ...

    assert declared(run).convert(b'{"x": "eHl6"}') == {"x": b"xyz"}


def test_optional_parameter_declared_twice_converts() -> None:
    @input_schema("x", SAMPLES["array"], optional=True)
    @input_schema("x", SAMPLES["array"], optional=True)
    def run(x: Any) -> Any: ...

    assert declared(run).convert(b'{"x": [1]}')["x"].tolist() == [1.0]


def test_values_of_a_query_convert_like_those_of_a_body() -> None:
    @input_schema("x", SAMPLES["array"])
    def run(x: Any, y: str = "d") -> Any: ...

    values = declared(run).convert_values({"x": [1, 2]})
    assert (values["x"].tolist(), values["y"]) == ([1.0, 2.0], "d")


def test_one_query_value_is_no_array() -> None:
    @input_schema("x", SAMPLES["array"])
    def run(x: Any) -> Any: ...

    with pytest.raises(BadInput, match="at /x, got the integer 1"):
        declared(run).convert_values({"x": 1})


def test_every_kind_of_element_leaves_simdjson_as_json_gives_it() -> None:
    @input_schema("x", SAMPLES["array"])
    def run(x: Any, y: Any, z: Any, s: Any) -> Any: ...

    body = {"x": [1], "y": {"a": [1, {"b": None}]}, "z": ["ü", 1.5, True, 2**63], "s": "text"}
    values = declared(run).convert(json.dumps(body).encode())
    assert {name: values[name] for name in "yzs"} == {name: body[name] for name in "yzs"}


def test_lone_surrogate_is_read_as_json_reads_it() -> None:
    @input_schema("x", SAMPLES["array"])
    def run(x: Any, s: str) -> Any: ...

    assert declared(run).convert(rb'{"x": [1], "s": "\ud800"}')["s"] == "\ud800"
