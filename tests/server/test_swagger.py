"""The documents: equal to azmlinfsrv's as data, valid under the specification, the user's own first."""

from __future__ import annotations

import datetime
import json
import logging
import marshal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from scoring_runtime import schemas
from scoring_runtime.server import swagger

schemas.install()

from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType  # noqa: E402
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType  # noqa: E402
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType  # noqa: E402
from inference_schema.schema_decorators import input_schema, output_schema  # noqa: E402

VALIDATORS = {"2": OpenAPIV2SpecValidator, "3": OpenAPIV30SpecValidator, "3.1": OpenAPIV31SpecValidator}
MIXED = StandardPythonParameterType([1, "a"])
FRAME = pandas.DataFrame(
    {
        "i": [1, 2],
        "f": [1.5, 2.5],
        "s": ["x", "y"],
        "b": [True, False],
        "t": pandas.to_datetime(["2020-01-01", "2020-01-02"]),
        "d": pandas.to_timedelta(["1 days", "2 days"]),
    }
)
ORIENTS = ["split", "records", "index", "columns", "values", "table"]
STRUCTURED = numpy.array([(1, 2.5, "x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "U3")])
TYPES: dict[str, Callable[[], Any]] = {
    "2-d": lambda: NumpyParameterType(numpy.array([[1.5, 2], [3, 4]])),
    "3-d": lambda: NumpyParameterType(numpy.zeros((1, 2, 3), "f4")),
    "0-d": lambda: NumpyParameterType(numpy.array(1.5)),
    "empty array": lambda: NumpyParameterType(numpy.zeros((0, 3))),
    "uint16": lambda: NumpyParameterType(numpy.array([1], "u2")),
    "bools": lambda: NumpyParameterType(numpy.array([True])),
    "texts": lambda: NumpyParameterType(numpy.array(["a"])),
    "byte strings": lambda: NumpyParameterType(numpy.array([b"a"])),
    "objects": lambda: NumpyParameterType(numpy.array([{"a": 1}], dtype=object)),
    "dates": lambda: NumpyParameterType(numpy.array(["2020-01-01"], "datetime64[ns]")),
    "spans": lambda: NumpyParameterType(numpy.array([1], "timedelta64[D]")),
    "structured": lambda: NumpyParameterType(STRUCTURED),
    "nan": lambda: NumpyParameterType(numpy.array([numpy.nan])),
    "int": lambda: StandardPythonParameterType(1),
    "bytes": lambda: StandardPythonParameterType(b"x"),
    "date": lambda: StandardPythonParameterType(datetime.date(2020, 1, 1)),
    "datetime": lambda: StandardPythonParameterType(datetime.datetime(2020, 1, 1)),
    "time": lambda: StandardPythonParameterType(datetime.time(1)),
    "list": lambda: StandardPythonParameterType([1, 2]),
    "empty list": lambda: StandardPythonParameterType([]),
    "tuple": lambda: StandardPythonParameterType((1, 2)),
    "dict": lambda: StandardPythonParameterType({"a": 1, "b": {"c": [1.5]}}),
    "empty dict": lambda: StandardPythonParameterType({}),
    "dict of numbers": lambda: StandardPythonParameterType({1: 2}),
    "dict of keywords": lambda: StandardPythonParameterType({"required": 1, "properties": {"$ref": 2}, "example": 3}),
    "nested": lambda: StandardPythonParameterType({"n": NumpyParameterType(numpy.zeros(1))}),
    "mixed": lambda: MIXED,
    "no columns": lambda: PandasParameterType(pandas.DataFrame(index=[0])),
    **{f"table {orient}": lambda orient=orient: PandasParameterType(FRAME, orient=orient) for orient in ORIENTS},
}


def build(run: Callable[..., Any], app_root: Path = Path("/nowhere"), **options: Any) -> swagger.Swagger:
    given = {"service_name": "ML service", "service_version": "1.0", "path_prefix": "", **options}
    return swagger.build(run, app_root, **given)


def document(built: swagger.Swagger, version: str | None = None) -> Any:
    status, body = built.get(version)
    assert status == 200
    return json.loads(body)


def plain(raw_data: str) -> str:
    return raw_data


def decorated(param_type: Any) -> Callable[..., Any]:
    @input_schema("data", param_type)
    @output_schema(param_type)
    def run(data: Any) -> Any: ...

    return run


def problems(body: bytes, version: str) -> list[str]:
    """What the specification has against a document, which must be strict JSON too."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    parsed = json.loads(body, parse_constant=refuse)
    return [error.message for error in VALIDATORS[version](parsed).iter_errors()]


@pytest.mark.parametrize("name", TYPES)
def test_documents_are_valid_for_every_type(name: str) -> None:
    built = build(decorated(TYPES[name]()))
    assert {version: problems(built.documents[version], version) for version in built.supported} == {
        version: [] for version in built.supported
    }


@pytest.mark.parametrize("version", VALIDATORS)
def test_documents_of_an_undecorated_run_are_valid(version: str) -> None:
    assert (
        problems(build(plain, service_name='"quoted" \\ name', path_prefix="/a/b/").documents[version], version) == []
    )


def test_version_2_is_azmlinfsrvs_document() -> None:
    error = {
        "description": "The service failed to execute due to an error.",
        "schema": {"$ref": "#/definitions/ErrorResponse"},
    }
    assert document(build(plain, service_name="s", service_version="7", path_prefix="p/q"), "2") == {
        "swagger": "2.0",
        "info": {
            "title": "s",
            "description": "API specification for the Azure Machine Learning service s",
            "version": "7",
        },
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {
            "Bearer": {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "description": "For example: Bearer abc123",
            }
        },
        "paths": {
            "/p/q/": {
                "get": {
                    "operationId": "ServiceHealthCheck",
                    "description": "Simple health check endpoint to ensure the service is up at any given point.",
                    "responses": {
                        "200": {
                            "description": "If service is up and running, this response will be returned with the "
                            "content 'Healthy'",
                            "schema": {"type": "string"},
                            "examples": {"application/json": "Healthy"},
                        },
                        "default": error,
                    },
                }
            },
            "/p/q/score": {
                "post": {
                    "operationId": "RunMLService",
                    "description": "Run web service's model and get the prediction output",
                    "security": [{"Bearer": []}],
                    "parameters": [
                        {
                            "name": "serviceInputPayload",
                            "in": "body",
                            "description": "The input payload for executing the real-time machine learning service.",
                            "schema": {"$ref": "#/definitions/ServiceInput"},
                        }
                    ],
                    "responses": {
                        "200": {
                            "description": "The service processed the input correctly and provided a result prediction,"
                            " if applicable.",
                            "schema": {"$ref": "#/definitions/ServiceOutput"},
                        },
                        "default": error,
                    },
                }
            },
            "/p/q/swagger.json": {
                "get": {
                    "operationId": "GetSwaggerSpec",
                    "description": "Get the Swagger specification.",
                    "parameters": [
                        {"name": "version", "in": "query", "required": False, "type": "integer", "enum": [2, 3]}
                    ],
                    "responses": {
                        "200": {"description": "The Swagger specification.", "schema": {"type": "string"}},
                        "default": error,
                    },
                }
            },
        },
        "definitions": {
            "ServiceInput": {"type": "object", "example": {}},
            "ServiceOutput": {"type": "object", "example": {}},
            "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
        },
    }


def test_version_3_has_the_parts_of_azmlinfsrvs_document() -> None:
    shown = document(build(plain), "3")
    assert list(shown) == ["openapi", "info", "security", "paths", "components"]
    assert shown["security"] == [{"Bearer": []}]
    assert shown["paths"]["/"]["get"]["responses"]["200"]["content"] == {
        "text/plain": {"schema": {"type": "string", "example": "Healthy"}}
    }
    assert shown["paths"]["/score"]["post"]["requestBody"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/ServiceInput"}}
    }
    assert list(shown["components"]) == ["schemas", "securitySchemes"]


def test_versions_3_and_3_1_differ_in_their_number_only() -> None:
    built = build(decorated(MIXED))
    three, three_one = document(built, "3"), document(built, "3.1")
    assert (three.pop("openapi"), three_one.pop("openapi")) == ("3.0.3", "3.1.0")
    assert three == three_one


def test_body_is_spaced_as_json_dumps_spaces() -> None:
    body = build(plain).get("3")[1]
    assert body == json.dumps(json.loads(body)).encode()


def test_inputs_and_example_are_those_of_the_decorators() -> None:
    @input_schema("b", StandardPythonParameterType({"c": [1.5]}))
    @input_schema("a", NumpyParameterType(numpy.array([1.5])))
    def run(a: Any, b: Any, c: int = 5, request_headers: Any = None) -> Any: ...

    items = {"type": "array", "items": {"type": "number", "format": "double"}}
    assert document(build(run))["definitions"]["ServiceInput"] == {
        "type": "object",
        "properties": {
            "a": {**items, "format": "numpy.ndarray"},
            "b": {"type": "object", "required": ["c"], "properties": {"c": items}},
            "c": {},
        },
        "example": {"a": [1.5], "b": {"c": [1.5]}, "c": ""},
    }


def test_run_with_an_output_only_takes_any_object() -> None:
    run = output_schema(StandardPythonParameterType(1))(lambda x: x)
    assert document(build(run))["definitions"]["ServiceInput"] == {"type": "object"}
    assert document(build(run))["definitions"]["ServiceOutput"]["example"] == 1


@pytest.mark.parametrize(
    ("version", "key"), [(None, "swagger"), ("2", "swagger"), ("2.0", "swagger"), ("3", "openapi"), ("3.0", "openapi")]
)
def test_versions_have_second_names_and_2_is_the_default(version: str | None, key: str) -> None:
    assert key in document(build(plain), version)


@pytest.mark.parametrize("version", ["2.00", " 3", "", "9", "3.1.0"])
def test_unknown_version_is_answered_with_those_there_are(version: str) -> None:
    status, body = build(plain).get(version)
    assert (status, json.loads(body)) == (
        404,
        {"message": f"Swagger version [{version}] is not valid. Supported versions: [2, 3, 3.1]."},
    )


@pytest.mark.parametrize("version", [None, "2", "2.0"])
def test_version_that_cannot_show_the_schema_is_answered_with_the_others(version: str | None) -> None:
    status, body = build(decorated(MIXED)).get(version)
    assert (status, json.loads(body)) == (
        404,
        {
            "message": f"Swagger version [{version or 2}] is not supported for the scoring script. "
            "Supported swagger versions: [3, 3.1]."
        },
    )


def test_documents_travel_as_plain_data() -> None:
    built = build(plain)
    documents, supported = marshal.loads(marshal.dumps((built.documents, built.supported)))
    assert swagger.lookup(documents, supported, "3") == built.get("3")


def test_schemas_of_a_custom_type_are_kept_as_they_are() -> None:
    class Either(StandardPythonParameterType):  # type: ignore[misc]
        def input_to_swagger(self) -> dict[str, Any]:
            return {"oneOf": [{"type": "string"}, {"enum": [1, None]}], "required": True, "example": "x"}

    schema = document(build(decorated(Either("x"))))["definitions"]["ServiceOutput"]
    assert schema == {"oneOf": [{"type": "string"}, {"enum": [1, None]}], "required": True, "example": "x"}


def test_names_are_data() -> None:
    info = document(build(plain, service_name='a "b" \\ $SERVICE_VERSION$', service_version="é"))["info"]
    assert info == {
        "title": 'a "b" \\ $SERVICE_VERSION$',
        "description": 'API specification for the Azure Machine Learning service a "b" \\ $SERVICE_VERSION$',
        "version": "é",
    }


@pytest.mark.parametrize(("prefix", "path"), [("", "/score"), ("/", "//score"), ("/a/b/", "/a/b/score")])
def test_prefix_stands_before_every_path(prefix: str, path: str) -> None:
    assert path in document(build(plain, path_prefix=prefix))["paths"]


def test_users_files_replace_the_generated_documents(tmp_path: Path) -> None:
    for name in ["swagger2.json", "swagger3.json", "swagger3.1.json"]:
        (tmp_path / name).write_text(json.dumps({"from": name}))
    built = build(decorated(MIXED), tmp_path)
    assert [document(built, version)["from"] for version in ["2.0", "3", "3.1"]] == [
        "swagger2.json",
        "swagger3.json",
        "swagger3.1.json",
    ]


def test_swagger_json_comes_before_swagger2_json(tmp_path: Path) -> None:
    (tmp_path / "swagger.json").write_text('{"from": "swagger.json"}')
    (tmp_path / "swagger2.json").write_text('{"from": "swagger2.json"}')
    assert document(build(plain, tmp_path)) == {"from": "swagger.json"}
    assert "openapi" in document(build(plain, tmp_path), "3")


@pytest.mark.parametrize("content", ["{}", "null", "[]"])
def test_empty_file_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "swagger.json").write_text(content)
    (tmp_path / "swagger2.json").write_text('{"from": "swagger2.json"}')
    assert document(build(plain, str(tmp_path))) == {"from": "swagger2.json"}


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 200_000], ids=["no json", "no utf-8", "too deep"])
def test_unreadable_file_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "swagger3.json").write_bytes(content)
    assert document(build(plain, tmp_path), "3")["openapi"] == "3.0.3"
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage().startswith(f"{tmp_path / 'swagger3.json'} is not used: it cannot be read as JSON (")


def test_folder_in_place_of_a_file_is_named_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "swagger.json").mkdir()
    assert document(build(plain, tmp_path))["swagger"] == "2.0"
    assert "swagger.json is not used" in caplog.text


@pytest.mark.parametrize(
    ("versions", "line"),
    [
        (["2.0", "3.0", "3.1"], "Swaggers are prepared for the following versions: [2, 3, 3.1]."),
        (["3.0", "3.1"], "Swaggers are prepared for versions [3, 3.1] and skipped for versions [2]."),
        (["9"], "No swagger is prepared."),
    ],
)
def test_log_says_which_versions_there_are(caplog: pytest.LogCaptureFixture, versions: list[str], line: str) -> None:
    class Type(StandardPythonParameterType):  # type: ignore[misc]
        def supported_versions(self) -> list[str]:
            return versions

    with caplog.at_level(logging.INFO, "azmlinfsrv.swagger"):
        build(decorated(Type(1)))
    assert caplog.record_tuples == [("azmlinfsrv.swagger", logging.INFO, line)]


def test_log_names_the_users_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "swagger3.json").write_text('{"a": 1}')
    with caplog.at_level(logging.INFO, "azmlinfsrv.swagger"):
        build(plain, tmp_path)
    path = tmp_path / "swagger3.json"
    assert caplog.messages[0] == f"Loaded user's swagger file for version [3] from {path}"
