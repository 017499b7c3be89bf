"""Versioned documents in a folder: `<name>/<version>.json`, written whole or not at all, no version given twice."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

from scoring_runtime.durable import make_folder, sync_folder, write_file

__all__ = ["Records"]

Document = dict[str, Any]


class Records:
    """The documents of one kind. Names have been checked by who calls."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def add(self, name: str, document: Document) -> int:
        """Write the document as the next version, and say which: two at once get two versions."""
        folder = os.path.join(self.folder, name)
        make_folder(folder)
        version = max([self.last(name), *self.versions(name)]) + 1
        while True:
            temporary = os.path.join(folder, f"{uuid.uuid4().hex[:12]}.tmp")
            write_file(temporary, encoded({**document, "version": version}))
            try:
                os.link(temporary, self.path(name, version))  # unlike a rename this fails if it is there
            except FileExistsError:
                version += 1
                continue
            finally:
                os.unlink(temporary)
            sync_folder(folder)
            return version

    def read(self, name: str, version: int) -> Document:
        """Raises FileNotFoundError."""
        with open(self.path(name, version), "rb") as file:
            document: Document = json.load(file)
            return document

    def replace(self, name: str, version: int, document: Document) -> None:
        write_file(self.path(name, version), encoded(document))

    def remove(self, name: str, version: int) -> None:
        """The number stays used: what comes next gets a higher one."""
        if version > self.last(name):
            write_file(os.path.join(self.folder, name, "last"), str(version).encode())
        os.unlink(self.path(name, version))
        sync_folder(os.path.join(self.folder, name))

    def names(self) -> list[str]:
        return sorted(name for name in listed(self.folder) if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """In order, the newest last."""
        stems = (entry[:-5] for entry in listed(os.path.join(self.folder, name)) if entry.endswith(".json"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def last(self, name: str) -> int:
        """The highest version that was removed."""
        try:
            with open(os.path.join(self.folder, name, "last")) as file:
                return int(file.read())
        except FileNotFoundError:
            return 0

    def path(self, name: str, version: int) -> str:
        return os.path.join(self.folder, name, f"{version}.json")


def encoded(document: Document) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()


def listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
