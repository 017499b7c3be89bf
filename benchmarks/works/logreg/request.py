"""Two rows of ten features."""

from __future__ import annotations

import json

CONTENT_TYPE = "application/json"
ROWS = [[1.0, 2.5, 3.0, 4.25, 5.0, 6.0, 7.5, 8.0, 9.0, 10.0], [10.0, 9.0, 8.0, 7.5, 6.0, 5.0, 4.25, 3.0, 2.5, 1.0]]


def body() -> bytes:
    return json.dumps({"data": ROWS}).encode()


def v2_body() -> bytes:
    flat = [number for row in ROWS for number in row]
    return json.dumps({"inputs": [{"name": "data", "shape": [2, 10], "datatype": "FP64", "data": flat}]}).encode()
