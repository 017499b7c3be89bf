"""Where a workspace lies: a folder of this machine, or a URL that is only read."""

from __future__ import annotations

import os
from typing import IO, Any, Protocol

from scoring_runtime.errors import DeployError, WorkspaceReadOnly

__all__ = ["Folder", "Remote", "Storage", "storage_at"]


class Storage(Protocol):
    """What reading needs. FileNotFoundError where there is nothing, from both."""

    where: str
    writable: bool

    def path(self, *parts: str) -> str: ...

    def listed(self, *parts: str) -> list[str]: ...

    def open(self, *parts: str) -> IO[bytes]: ...


class Folder:
    """Plain files."""

    writable = True

    def __init__(self, folder: str) -> None:
        self.where = folder

    def path(self, *parts: str) -> str:
        return os.path.join(self.where, *parts)

    def listed(self, *parts: str) -> list[str]:
        """The names in a folder; none where there is no such folder."""
        try:
            return os.listdir(self.path(*parts))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open(self, *parts: str) -> IO[bytes]:
        return open(self.path(*parts), "rb")


class Remote:
    """Any URL that fsspec reads: s3://, abfs://, http://, memory://, ..."""

    writable = False

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError:
            raise DeployError(
                f"{url}: a workspace at a URL needs fsspec. Install it with: pip install 'scoring-runtime[remote]'"
            ) from None
        self.where = url.rstrip("/")
        try:
            self.files: Any
            self.root: str
            self.files, self.root = fsspec.core.url_to_fs(self.where)
        except (ImportError, ValueError) as error:  # the protocol is unknown, or its package is missing
            raise DeployError(f"{url} cannot be opened: {error}") from None

    def path(self, *parts: str) -> str:
        raise WorkspaceReadOnly(self.where)

    def listed(self, *parts: str) -> list[str]:
        try:
            found = self.files.ls("/".join([self.root, *parts]), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [str(one).rstrip("/").rpartition("/")[2] for one in found]

    def open(self, *parts: str) -> IO[bytes]:
        file: IO[bytes] = self.files.open("/".join([self.root, *parts]), "rb")
        return file


def storage_at(place: str) -> Storage:
    return Remote(place) if "://" in place else Folder(os.path.abspath(os.path.expanduser(place)))
