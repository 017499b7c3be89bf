"""Files that are there whole or not at all, whatever is killed and whenever: write beside, sync, rename, sync."""

from __future__ import annotations

import os
import uuid

__all__ = ["make_folder", "sync_folder", "write_file"]


def write_file(path: str, *chunks: bytes) -> None:
    """Replace the file in one step. The temporary's name is unique, so that writers on other machines do not meet."""
    temporary = f"{path}.{uuid.uuid4().hex[:12]}.tmp"
    with open(temporary, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(os.path.dirname(path))


def make_folder(path: str) -> None:
    """With all above it that are not there."""
    if not os.path.isdir(path):
        above = os.path.dirname(os.path.abspath(path))
        make_folder(above)
        try:
            os.mkdir(path)
        except FileExistsError:  # another process was quicker
            pass
        sync_folder(above)


def sync_folder(path: str) -> None:
    """Make names in the folder as durable as the files' contents."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
