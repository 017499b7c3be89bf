"""What goes wrong when a workspace or a folder is written to, by name."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from scoring_runtime.durable import make_folder
from scoring_runtime.errors import DiskFull, WorkspaceError

__all__ = ["check_space", "make_place", "named_disk_errors", "room_for"]


def check_space(folder: str, needed: int) -> None:
    """Raises DiskFull: better now than after minutes."""
    if shutil.disk_usage(folder).free < needed:
        raise DiskFull(folder, needed)


@contextmanager
def named_disk_errors(folder: str, needed: int = 0) -> Iterator[None]:
    """Raises DiskFull and WorkspaceError for what the operating system says."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(folder, needed) from None
        where = f"{error.filename}: " if error.filename else ""
        raise WorkspaceError(f"{folder} cannot be written: {where}{error.strerror}. Check its permissions.") from None


def make_place(workspace: str, folder: str) -> None:
    """A folder in the workspace. Raises DiskFull and WorkspaceError."""
    with named_disk_errors(workspace):
        make_folder(folder)


@contextmanager
def room_for(folder: str, needed: int) -> Iterator[None]:
    """Raises DiskFull; other errors stay what they are, for files elsewhere are read within."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(folder, needed) from None
        raise
