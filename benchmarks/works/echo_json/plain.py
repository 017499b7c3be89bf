"""The same echo for the servers that have no score.py."""

from __future__ import annotations

from typing import Any


def predict(document: Any) -> Any:
    return document
