"""The document of one version of a model: what may stand in it, how it changes, and whether a filter takes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from scoring_runtime.deploy.models.resource_configuration import ResourceConfiguration
from scoring_runtime.deploy.workspaces.records import Document
from scoring_runtime.errors import ModelError

__all__ = ["FRAMEWORKS", "Filter", "check_name", "drafted", "matches", "split_id", "with_changes"]

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}\Z")
FRAMEWORKS = ("Custom", "Onnx", "ScikitLearn", "TensorFlow", "TfKeras", "PyTorch", "Multi")

Filter = Mapping[str, str] | Iterable[Any] | None  # "key", ["key", "value"], or a list of those


def check_name(name: str) -> str:
    if not isinstance(name, str) or not NAME.match(name):
        more = f" For one version write id={name!r}." if isinstance(name, str) and ":" in name else ""
        raise ModelError(
            f"A model's name: expected letters, digits, '-', '_' and '.', the first a letter or digit, at most 255; "
            f"got {name!r}.{more}"
        )
    return name


def split_id(id: str) -> tuple[str, int]:
    name, colon, version = str(id).partition(":")
    if not (colon and version.isascii() and version.isdigit()):
        raise ModelError(f'A model\'s id: expected "name:version", such as "{name or "mymodel"}:1", got {id!r}.')
    return check_name(name), int(version)


def drafted(
    tags: Mapping[str, str] | None,
    properties: Mapping[str, str] | None,
    description: str | None,
    framework: str | None,
    framework_version: str | None,
    resource_configuration: ResourceConfiguration | None,
    datasets: Iterable[tuple[str, object]] | None,
) -> Document:
    """What is said about a model; its name, version and files come when it is stored. Raises ModelError."""
    if framework_version and not framework:
        raise ModelError(
            f"model_framework_version={framework_version!r} needs model_framework: one of {', '.join(FRAMEWORKS)}."
        )
    return {
        "tags": texts("tags", tags),
        "properties": texts("properties", properties),
        "description": description or "",
        "framework": checked_framework(framework),
        "framework_version": framework_version,
        "resource_configuration": resource_configuration.serialize() if resource_configuration else None,
        "datasets": [[str(purpose), str(dataset)] for purpose, dataset in datasets or ()],
        "created": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
    }


def checked_framework(framework: str | None) -> str | None:
    known = {one.lower(): one for one in FRAMEWORKS}
    if framework is None:
        return None
    if str(framework).lower() not in known:
        raise ModelError(f"model_framework: expected one of {', '.join(FRAMEWORKS)}, got {framework!r}.")
    return known[str(framework).lower()]


def texts(what: str, given: Mapping[str, str] | None) -> dict[str, str]:
    """A copy, if both sides are strings throughout."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(one, str) for pair in given.items() for one in pair):
        raise ModelError(f'{what}: expected a dictionary of strings, such as {{"area": "diabetes"}}, got {given!r}.')
    return dict(given)


def with_changes(
    document: Document,
    add_tags: Mapping[str, str] | None = None,
    remove_tags: Iterable[str] | None = None,
    add_properties: Mapping[str, str] | None = None,
    description: str | None = None,
    resource_configuration: ResourceConfiguration | None = None,
) -> Document:
    """Tags come and go; a property stays as it is once it is there. None leaves the rest. Raises ModelError."""
    removed = {remove_tags} if isinstance(remove_tags, str) else set(remove_tags or ())
    tags = {key: value for key, value in {**document["tags"], **texts("tags", add_tags)}.items() if key not in removed}
    properties = dict(document["properties"])
    for key, value in texts("properties", add_properties).items():
        if properties.setdefault(key, value) != value:
            raise ModelError(
                f"{document['id']}: the property {key!r} is {properties[key]!r}, and properties do not change. "
                "Use a tag, or register a new version."
            )
    changed = {**document, "tags": tags, "properties": properties}
    if description is not None:
        changed["description"] = description
    if resource_configuration is not None:
        changed["resource_configuration"] = resource_configuration.serialize()
    return changed


def matches(document: Document, tags: Filter, properties: Filter, framework: str | None) -> bool:
    return (
        all(holds(document["tags"], key, value) for key, value in wanted("tags", tags))
        and all(holds(document["properties"], key, value) for key, value in wanted("properties", properties))
        and (framework is None or document["framework"] == checked_framework(framework))
    )


def holds(there: Mapping[str, str], key: str, value: str | None) -> bool:
    return key in there and value in (None, there[key])


def wanted(what: str, given: Filter) -> list[tuple[str, str | None]]:
    """Keys with their values, None where any will do. ["a", ["b", "c"]] is a there, and b being c."""
    if given is None:
        return []
    if isinstance(given, str):
        return [(given, None)]
    if isinstance(given, Mapping):
        return list(given.items())
    result: list[tuple[str, str | None]] = []
    for one in given:
        if isinstance(one, str):
            result.append((one, None))
        elif isinstance(one, list | tuple) and len(one) == 2 and all(isinstance(part, str) for part in one):
            result.append((one[0], one[1]))
        else:
            raise ModelError(
                f'{what}: expected keys and pairs, such as ["area", ["type", "regression"]], got {given!r}.'
            )
    return result
