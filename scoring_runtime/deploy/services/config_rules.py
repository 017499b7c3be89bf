"""Rules for values of configuration files: what is expected in words, and a test; a dataclass is held to its rows."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from scoring_runtime.errors import ConfigError

__all__ = [
    "ANY_TEXT",
    "AT_LEAST_0",
    "AT_LEAST_1",
    "BOOL",
    "KEY",
    "LIST",
    "NUMBER",
    "OBJECT",
    "STRINGS",
    "TEXT",
    "Rule",
    "checked",
    "hint",
    "matching",
    "one_of",
    "row",
    "rows_of",
    "whole",
]

Config = TypeVar("Config")


@dataclass(frozen=True)
class Rule:
    expected: str
    holds: Callable[[Any], bool]


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def are_strings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(v, str) for pair in value.items() for v in pair)


def whole(minimum: int, maximum: int | None = None) -> Rule:
    high = "" if maximum is None else f" to {maximum}"
    return Rule(
        f"a whole number from {minimum}{high}",
        lambda value: is_whole(value) and value >= minimum and (maximum is None or value <= maximum),
    )


def one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices)


def matching(pattern: str, expected: str) -> Rule:
    compiled = re.compile(pattern)
    return Rule(expected, lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None)


AT_LEAST_0 = whole(0)
AT_LEAST_1 = whole(1)
NUMBER = Rule("a number above 0", lambda value: is_number(value) and value > 0)
BOOL = Rule("true or false", lambda value: isinstance(value, bool))
KEY = matching("[!-~]{16,}", "at least 16 visible ASCII characters")
TEXT = Rule("a text that is not empty", lambda value: isinstance(value, str) and value != "")
ANY_TEXT = Rule("a text", lambda value: isinstance(value, str))
OBJECT = Rule("an object", lambda value: isinstance(value, Mapping))
LIST = Rule("a list of objects", lambda value: isinstance(value, list) and all(map(OBJECT.holds, value)))
STRINGS = Rule("an object of texts", are_strings)


def row(default: Any, key: str, rule: Rule, *, secret: bool = False) -> Any:
    """A field of a configuration: its default, its key path in the file ("" when no file has it), and its rule."""
    metadata = {"key": key, "rule": rule, "secret": secret, "default": default}
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


def rows_of(config: Any) -> dict[str, Mapping[str, Any]]:
    """Field name -> its row, for a configuration or its class."""
    return {one.name: one.metadata for one in fields(config) if "rule" in one.metadata}


def checked(config: Config) -> Config:
    """Put defaults where None stands, and raise ConfigError for the first value that breaks its rule."""
    for name, meta in rows_of(config).items():
        value = getattr(config, name)
        if value is None:
            object.__setattr__(config, name, copy(meta["default"]))
        elif not meta["rule"].holds(value):
            shown = "***" if meta["secret"] else value
            raise ConfigError(name, shown, meta["rule"].expected)
    return config


def hint(name: str, known: Iterable[str]) -> str:
    """ " Did you mean ...?" when something known looks alike."""
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
