"""Who uses a model: the images and services whose documents name its id under "models"."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspace import Workspace

__all__ = ["users_of"]


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


def documents_below(folder: str) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        yield from (os.path.join(place, file) for file in files if file.endswith(".json"))


def named_models(path: str) -> set[str]:
    try:
        with open(path, "rb") as file:
            document: Any = json.load(file)
    except (FileNotFoundError, ValueError):  # was removed just now; is none of ours
        return set()
    models = document.get("models") if isinstance(document, dict) else None
    return {one for one in models if isinstance(one, str)} if isinstance(models, list) else set()
