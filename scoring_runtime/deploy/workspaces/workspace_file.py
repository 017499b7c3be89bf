"""The config.json that says which workspace a project uses; those of Azure ML name one too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scoring_runtime.durable import make_folder, write_file
from scoring_runtime.errors import WorkspaceError

__all__ = ["WorkspaceFile", "find_workspace", "write_workspace_file"]

PLACES = (".azureml/config.json", "aml_config/config.json", "config.json")
EXPECTED = 'expected {"workspace_name": ...}, as Workspace.write_config() writes it'


@dataclass(frozen=True)
class WorkspaceFile:
    """What a config.json says: a name, and a folder where that is not the usual one."""

    name: str
    folder: str = ""


def find_workspace(path: str | None) -> WorkspaceFile | None:
    """From the file or folder given, or from the working directory upwards; None if nothing is found there.

    A config.json that names no workspace is somebody else's, and passed over, unless it was given.
    """
    if path is not None and os.path.isfile(path):
        return read(path, strict=True)
    start = os.path.abspath(path or os.getcwd())
    for candidate in candidates(start):
        if os.path.isfile(candidate):
            found = read(candidate, strict=False)
            if found is not None:
                return found
    if path is None:
        return None
    raise WorkspaceError(
        f"{path}: {EXPECTED}, here, in .azureml or above; there is none. Write it with "
        "Workspace(folder).write_config(), or use Workspace(folder)."
    )


def candidates(folder: str) -> Iterator[str]:
    while True:
        for place in PLACES:
            yield os.path.join(folder, place)
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def read(path: str, strict: bool) -> WorkspaceFile | None:
    try:
        with open(path, encoding="utf-8") as file:
            document: Any = json.load(file)
    except (ValueError, OSError) as error:
        if not strict:
            return None
        raise WorkspaceError(f"{path}: {EXPECTED}: {error}") from None
    name = document.get("workspace_name") if isinstance(document, dict) else None
    if isinstance(name, str) and name:
        folder = str(document.get("folder") or "")
        if folder and "://" not in folder:
            folder = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), folder))
        return WorkspaceFile(name, folder)
    if strict:
        raise WorkspaceError(f"{path}: {EXPECTED}; it has no workspace_name.")
    return None


def write_workspace_file(folder: str, file_name: str, name: str, workspace: str) -> str:
    """Below .azureml, as Azure ML's own; returns its path."""
    place = os.path.join(folder, ".azureml")
    make_folder(place)
    path = os.path.join(place, file_name)
    write_file(path, json.dumps({"workspace_name": name, "folder": workspace}, indent=1).encode() + b"\n")
    return path
