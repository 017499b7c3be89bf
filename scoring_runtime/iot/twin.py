"""What a module's twin may set: desired properties become settings, and what was made of them is reported back.

{"scoring": {"input": "amlInput", "output": "amlOutput", "errorOutput": "amlError", "concurrency": 2}}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["SECTION", "ModuleSettings", "follow", "reported"]

SECTION = "scoring"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LARGEST_CONCURRENCY = 64


@dataclass(frozen=True)
class ModuleSettings:
    """The names of routes are those of the modules that Azure ML made."""

    input: str = "amlInput"
    output: str = "amlOutput"
    error_output: str = "amlError"
    concurrency: int = 1
    log_level: str = "INFO"


def endpoint_name(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        return value
    raise ValueError("expected a name of 1 to 64 letters, digits, _, . and -")


def concurrency(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_CONCURRENCY:
        return value
    raise ValueError(f"expected a whole number from 1 to {LARGEST_CONCURRENCY}")


def level(value: Any) -> str:
    if isinstance(value, str) and value.upper() in LEVELS:
        return value.upper()
    raise ValueError(f"expected one of {', '.join(LEVELS)}")


# The twin's name of a property, our attribute, and what makes a value of it or raises ValueError.
PROPERTIES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "input": ("input", endpoint_name),
    "output": ("output", endpoint_name),
    "errorOutput": ("error_output", endpoint_name),
    "concurrency": ("concurrency", concurrency),
    "logLevel": ("log_level", level),
}


def follow(current: ModuleSettings, desired: Mapping[str, Any]) -> tuple[ModuleSettings, list[str]]:
    """The settings after a full twin or a patch, and what was not taken of it; null is the default."""
    section = desired.get(SECTION, {})
    if section is None:
        return ModuleSettings(), []
    if not isinstance(section, Mapping):
        return current, [f"{SECTION}: expected an object, got {section!r}"]
    rejected: list[str] = []
    for name, value in section.items():
        if name not in PROPERTIES:
            rejected.append(f"{name}: expected one of {', '.join(PROPERTIES)}")
            continue
        attribute, check = PROPERTIES[name]
        try:
            taken = getattr(ModuleSettings(), attribute) if value is None else check(value)
        except ValueError as error:
            rejected.append(f"{name}: {error}, got {value!r}")
        else:
            current = replace(current, **{attribute: taken})
    return current, rejected


def reported(settings: ModuleSettings, rejected: list[str], version: int | None) -> dict[str, Any]:
    """The reported properties: what holds now, for which version of the desired ones, and what was refused."""
    values = asdict(settings)
    shown = {name: values[attribute] for name, (attribute, _) in PROPERTIES.items()}
    return {SECTION: {**shown, "desiredVersion": version, "rejected": "; ".join(rejected) or None}}
