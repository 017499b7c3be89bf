"""Which blobs are in use: those that a record names, and those that a JSON blob in use names (an image's manifest)."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.blobs import Blobs

__all__ = ["named_blobs"]

HEX = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
KINDS = ("models", "environments", "images")
LARGEST_MANIFEST = 4 << 20  # bytes; registries refuse larger ones


def named_blobs(blobs: Blobs) -> set[str]:
    """Whatever looks like a hash counts, wherever it stands: nothing is removed for not being understood."""
    found: set[str] = set()
    waiting = set().union(*(hashes_below(blobs.storage.path(kind)) for kind in KINDS))
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= hashes_in(blobs.path(name), manifests_only=True) - found
    return found


def hashes_below(folder: str) -> set[str]:
    return {
        name
        for place, _, files in os.walk(folder)
        for file in files
        if file.endswith((".json", ".yml", ".yaml"))
        for name in hashes_in(os.path.join(place, file))
    }


def hashes_in(path: str, manifests_only: bool = False) -> set[str]:
    try:
        with open(path, "rb") as file:
            if manifests_only and (os.fstat(file.fileno()).st_size > LARGEST_MANIFEST or file.peek(1)[:1] != b"{"):
                return set()
            return {name.decode() for name in HEX.findall(file.read())}
    except FileNotFoundError:  # a record that was removed, a blob that is not there
        return set()
