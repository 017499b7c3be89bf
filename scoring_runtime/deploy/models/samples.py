"""Sample inputs and outputs of a model: a small file, or a value that becomes JSON, stored beside the model's files."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from typing import Any

from scoring_runtime.deploy.workspaces.blobs import Adding
from scoring_runtime.errors import ModelError

__all__ = ["Sample", "add_sample", "read_sample"]

LARGEST = 64 << 20  # bytes


@dataclass(frozen=True)
class Sample:
    name: str
    data: bytes


def read_sample(sample: object) -> Sample | None:
    """A string or path is a file; anything else is written as JSON. Raises ModelError."""
    if sample is None:
        return None
    if isinstance(sample, str | os.PathLike):
        return Sample(os.path.basename(os.fspath(sample)), contents(os.fspath(sample)))
    try:
        return Sample("sample.json", json.dumps(sample).encode())
    except (TypeError, ValueError) as error:
        raise ModelError(f"A sample: expected the path of a file, or a value for JSON; {error}.") from None


def contents(path: str) -> bytes:
    try:
        if os.path.getsize(path) > LARGEST:
            raise ModelError(f"{path}: a sample has at most {LARGEST >> 20} MB: it is a few requests, not a data set.")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelError(
            f"A sample: {path!r} cannot be read: {error.strerror}. Give a file's path, or a value that is not text."
        ) from None


def add_sample(adding: Adding, sample: Sample | None) -> dict[str, Any] | None:
    """The `sample_input` of a record."""
    if sample is None:
        return None
    blob = adding.add(io.BytesIO(sample.data))
    return {"name": sample.name, "sha256": blob.sha256, "size": blob.size}
