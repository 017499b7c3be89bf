"""Who uses a model or an image: those whose documents name its id under "models", or as their "image"."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

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
        if any(id in named_models(path) for path in revisions_of(os.path.join(services, name))):
            users.append(f"service {name}")
    return users


def services_with(workspace: Workspace, image: str) -> list[str]:
    """Such as ["service web"]: those that run the image "name:version"."""
    services = workspace.path("services")
    return [
        f"service {name}"
        for name in (sorted(os.listdir(services)) if os.path.isdir(services) else [])
        if any(document_at(path).get("image") == image for path in revisions_of(os.path.join(services, name)))
    ]


def revisions_of(service: str) -> list[str]:
    """All that are kept: a service may go back to each of them."""
    folder = os.path.join(service, "revisions")
    return [os.path.join(folder, file) for file in sorted(os.listdir(folder))] if os.path.isdir(folder) else []


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
