"""A workspace is a folder: models, environments, images and services as plain files, with one lock.

<workspace>/
  lock                                held while something that is in use could be removed
  blobs/sha256/<hex>                  files of models and layers of images, each once
  models/<name>/<version>.json        images/..., environments/... alike
  services/<name>/                    one folder each, see service.py
  cache/                              may be removed at any time

It may also lie at a URL (s3://, https://, memory://, ...): then it is read, and every write is refused.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scoring_runtime.deploy.workspaces.blobs import Blobs
from scoring_runtime.deploy.workspaces.disk import make_place
from scoring_runtime.deploy.workspaces.locks import locked
from scoring_runtime.deploy.workspaces.records import Records
from scoring_runtime.deploy.workspaces.storage import Folder, storage_at
from scoring_runtime.deploy.workspaces.workspace_file import find_workspace, write_workspace_file
from scoring_runtime.durable import make_folder
from scoring_runtime.errors import WorkspaceError, WorkspaceReadOnly

__all__ = ["Workspace"]

held = threading.local()  # folder -> how often this thread has its lock


class Workspace:
    """A folder, made on first use, a URL, or the name of one that create() made.

    Without any: SCORING_WORKSPACE, else `default` below the user's data directory.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.storage = storage_at(place_of(folder or os.environ.get("SCORING_WORKSPACE") or named_folder("default")))
        self.folder = self.storage.where

    def __repr__(self) -> str:
        return f"Workspace({self.folder!r})"

    @classmethod
    def create(
        cls,
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        *,
        folder: str | None = None,
        exist_ok: bool = False,
        **ignored: object,
    ) -> Workspace:
        """Make the workspace of that name, in the folder or below the user's data directory.

        What only Azure needs (subscription, resource group, location, ...) is taken and not used.
        """
        place = os.path.join(folder, name) if folder else named_folder(name)
        if os.path.isdir(place) and not exist_ok:
            raise WorkspaceError(
                f"{place}: there is a workspace of that name. Write Workspace.get({name!r}), or pass exist_ok=True."
            )
        workspace = cls(place)
        make_folder(workspace.folder)
        return workspace

    @classmethod
    def get(
        cls,
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        *,
        folder: str | None = None,
        **ignored: object,
    ) -> Workspace:
        """The workspace that create() made."""
        place = os.path.join(folder, name) if folder else named_folder(name)
        if not os.path.isdir(place):
            raise WorkspaceError(f"{place}: there is no such workspace. Make it with Workspace.create({name!r}).")
        return cls(place)

    @classmethod
    def from_config(cls, path: str | None = None, auth: object = None, **ignored: object) -> Workspace:
        """The workspace that a config.json names: the file or folder given, else here, in .azureml, or above.

        SCORING_WORKSPACE goes before a file that was only found. Without either: the default workspace.
        """
        if path is None and os.environ.get("SCORING_WORKSPACE"):
            return cls()
        found = find_workspace(path)
        if found is None:
            return cls()
        return cls(found.folder or named_folder(found.name))

    def write_config(self, path: str | None = None, file_name: str | None = None) -> str:
        """Write .azureml/config.json, for from_config(), and say where."""
        return write_workspace_file(path or os.getcwd(), file_name or "config.json", self.name, self.folder)

    @property
    def name(self) -> str:
        return self.folder.rstrip("/").rpartition("/")[2]

    def get_details(self) -> dict[str, Any]:
        return {"name": self.name, "folder": self.folder, "read_only": not self.storage.writable}

    @property
    def models(self) -> dict[str, Any]:
        """Name -> Model, the latest version of each."""
        return latest(self.kind("Model").list(self, latest=True))

    @property
    def images(self) -> dict[str, Any]:
        """Name -> Image, the latest version of each."""
        return latest(self.kind("Image").list(self))

    @property
    def environments(self) -> dict[str, Any]:
        """Name -> Environment, the latest version of each."""
        found: dict[str, Any] = self.kind("Environment").list(self)
        return found

    @property
    def webservices(self) -> dict[str, Any]:
        """Name -> Webservice."""
        return {one.name: one for one in self.kind("Webservice").list(self)}

    @property
    def compute_targets(self) -> dict[str, Any]:
        """Name -> ComputeTarget: what services can be sent to beside this machine."""
        return {one.name: one for one in self.kind("ComputeTarget").list(self)}

    def kind(self, name: str) -> Any:
        """A public class, imported when it is asked for: its module imports this one."""
        return getattr(importlib.import_module("scoring_runtime.deploy"), name)

    @property
    def blobs(self) -> Blobs:
        return Blobs(self.storage)

    def records(self, kind: str) -> Records:
        """The documents below models/, environments/ or images/."""
        return Records(self.storage, kind)

    def path(self, *parts: str) -> str:
        """A file of the workspace, to be written or read. Raises WorkspaceReadOnly if it lies at a URL."""
        return self.storage.path(*parts)

    def check_writable(self, what: str) -> None:
        """Raises WorkspaceReadOnly, which says what was refused: "Model.register"."""
        if not isinstance(self.storage, Folder):
            raise WorkspaceReadOnly(self.folder, what)

    @contextmanager
    def lock(self, wait_seconds: float = 60.0) -> Iterator[None]:
        """Only one thread of one process at a time is in here; within that thread it may be entered again.

        Hold it for two things, and only for as long as they take, never while something is built, copied or started:
        to look whether something is used and then remove it; to write a record that says what it uses, after having
        looked, in here, whether that is still there. It ends with the process, however that ends.
        Raises WorkspaceError when it is not free in time.
        """
        self.check_writable("a change")
        depths: dict[str, int] = held.__dict__
        if not depths.get(self.folder):
            make_place(self.folder, self.folder)
            with locked(self.path("lock"), wait_seconds):
                depths[self.folder] = 1
                try:
                    yield
                finally:
                    del depths[self.folder]
            return
        yield


def latest(all_of_them: list[Any]) -> dict[str, Any]:
    """Name -> the one with the highest version."""
    result: dict[str, Any] = {}
    for one in sorted(all_of_them, key=lambda one: (one.name, one.version)):
        result[one.name] = one
    return result


def place_of(given: str) -> str:
    """A folder or URL as it is; a bare name that is no folder here, but was created by name, is that one."""
    if os.sep in given or os.path.exists(given) or given in (".", ".."):
        return given
    named = named_folder(given)
    return named if os.path.isdir(named) else given


def named_folder(name: str) -> str:
    """Where a workspace of that name lies, unless it is said otherwise."""
    if not name or name in (".", "..") or "/" in name:
        raise WorkspaceError(f"expected a workspace's name, got {name!r}. For a folder write Workspace({name!r}).")
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "scoring-runtime", name)
