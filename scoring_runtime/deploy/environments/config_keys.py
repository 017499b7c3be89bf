"""Checks a JSON document against a table of its keys: what is wrong is an error, what has no effect is said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scoring_runtime.deploy.services.config_rules import OBJECT, Rule, hint
from scoring_runtime.errors import ConfigError

__all__ = ["NO_EFFECT", "check_keys", "read_json", "without_nulls"]

NO_EFFECT = Rule("anything", lambda value: True)  # known, and tolerated
Table = Mapping[str, Any]  # of Rules, and of Tables for objects within


def read_json(path: str, kind: str) -> dict[str, Any]:
    """Raises ConfigError."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        raise ConfigError(path, None, "a file", f"Check the path of the {kind}.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(path, str(error), "a JSON file", "Repair it.") from None
    if not isinstance(document, dict):
        raise ConfigError(path, document, "a JSON object", f"Write the {kind} as an object of keys.")
    return document


def check_keys(document: Mapping[str, Any], table: Table, source: str, prefix: str = "") -> list[str]:
    """Sentences about what has no effect; raises ConfigError for a value that breaks its rule."""
    ignored: list[str] = []
    notes: list[str] = []
    for path, rule, value, known in leaves(document, table, prefix):
        if rule is None:
            close = hint(path.rpartition(".")[2], known)
            notes.append(f"{source}: {path} is no key that is known here, and has no effect.{close}")
        elif rule is NO_EFFECT:
            ignored.append(path)
        elif value is not None and not rule.holds(value):
            shown = "***" if path.endswith("password") else value
            raise ConfigError(path, shown, rule.expected, f"Change {path}, or remove it.", source)
    if ignored:
        notes.insert(0, f"{source}: without effect here: {', '.join(ignored)}.")
    return notes


def leaves(
    document: Mapping[str, Any], table: Table, prefix: str
) -> Iterator[tuple[str, Rule | None, Any, tuple[str, ...]]]:
    """Each value with its path, its rule, and the keys that there are beside it."""
    for name, value in document.items():
        row = table.get(name)
        path = f"{prefix}{name}"
        if not isinstance(row, Mapping):
            yield path, row, value, tuple(table)
        elif isinstance(value, Mapping):
            yield from leaves(value, row, f"{path}.")
        else:
            yield path, OBJECT, value, tuple(table)


def without_nulls(document: Mapping[str, Any]) -> dict[str, Any]:
    """A key that is null is a key that is not there."""
    return {name: value for name, value in document.items() if value is not None}
