"""Versioned documents, `<kind>/<name>/<version>.json`: written whole or not at all, no version given twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from scoring_runtime.deploy.workspaces.disk import make_place, room_for
from scoring_runtime.deploy.workspaces.locks import locked
from scoring_runtime.deploy.workspaces.storage import Storage
from scoring_runtime.durable import sync_folder, write_file
from scoring_runtime.errors import WorkspaceError

__all__ = ["Document", "Records"]

Document = dict[str, Any]


class Records:
    """The documents of one kind. Names have been checked by who calls."""

    def __init__(self, storage: Storage, kind: str) -> None:
        self.storage = storage
        self.kind = kind

    def add(self, name: str, document: Document) -> int:
        """Write the document as the next version, and say which: two at once get two versions.

        It is given its name, version and id.
        """
        with self.writing(name):
            version = self.next_version(name)
            document = {**document, "name": name, "version": version, "id": f"{name}:{version}"}
            write_file(self.path(name, version), encoded(document))
        return version

    def read(self, name: str, version: int) -> Document:
        """Raises FileNotFoundError, and WorkspaceError if somebody has damaged it."""
        with self.storage.open(self.kind, name, f"{version}.json") as file:
            text = file.read()
        try:
            document: Document = json.loads(text)
            return {**document, "name": name, "version": version}
        except (ValueError, TypeError) as error:
            raise WorkspaceError(
                f"{self.storage.where}: {self.kind}/{name}/{version}.json is damaged: {error}. Restore it from a "
                "backup, or remove it."
            ) from None

    def replace(self, name: str, version: int, document: Document) -> None:
        """Raises FileNotFoundError where it was removed: an update does not bring it back."""
        with self.writing(name):
            os.stat(self.path(name, version))
            write_file(self.path(name, version), encoded(document))

    def change(self, name: str, version: int, changed: Callable[[Document], Document]) -> Document:
        """Read, change and write, while nobody else does; what it is now. Raises FileNotFoundError."""
        with self.writing(name):
            document = changed(self.read(name, version))
            write_file(self.path(name, version), encoded(document))
        return document

    def remove(self, name: str, version: int) -> None:
        """The number stays used: what comes next gets a higher one. Raises FileNotFoundError."""
        with self.writing(name):
            os.stat(self.path(name, version))
            if version > self.last(name):
                last = self.storage.path(self.kind, name, "last")
                os.replace(self.path(name, version), last)  # takes no space: who removes may do so because of that
                with suppress(OSError):
                    write_file(last, str(version).encode())
            else:
                os.unlink(self.path(name, version))
            sync_folder(self.storage.path(self.kind, name))

    def names(self) -> list[str]:
        return sorted(name for name in self.storage.listed(self.kind) if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """In order, the newest last."""
        stems = (entry[:-5] for entry in self.storage.listed(self.kind, name) if entry.endswith(".json"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def next_version(self, name: str) -> int:
        return max([self.last(name), *self.versions(name)]) + 1

    def last(self, name: str) -> int:
        """The highest version that was removed: a number, or on a full disk still its document."""
        try:
            with self.storage.open(self.kind, name, "last") as file:
                found: Any = json.loads(file.read())
            return int(found["version"] if isinstance(found, dict) else found)
        except FileNotFoundError:
            return 0
        except (ValueError, TypeError, KeyError):
            raise WorkspaceError(
                f"{self.storage.where}: {self.kind}/{name}/last is damaged. Write the highest version into it that "
                "there was, or restore it from a backup."
            ) from None

    def path(self, name: str, version: int) -> str:
        return self.storage.path(self.kind, name, f"{version}.json")

    @contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """One writer a name. What one left that was killed is in nobody's way: it is removed."""
        folder = self.storage.path(self.kind, name)
        make_place(self.storage.where, folder)
        with locked(os.path.join(folder, "lock")):
            for entry in os.listdir(folder):
                if entry.endswith(".tmp"):
                    os.unlink(os.path.join(folder, entry))
            with room_for(self.storage.where, 0):
                yield


def encoded(document: Document) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()
