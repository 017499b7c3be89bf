"""Reads the files of a build context, noticing changes, and writes an app root on disk to serve from."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scoring_runtime.errors import BlobCorrupt, DiskFull, PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.packaging import BuildContext, File

__all__ = ["chunks", "materialise"]

CHUNK = 1 << 20


def chunks(file: File) -> Iterator[bytes]:
    """The file's bytes. Raises PackagingError at the end if they are not what was listed, or were registered."""
    hashed, size = hashlib.sha256(), 0
    try:
        with open(file.source, "rb") as source:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                if file.sha256:
                    hashed.update(chunk)
                yield chunk
            modified = os.fstat(source.fileno()).st_mtime_ns
    except OSError as error:
        raise PackagingError(
            f"{file.source} cannot be read any more: {error.strerror}. It was there a moment ago; try again."
        ) from None
    if file.sha256 and hashed.hexdigest() != file.sha256:
        raise BlobCorrupt(file.path, file.sha256, f"its sha256 is {hashed.hexdigest()}")
    if size != file.size or (file.modified_ns and modified != file.modified_ns):
        raise PackagingError(f"{file.source} changed while it was packaged. Let what writes it finish, then try again.")


def materialise(context: BuildContext, folder: str) -> None:
    """Write the app root into a folder, empty or new. The server is started with environ_in(context, folder)."""
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise PackagingError(f"{folder} is not empty. Name another folder for the app root.")
    try:
        for file in context.files:
            path = os.path.join(folder, file.path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as target:
                target.writelines(chunks(file))
            os.chmod(path, file.mode)
        for empty in (one for model in context.models for one in model.empty_folders):
            os.makedirs(os.path.join(folder, empty), exist_ok=True)
        for name, content in context.documents().items():
            with open(os.path.join(folder, name), "wb") as target:
                target.write(content)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(folder, context.size) from None
        raise PackagingError(f"{folder} cannot be written: {error.strerror}. Name another folder.") from None
