"""What run() declares is read from its own layers, through any other decorator, whatever else is loaded."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from inference_schema import schema_util
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

from scoring_runtime import schemas
from scoring_runtime.errors import BadInput, ScriptSignatureError

TEXT = StandardPythonParameterType(b"x")
NUMBER = StandardPythonParameterType(1)


def declared(run: Callable[..., Any]) -> schemas.Declared:
    described = schemas.describe(run)
    assert described is not None
    return described


def tracing(calls: list[Any]) -> Callable[[Any], Any]:
    """A decorator of the script's own, which sees what it is called with."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append(kwargs)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def test_undecorated_run_declares_nothing() -> None:
    assert schemas.describe(lambda raw_data: raw_data) is None


def test_nothing_is_looked_at_while_inference_schema_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "inference_schema.schema_decorators")
    assert schemas.describe(input_schema("x", NUMBER)(lambda x: x)) is None


def test_target_is_the_users_own_function_behind_schema_layers() -> None:
    def run(x: Any) -> Any:
        return x

    assert declared(input_schema("x", NUMBER)(output_schema(NUMBER)(run))).target is run


def test_calling_the_target_gives_what_calling_run_gives() -> None:
    @input_schema("x", TEXT)
    @output_schema(TEXT)
    def run(x: Any) -> Any:
        return [x]

    described = declared(run)
    assert described.target(**described.convert(b'{"x": "eHl6"}')) == run(x="eHl6") == [b"xyz"]


def test_parameters_are_runs_own_without_request_headers() -> None:
    @input_schema("x", NUMBER)
    def run(x: Any, request_headers: Any, y: int = 5) -> Any: ...

    described = declared(run)
    assert [(each.name, each.default) for each in described.parameters][1] == ("y", 5)
    assert described.takes_request_headers


def test_outer_decorator_sees_raw_values_and_inner_layers_convert() -> None:
    calls: list[Any] = []

    @tracing(calls)
    @input_schema("x", TEXT)
    def run(x: Any) -> Any:
        return x

    described = declared(run)
    assert described.target(**described.convert(b'{"x": "eHl6"}')) == b"xyz"
    assert calls == [{"x": "eHl6"}]


def test_decorator_in_between_sees_what_the_outer_layers_converted() -> None:
    calls: list[Any] = []

    @input_schema("x", TEXT)
    @tracing(calls)
    @input_schema("y", TEXT)
    @output_schema(NUMBER)
    def run(x: Any, y: Any) -> Any:
        return x, y

    described = declared(run)
    assert described.target(**described.convert(b'{"x": "eHl6", "y": "eA=="}')) == (b"xyz", b"x")
    assert calls == [{"x": b"xyz", "y": "eA=="}]


def test_layer_beneath_a_decorator_refuses_with_the_place() -> None:
    @tracing([])
    @input_schema("x", NUMBER)
    def run(x: Any) -> Any: ...

    described = declared(run)
    with pytest.raises(BadInput, match="expected an integer at /x, got the string 'a'"):
        described.target(**described.convert(b'{"x": "a"}'))


def test_decorator_without_wraps_is_looked_through() -> None:
    log = logging.getLogger("script")

    def decorate(function: Any) -> Any:
        def wrapper(x: Any) -> Any:
            log.debug("called")
            return function(x)

        return wrapper

    run = decorate(input_schema("x", TEXT)(lambda x: x))
    described = declared(run)
    assert described.target is run
    assert described.target(**described.convert(b'{"x": "eHl6"}')) == b"xyz"


def test_closures_that_hold_no_schema_declare_nothing() -> None:
    model = {"weights": [1]}

    def run(raw_data: Any) -> Any:
        return model, later, raw_data

    described = schemas.describe(run)
    later = described
    assert later is None


def test_closure_of_a_decorated_run_is_not_searched() -> None:
    model = StandardPythonParameterType

    @input_schema("x", NUMBER)
    def run(x: Any) -> Any:
        return model

    assert declared(run).names == ("x",)


def test_method_of_an_object_is_described_without_self() -> None:
    class Model:
        @input_schema("x", TEXT)
        @output_schema(TEXT)
        def run(self, x: Any) -> Any:
            return self, x

    model = Model()
    described = declared(model.run)
    assert described.names == ("x",)
    assert described.target(**described.convert(b'{"x": "eHl6"}')) == (model, b"xyz")
    assert model.run("eHl6") == (model, b"xyz")


def test_declared_name_that_run_lacks_is_refused_at_boot() -> None:
    @input_schema("y", NUMBER)
    def run(x: Any) -> Any: ...

    with pytest.raises(ScriptSignatureError, match=r"declares the parameter 'y', which run\(x.*does not take"):
        schemas.describe(run)


def test_optional_name_that_run_lacks_is_passed_over() -> None:
    @input_schema("y", NUMBER, optional=True)
    def run(x: Any) -> Any: ...

    assert declared(run).convert(b'{"x": 1}') == {"x": 1}


def test_two_functions_of_one_name_do_not_meet() -> None:
    def script(sample: Any) -> Any:
        @input_schema("x", StandardPythonParameterType(sample))
        @output_schema(StandardPythonParameterType(sample))
        def run(x: Any) -> Any: ...

        return run

    first, second = script(1), script("text")
    assert declared(first).input_schema["example"] == {"x": 1}
    assert declared(second).input_schema["example"] == {"x": "text"}


def test_output_declared_twice_is_refused_as_before() -> None:
    with pytest.raises(Exception, match="already defined"):

        @output_schema(NUMBER)
        @output_schema(NUMBER)
        def run(x: Any) -> Any: ...


def test_inference_schemas_own_registry_is_kept_for_scripts_that_read_it() -> None:
    @input_schema("x", NUMBER)
    @output_schema(NUMBER)
    def run(x: Any, request_headers: Any) -> Any: ...

    assert schema_util.is_schema_decorated(run)
    assert schema_util.get_input_schema(run) == declared(run).input_schema
    assert schema_util.get_output_schema(run) == declared(run).output_schema
    assert tuple(schema_util.get_supported_versions(run)) == declared(run).versions


def test_defect_10_request_headers_are_not_shown() -> None:
    @input_schema("x", NUMBER)
    def run(x: Any, request_headers: Any) -> Any: ...

    assert declared(run).input_schema == {
        "type": "object",
        "properties": {"x": {"type": "integer", "format": "int64"}},
        "example": {"x": 1},
    }


def test_versions_are_those_of_the_outermost_input_and_the_output() -> None:
    mixed = StandardPythonParameterType([1, "a"])

    @input_schema("x", NUMBER)
    @input_schema("y", mixed)
    def last_fits(x: Any, y: Any) -> Any: ...

    @input_schema("x", NUMBER)
    @output_schema(mixed)
    def output_does_not(x: Any) -> Any: ...

    assert declared(last_fits).versions == ("2.0", "3.0", "3.1")
    assert declared(output_does_not).versions == ("3.0", "3.1")
