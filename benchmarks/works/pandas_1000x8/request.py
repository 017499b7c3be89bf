"""1,000 records of 8 columns: two integers, two floats, three strings and a boolean."""

from __future__ import annotations

import json
import random
from typing import Any

CONTENT_TYPE = "application/json"
V2_TYPES = {"int": "INT64", "float": "FP64", "str": "BYTES", "bool": "BOOL"}


def records(rows: int) -> list[dict[str, Any]]:
    source = random.Random(1000)
    return [
        {
            "customer": number,
            "age": source.randrange(18, 90),
            "income": round(source.uniform(500, 9000), 2),
            "balance": round(source.uniform(-500, 5000), 2),
            "city": source.choice(["Oslo", "Tromsø", "Bergen", "Narvik"]),
            "segment": source.choice(["retail", "private", "corporate"]),
            "active": source.random() < 0.5,
            "joined": f"20{source.randrange(10, 25)}-0{source.randrange(1, 10)}-{source.randrange(10, 29)}",
        }
        for number in range(rows)
    ]


def body(rows: int) -> bytes:
    return json.dumps({"data": records(rows)}).encode()


def v2_body(rows: int) -> bytes:
    """One tensor a column, which MLServer's pandas codec reads as a frame."""
    table = records(rows)
    columns = [
        {
            "name": name,
            "shape": [rows, 1],
            "datatype": V2_TYPES[type(value).__name__],
            "data": [record[name] for record in table],
            **({"parameters": {"content_type": "str"}} if isinstance(value, str) else {}),
        }
        for name, value in table[0].items()
    ]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": columns}).encode()
