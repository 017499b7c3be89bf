"""What applying would change, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["differences"]

BY_THE_SERVER = {"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"}
Document = dict[str, Any]


def differences(live: Document | None, wanted: Document) -> list[str]:
    """Between the live object and what a dry run made of ours; the values of secrets are not said."""
    if live is None:
        return ["new"]
    secret = wanted["kind"] == "Secret"
    return [
        path if secret and path.startswith("data") else f"{path}: {shown(before)} -> {shown(after)}"
        for path, before, after in changed(stripped(live), stripped(wanted))
    ]


def stripped(document: Document) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name not in BY_THE_SERVER}
    return {**{name: value for name, value in document.items() if name != "status"}, "metadata": metadata}


def changed(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from changed(before.get(name), after.get(name), f"{path}.{name}" if path else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from changed(one, other, f"{path}[{at}]")
    elif before != after:
        yield path, before, after


def shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
