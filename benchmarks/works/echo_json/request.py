"""417 bytes of JSON: a hundred numbers, padded."""

from __future__ import annotations

import json

CONTENT_TYPE = "application/json"
SIZE_BYTES = 417


def body() -> bytes:
    text = json.dumps({"data": [1.5] * 100}, separators=(",", ":"))
    return text.ljust(SIZE_BYTES).encode()


def v2_body() -> bytes:
    """The document as one string tensor: V2 has no place for free JSON."""
    tensor = {"name": "document", "shape": [1], "datatype": "BYTES", "data": [body().decode()]}
    return json.dumps({"inputs": [tensor]}).encode()
