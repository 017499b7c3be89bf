"""A host's description from the plain settings that were attached, each name checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from scoring_runtime.errors import TargetError

__all__ = ["made"]


def made(kind: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """An object of the dataclass `kind`; raises TargetError for a name that it does not have."""
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            raise TargetError(f"{prefix}{name}: no setting of this host has this name; there are: {', '.join(known)}.")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
