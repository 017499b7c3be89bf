"""Where a workspace lies: a folder of this machine, or a URL that is only read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

from scoring_runtime.errors import MissingPackage, WorkspaceError, WorkspaceReadOnly

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
    """Any URL that fsspec reads: s3://, abfs://, https://, memory://, ... Listings are asked for anew each time."""

    writable = False

    def __init__(self, url: str) -> None:
        self.where = shown(url)
        self.files: Any
        self.root: str
        try:
            import fsspec

            self.files, self.root = fsspec.core.url_to_fs(url.rstrip("/"), use_listings_cache=False)
        except (ImportError, ValueError) as error:  # the protocol is unknown, or its package is missing
            if "fsspec" in str(error):
                raise MissingPackage("Workspaces at a URL", "fsspec", "remote") from None
            raise WorkspaceError(
                f"{self.where} cannot be opened: {error}. Check the URL; install what it names."
            ) from None

    def path(self, *parts: str) -> str:
        raise WorkspaceReadOnly(self.where)

    def listed(self, *parts: str) -> list[str]:
        with self.named_errors():
            try:
                found = self.files.ls("/".join([self.root, *parts]), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return [str(one).rstrip("/").rpartition("/")[2] for one in found]

    def open(self, *parts: str) -> IO[bytes]:
        with self.named_errors():
            file: IO[bytes] = self.files.open("/".join([self.root, *parts]), "rb")
        return file

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Whatever a protocol's package raises; they have nothing in common."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            raise WorkspaceError(
                f"{self.where} cannot be read: {type(error).__name__}. Check that it answers."
            ) from None


def shown(url: str) -> str:
    """Without what may be a secret: user, password and query."""
    protocol, _, rest = url.rstrip("/").partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{protocol}://{host.rpartition('@')[2]}{slash}{path}"


def storage_at(place: str) -> Storage:
    return Remote(place) if "://" in place else Folder(os.path.abspath(os.path.expanduser(place)))
