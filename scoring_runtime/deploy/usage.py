"""Who uses a model or an image: those whose documents name its id under "models", or as their "image"."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspace import Workspace

__all__ = ["services_with", "users_of"]


def users_of(workspace: Workspace, id: str) -> list[str]:
    """Such as ["image web:1", "service web"]. Ask it while you hold workspace.lock()."""
    images = workspace.records("images")
    users = [
        f"image {name}:{version}"
        for name in images.names()
        for version in images.versions(name)
        if id in named_models(images.path(name, version))
    ]
    services = workspace.path("services")
    for name in sorted(os.listdir(services)) if os.path.isdir(services) else []:
        if any(id in named_models(path) for path in documents_below(os.path.join(services, name))):
            users.append(f"service {name}")
    return users


def services_with(workspace: Workspace, image: str) -> list[str]:
    """Such as ["service web"]: those that run the image "name:version"."""
    services = workspace.path("services")
    return [
        f"service {name}"
        for name in (sorted(os.listdir(services)) if os.path.isdir(services) else [])
        if any(document_at(path).get("image") == image for path in documents_below(os.path.join(services, name)))
    ]


def documents_below(folder: str) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        yield from (os.path.join(place, file) for file in files if file.endswith(".json"))


def named_models(path: str) -> set[str]:
    models = document_at(path).get("models")
    return {one for one in models if isinstance(one, str)} if isinstance(models, list) else set()


def document_at(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document: Any = json.load(file)
    except (FileNotFoundError, ValueError):  # was removed just now; is none of ours
        return {}
    return document if isinstance(document, dict) else {}
