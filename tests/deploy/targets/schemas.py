"""The official schemas, as published; they lie beside the repository."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from tests.serving import ROOT

FOLDER = ROOT.parent / "shared" / "schemas"


def schema(name: str) -> dict[str, Any]:
    path = FOLDER / name
    assert path.is_file(), f"{path} is missing: these tests need the official schemas beside the repository"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def errors(document: Any, schema: dict[str, Any]) -> list[str]:
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
