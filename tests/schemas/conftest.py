"""Cures are installed before any test module imports inference_schema, as the server does before a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from scoring_runtime import schemas
from scoring_runtime.errors import BadInput

schemas.install()


@pytest.fixture
def declare() -> Callable[..., schemas.Declared]:
    """declare(param_type) is what a run(data) with that one declaration declares."""

    def declare(param_type: Any, **options: Any) -> schemas.Declared:
        from inference_schema.schema_decorators import input_schema

        @input_schema("data", param_type, **options)
        def run(data: Any) -> Any:
            return data

        declared = schemas.describe(run)
        assert declared is not None
        return declared

    return declare


@pytest.fixture
def convert(declare: Callable[..., schemas.Declared]) -> Callable[..., Any]:
    """convert(param_type, value) is what run(data) is called with when the body holds value."""

    def convert(param_type: Any, value: Any, **options: Any) -> Any:
        body = value if isinstance(value, bytes) else json.dumps({"data": value}).encode()
        return declare(param_type, **options).convert(body)["data"]

    return convert


@pytest.fixture
def refused(convert: Callable[..., Any]) -> Callable[..., str]:
    """refused(param_type, value) is the message of the 400 that value gets."""

    def refused(param_type: Any, value: Any, **options: Any) -> str:
        with pytest.raises(BadInput) as caught:
            convert(param_type, value, **options)
        return str(caught.value)

    return refused


@pytest.fixture
def no_simdjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "simdjson", None)
