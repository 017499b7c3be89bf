"""A model's files, written where a user wants them: beside their place first, verified, then moved in."""

from __future__ import annotations

import os
import shutil
import uuid
from typing import Any

from scoring_runtime.deploy.models.model_files import Progress
from scoring_runtime.deploy.workspaces.blobs import Blobs
from scoring_runtime.deploy.workspaces.disk import check_space, named_disk_errors
from scoring_runtime.errors import ModelError

__all__ = ["download_to", "free_target"]


def download_to(
    blobs: Blobs, record: dict[str, Any], target_dir: str, replace: bool = False, progress: Progress | None = None
) -> str:
    """The path of the file or folder, which keeps the name it was registered with. Raises ModelError, BlobCorrupt."""
    target = free_target(record, target_dir, replace)
    with named_disk_errors(target_dir, record["size"]):
        os.makedirs(target_dir, exist_ok=True)
        check_space(target_dir, record["size"])
        staging = os.path.join(target_dir, f".{record['basename'][:200]}.{uuid.uuid4().hex[:12]}.tmp")
        os.mkdir(staging)
        try:
            fill(blobs, record, staging, progress)
            move_in(record, staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return target


def free_target(record: dict[str, Any], target_dir: str, replace: bool) -> str:
    """Where it will lie. Raises ModelError if something is there that stays."""
    inside("", record["basename"])
    target = os.path.join(target_dir, record["basename"])
    if os.path.lexists(target):
        if not replace:
            raise ModelError(
                f"{target} is there already. Name another folder, or replace it with --overwrite (exist_ok=True)."
            )
        if os.path.isdir(target) != (record["kind"] == "folder"):
            raise ModelError(
                f"{target} is there, and is not a {record['kind']} like the model {record['id']}. Move it."
            )
    return target


def fill(blobs: Blobs, record: dict[str, Any], folder: str, progress: Progress | None) -> None:
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, record["size"])

    for file in record["files"]:
        path = inside(folder, file["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        blobs.copy(file["sha256"], path, told)
        os.chmod(path, file["mode"] & 0o755)
    for empty in record["empty_folders"]:
        os.makedirs(inside(folder, empty), exist_ok=True)


def inside(folder: str, path: str) -> str:
    """A record may come from elsewhere: none writes outside the folder."""
    result = os.path.normpath(path)
    if os.path.isabs(result) or result.split(os.sep)[0] in (".", ".."):
        raise ModelError(
            f"The model's record names {path!r}, which is outside of its folder. Do not trust this workspace."
        )
    return os.path.join(folder, result)


def move_in(record: dict[str, Any], staging: str, target: str) -> None:
    if record["kind"] == "file":
        os.replace(os.path.join(staging, record["basename"]), target)
    elif not os.path.lexists(target):
        os.rename(staging, target)
    else:
        for part in [*(file["path"] for file in record["files"]), *record["empty_folders"]]:
            place = os.path.join(target, part)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if part in record["empty_folders"]:
                os.makedirs(place, exist_ok=True)
            else:
                os.replace(os.path.join(staging, part), place)
