"""Rows of 784 floats with four decimals: 6 KB a row as JSON."""

from __future__ import annotations

import json
import random

CONTENT_TYPE = "application/json"


def numbers(rows: int) -> list[list[float]]:
    source = random.Random(784)
    return [[round(source.random(), 4) for _ in range(784)] for _ in range(rows)]


def body(rows: int) -> bytes:
    return json.dumps({"data": numbers(rows)}).encode()


def v2_body(rows: int) -> bytes:
    flat = [number for row in numbers(rows) for number in row]
    return json.dumps({"inputs": [{"name": "data", "shape": [rows, 784], "datatype": "FP64", "data": flat}]}).encode()
