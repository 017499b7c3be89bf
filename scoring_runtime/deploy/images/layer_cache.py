"""What was made from what, so that nothing is made twice: `<workspace>/cache/layers/<key>.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.images.compression import LEVEL
from scoring_runtime.deploy.images.layers import Layer
from scoring_runtime.durable import make_folder, write_file

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["key_of", "remembered", "remembered_layer", "stamp"]

FORMAT = 1  # a change of how layers are written makes all of them anew


def key_of(*parts: Any) -> str:
    """Parts are plain values; equal ones have equal keys."""
    return hashlib.sha256(json.dumps([FORMAT, LEVEL, *parts], sort_keys=True).encode()).hexdigest()


def stamp(path: str) -> list[Any]:
    """Changes when the file does, without reading it; what git goes by."""
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def remembered(workspace: Workspace, key: str, make: Callable[[], Any]) -> Any:
    """A plain value."""
    path = workspace.path("cache", "layers", f"{key}.json")
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        pass
    value = make()
    make_folder(os.path.dirname(path))
    write_file(path, json.dumps(value).encode())
    return value


def remembered_layer(workspace: Workspace, key: str, make: Callable[[], Layer]) -> tuple[Layer, bool]:
    """The layer, and whether it had to be made: it is made again where its blob is gone."""
    made: list[Layer] = []

    def made_now() -> Any:
        made.append(make())
        return asdict(made[0])

    layer = Layer(**remembered(workspace, key, made_now))
    if not made and not is_there(workspace, layer):
        os.unlink(workspace.path("cache", "layers", f"{key}.json"))
        layer = Layer(**remembered(workspace, key, made_now))
    return layer, bool(made)


def is_there(workspace: Workspace, layer: Layer) -> bool:
    try:
        return os.path.getsize(workspace.blobs.path(layer.digest[7:])) == layer.size
    except FileNotFoundError:
        return False
