"""Bases outlive a build that fails: what was fetched for it is not garbage until a build has used it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from scoring_runtime.deploy.images.layer_cache import key_of
from scoring_runtime.durable import make_folder, write_file

if TYPE_CHECKING:
    from scoring_runtime.deploy.images.base_image import Base
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["keep_base", "release_base"]


def path_of(workspace: Workspace, base: Base) -> str:
    return workspace.path("images", ".bases", f"{key_of([layer.digest for layer in base.layers])}.json")


def keep_base(workspace: Workspace, base: Base) -> None:
    """Its layers are named by a document, and so not collected."""
    path = path_of(workspace, base)
    make_folder(os.path.dirname(path))
    write_file(path, json.dumps([layer.digest for layer in base.layers]).encode())


def release_base(workspace: Workspace, base: Base) -> None:
    """From now on an image names them."""
    path = path_of(workspace, base)
    if os.path.exists(path):
        os.unlink(path)
