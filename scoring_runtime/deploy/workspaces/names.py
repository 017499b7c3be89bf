"""What services and models may be called, and how tags and properties may change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scoring_runtime.deploy.services.config_rules import STRINGS
from scoring_runtime.errors import ConfigError

__all__ = ["check_service_name", "has_all", "with_properties", "with_tags"]

SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{1,30})[a-z0-9]")


def check_service_name(name: str) -> None:
    """Raises ConfigError."""
    if not isinstance(name, str) or not SERVICE_NAME.fullmatch(name):
        expected = "3 to 32 lower-case letters, digits and -, a letter first, no - last"
        raise ConfigError("name", name, expected)


def with_tags(given: Mapping[str, str] | None, before: Mapping[str, str]) -> dict[str, str]:
    """New tags take the place of all there were."""
    if given is None:
        return dict(before)
    if not STRINGS.holds(given):
        raise ConfigError("tags", given, STRINGS.expected)
    return dict(given)


def with_properties(given: Mapping[str, str] | None, before: Mapping[str, str]) -> dict[str, str]:
    """Properties are added, never changed."""
    if given is None:
        return dict(before)
    if not STRINGS.holds(given):
        raise ConfigError("properties", given, STRINGS.expected)
    for name, value in given.items():
        if before.get(name, value) != value:
            fix = "Properties never change; use a tag for what does."
            raise ConfigError(f"properties.{name}", value, f"{before[name]!r}, which it is", fix)
    return {**before, **given}


def has_all(filters: Any, there: Mapping[str, str]) -> bool:
    """Whether tags or properties fit a filter: "key", ["key", "value"], or a list of these."""
    if not filters:
        return True
    if isinstance(filters, str):
        return filters in there
    if len(filters) == 2 and all(isinstance(one, str) for one in filters):
        return bool(there.get(filters[0]) == filters[1])
    return all(has_all(one, there) for one in filters)
