"""The swagger.json documents, versions 2, 3 and 3.1: built at boot as data, answered as bytes.

They say what azmlinfsrv's say, key for key. Where its document is refused by openapi-spec-validator, the smallest
change that makes it valid:

| what azmlinfsrv emits                                         | versions | here                                   |
|---------------------------------------------------------------|----------|----------------------------------------|
| request_headers among the properties and in the example       | all      | left out                               |
| "required": [] (a sample {}, a DataFrame without columns)     | 2, 3     | left out                               |
| "required": [1] (keys that are no strings)                    | all      | "1"                                    |
| an example that is no JSON (NaN, Infinity in a sample)        | all      | null in its place                      |
| the name or version breaks the document with a quote in it    | all      | escaped as JSON does                   |
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring_runtime.schemas.declared import ALL_VERSIONS, ANYTHING, Declared, describe

__all__ = ["Swagger", "build", "lookup"]

#: Each version, the names it is asked for by (also in inference-schema), and the user's files that replace it.
VERSIONS = {
    "2": (("2", "2.0"), ("swagger.json", "swagger2.json")),
    "3": (("3", "3.0"), ("swagger3.json",)),
    "3.1": (("3.1",), ("swagger3.1.json",)),
}
DEFAULT_VERSION = "2"
OPENAPI = {"3": "3.0.3", "3.1": "3.1.0"}
BEARER = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
ERROR_RESPONSE = {"type": "object", "properties": {"message": {"type": "string"}}}
#: Under these keys stands the user's data, which is not looked into for schemas.
DATA_KEYS = ("example", "examples")


@dataclass(frozen=True)
class Swagger:
    """The finished documents, by each name their version may be asked for by: plain data, so it can be sent on."""

    documents: dict[str, bytes]
    supported: list[str]

    def get(self, version: str | None = None) -> tuple[int, bytes]:
        return lookup(self.documents, self.supported, version)


def lookup(documents: Mapping[str, bytes], supported: list[str], version: str | None = None) -> tuple[int, bytes]:
    """The status and JSON body that answer a question for one version; None asks for the default."""
    version = DEFAULT_VERSION if version is None else version
    if version in documents:
        return 200, documents[version]
    known = any(version in names for names, _ in VERSIONS.values())
    if known:
        message = f"Swagger version [{version}] is not supported for the scoring script. Supported swagger versions: "
    else:
        message = f"Swagger version [{version}] is not valid. Supported versions: "
    return 404, _encoded({"message": f"{message}[{', '.join(supported)}]."})


def build(
    run: Callable[..., Any],
    app_root: Path | str,
    service_name: str,
    service_version: str,
    path_prefix: str,
    log: logging.Logger | None = None,
) -> Swagger:
    """Documents of run() for every version that can show its schemas, the user's own files first."""
    log = log or logging.getLogger("azmlinfsrv.swagger")
    declared = describe(run)
    prefix = f"/{path_prefix.strip('/')}" if path_prefix else ""
    info = {
        "title": service_name,
        "description": f"API specification for the Azure Machine Learning service {service_name}",
        "version": service_version,
    }
    documents: dict[str, bytes] = {}
    supported = []
    for version, (names, files) in VERSIONS.items():
        document = _users_own(Path(app_root), version, files, log) or _generated(version, names, declared, info, prefix)
        if document:
            supported.append(version)
            documents.update(dict.fromkeys(names, _encoded(document)))
    _report(supported, log)
    return Swagger(documents, supported)


def _report(supported: list[str], log: logging.Logger) -> None:
    skipped = [version for version in VERSIONS if version not in supported]
    if not supported:
        log.info("No swagger is prepared.")
    elif skipped:
        prepared = ", ".join(supported)
        log.info("Swaggers are prepared for versions [%s] and skipped for versions [%s].", prepared, ", ".join(skipped))
    else:
        log.info("Swaggers are prepared for the following versions: [%s].", ", ".join(supported))


def _users_own(app_root: Path, version: str, files: tuple[str, ...], log: logging.Logger) -> Any:
    for path in (app_root / name for name in files):
        try:
            document = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            log.warning("%s is not used: it cannot be read as JSON (%s).", path, error)
            continue
        log.info("Loaded user's swagger file for version [%s] from %s", version, path)
        if document:
            return document
    return None


def _generated(
    version: str, names: tuple[str, ...], declared: Declared | None, info: dict[str, str], prefix: str
) -> dict[str, Any] | None:
    shown_in = declared.versions if declared is not None else ALL_VERSIONS
    if not any(name in shown_in for name in names):
        return None
    schemas = {
        "ServiceInput": _valid(declared.input_schema, version) if declared else {**ANYTHING, "example": {}},
        "ServiceOutput": _valid(declared.output_schema, version) if declared else {**ANYTHING, "example": {}},
        "ErrorResponse": ERROR_RESPONSE,
    }
    return _version_2(info, prefix, schemas) if version == "2" else _version_3(version, info, prefix, schemas)


def _version_2(info: dict[str, str], prefix: str, schemas: dict[str, Any]) -> dict[str, Any]:
    def answer(description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"description": description, "schema": schema, **more}

    failed = answer(FAILED, {"$ref": "#/definitions/ErrorResponse"})
    health = answer(HEALTHY, {"type": "string"}, examples={"application/json": "Healthy"})
    scored = answer(SCORED, {"$ref": "#/definitions/ServiceOutput"})
    payload = {"name": "serviceInputPayload", "in": "body", "description": PAYLOAD}
    version = {"name": "version", "in": "query", "required": False, "type": "integer", "enum": [2, 3]}
    specification = answer(SPECIFICATION, {"type": "string"})
    return {
        "swagger": "2.0",
        "info": info,
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": BEARER},
        "paths": {
            f"{prefix}/": {"get": {**HEALTH_CHECK, "responses": {"200": health, "default": failed}}},
            f"{prefix}/score": {
                "post": {
                    **SCORE,
                    "parameters": [{**payload, "schema": {"$ref": "#/definitions/ServiceInput"}}],
                    "responses": {"200": scored, "default": failed},
                }
            },
            f"{prefix}/swagger.json": {
                "get": {**SWAGGER, "parameters": [version], "responses": {"200": specification, "default": failed}}
            },
        },
        "definitions": schemas,
    }


def _version_3(version: str, info: dict[str, str], prefix: str, schemas: dict[str, Any]) -> dict[str, Any]:
    def content(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"description": description, "content": {media_type: {"schema": schema}}}

    failed = content(FAILED, "application/json", {"$ref": "#/components/schemas/ErrorResponse"})
    health = content(HEALTHY, "text/plain", {"type": "string", "example": "Healthy"})
    scored = content(SCORED, "application/json", {"$ref": "#/components/schemas/ServiceOutput"})
    payload = content(PAYLOAD, "application/json", {"$ref": "#/components/schemas/ServiceInput"})
    asked = {"name": "version", "in": "query", "required": False, "schema": {"type": "integer", "enum": [2, 3]}}
    specification = content(SPECIFICATION, "text/plain", {"type": "string"})
    return {
        "openapi": OPENAPI[version],
        "info": info,
        "security": [{"Bearer": []}],
        "paths": {
            f"{prefix}/": {"get": {**HEALTH_CHECK, "responses": {"200": health, "default": failed}}},
            f"{prefix}/score": {
                "post": {**SCORE, "requestBody": payload, "responses": {"200": scored, "default": failed}}
            },
            f"{prefix}/swagger.json": {
                "get": {**SWAGGER, "parameters": [asked], "responses": {"200": specification, "default": failed}}
            },
        },
        "components": {"schemas": schemas, "securitySchemes": {"Bearer": BEARER}},
    }


# Clients parse the documents: these texts are azmlinfsrv's, as data.
FAILED = "The service failed to execute due to an error."
HEALTHY = "If service is up and running, this response will be returned with the content 'Healthy'"
SCORED = "The service processed the input correctly and provided a result prediction, if applicable."
PAYLOAD = "The input payload for executing the real-time machine learning service."
SPECIFICATION = "The Swagger specification."
HEALTH_CHECK = {
    "operationId": "ServiceHealthCheck",
    "description": "Simple health check endpoint to ensure the service is up at any given point.",
}
SCORE = {
    "operationId": "RunMLService",
    "description": "Run web service's model and get the prediction output",
    "security": [{"Bearer": []}],
}
SWAGGER = {"operationId": "GetSwaggerSpec", "description": "Get the Swagger specification."}


def _valid(schema: Any, version: str) -> Any:
    """The schema without what its version of the specification refuses."""
    if isinstance(schema, list):
        return [_valid(each, version) for each in schema]
    if not isinstance(schema, dict):
        return schema
    valid = {}
    for key, value in schema.items():
        if key in DATA_KEYS:
            valid[key] = _json_data(value)
        elif key == "properties" and isinstance(value, dict):
            valid[key] = {str(name): _valid(each, version) for name, each in value.items()}
        elif key == "required" and isinstance(value, list):
            if value or version == "3.1":
                valid[key] = [str(name) for name in value]
        else:
            valid[key] = _valid(value, version)
    return valid


def _json_data(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [_json_data(each) for each in value]
    if isinstance(value, dict):
        return {key: _json_data(each) for key, each in value.items()}
    return value


def _encoded(document: Any) -> bytes:
    return json.dumps(document).encode()
