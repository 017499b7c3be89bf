"""A workspace is a folder: models, environments, images and services as plain files, with one lock.

<workspace>/
  lock                                held while something that is in use could be removed
  blobs/sha256/<hex>                  files of models and layers of images, each once
  models/<name>/<version>.json        images/..., environments/... alike
  services/<name>/                    one folder each, see service.py
  cache/                              may be removed at any time
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from scoring_runtime.deploy.records import Records
from scoring_runtime.durable import make_folder

__all__ = ["Workspace"]


class Workspace:
    """Made on first use. Without a folder: SCORING_WORKSPACE, else one below the user's data directory."""

    def __init__(self, folder: str | None = None) -> None:
        self.folder = os.path.abspath(folder or os.environ.get("SCORING_WORKSPACE") or default_folder())
        self.models = Records(self.path("models"))
        self.environments = Records(self.path("environments"))
        self.images = Records(self.path("images"))

    def __repr__(self) -> str:
        return f"Workspace({self.folder!r})"

    def path(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process at a time is in here. Ends with the process, however that ends."""
        make_folder(self.folder)
        with open(self.path("lock"), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def default_folder() -> str:
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "scoring-runtime")
