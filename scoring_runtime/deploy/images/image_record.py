"""The document of one version of an image, from the moment its build begins to its end, whatever ends it."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from scoring_runtime.deploy.images.builder import Built
from scoring_runtime.deploy.models.model_record import texts
from scoring_runtime.deploy.workspaces.disk import make_place
from scoring_runtime.deploy.workspaces.locks import free, locked
from scoring_runtime.errors import DeployError, ImageNotFound, ModelNotFound, WorkspaceError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.records import Document
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = [
    "FAILED",
    "RUNNING",
    "SUCCEEDED",
    "check_image_name",
    "drafted",
    "log_path",
    "missing",
    "read",
    "recorded",
    "succeeded",
]

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,30}[a-z0-9]")
INTERRUPTED = "The build ended before the image was done: its process is gone. Build it again."


def check_image_name(name: str) -> str:
    """Raises DeployError."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name:
        raise DeployError(
            "An image's name: expected 3 to 32 lower-case letters, digits, '-' and '.', a letter or digit at both "
            f"ends; got {name!r}."
        )
    return name


def drafted(
    models: Sequence[str],
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    description: str | None = None,
) -> Document:
    """What is known before the build."""
    return {
        "state": RUNNING,
        "models": list(models),
        "tags": texts("tags", tags),
        "properties": texts("properties", properties),
        "description": description or "",
        "created": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        "error": None,
        "location": None,
    }


def succeeded(built: Built) -> Document:
    """What is known after it."""
    places = [one.platform for one in built.platforms if one.platform]
    return {
        "state": SUCCEEDED,
        "digest": built.descriptor.digest,
        "media_type": built.descriptor.media_type,
        "manifest_size": built.descriptor.size,
        "platforms": [
            {"platform": str(one.platform), "digest": one.digest, "size": one.size} for one in built.platforms
        ],
        "os": places[0].os if places else "linux",
        "architecture": ",".join(place.architecture for place in places),
        "layers": list(built.layers),
        "base": {"name": built.bases[0].name, "digest": built.bases[0].digest} if built.bases else None,
        "size": built.size,
    }


@contextmanager
def recorded(workspace: Workspace, name: str, draft: Document) -> Iterator[tuple[int, Callable[[Document], None]]]:
    """A new version, Running until the block calls what it is given with more to say; Failed if the block raises.

    Whoever reads it meanwhile can see by a lock whether the builder lives.
    """
    home = workspace.path("images", ".building")
    make_place(workspace.folder, home)
    build = uuid.uuid4().hex
    mark = os.path.join(home, build)
    records = workspace.records("images")
    with locked(mark), ExitStack() as ending:
        ending.callback(os.unlink, mark)
        with workspace.lock():
            check_models(workspace, draft["models"])
            version = records.add(name, {**draft, "build": build})
        try:
            yield version, lambda more: change(workspace, name, version, more)
        except BaseException as error:
            said = str(error) or type(error).__name__
            with suppress(OSError):  # of a full disk: that the builder is gone says as much
                change(workspace, name, version, {"state": FAILED, "error": said, "models": []})
            raise


def check_models(workspace: Workspace, ids: Sequence[str]) -> None:
    """That registered ones are there still: the lock is held."""
    for id in ids:
        name, _, version = id.partition(":")
        if version != "0" and int(version) not in workspace.records("models").versions(name):
            raise ModelNotFound(f"The model {id} has been deleted from {workspace.folder} just now.")


def change(workspace: Workspace, name: str, version: int, more: Document) -> None:
    workspace.records("images").change(name, version, lambda document: {**document, **more})


def read(workspace: Workspace, name: str, version: int) -> Document:
    """As it is: a build whose process is gone has failed. Raises ImageNotFound."""
    try:
        document = workspace.records("images").read(name, version)
        if document["state"] == RUNNING and not builds(workspace, document["build"]):
            document = workspace.records("images").read(name, version)  # may have ended between the two looks
            if document["state"] == RUNNING:
                document = {**document, "state": FAILED, "error": INTERRUPTED, "models": []}
                if workspace.storage.writable:
                    workspace.records("images").replace(name, version, document)
                    with suppress(FileNotFoundError):
                        os.unlink(workspace.path("images", ".building", document["build"]))
    except FileNotFoundError:
        raise missing(workspace, f"{name}:{version}") from None
    return document


def builds(workspace: Workspace, build: str) -> bool:
    """Whether its process lives. At a URL nobody can know."""
    if not workspace.storage.writable:
        return True
    mark = workspace.path("images", ".building", build)
    if not os.path.exists(mark):
        return False
    try:
        with free(mark) as alone:
            return not alone
    except WorkspaceError:  # another user builds
        return True


def missing(workspace: Workspace, what: str) -> ImageNotFound:
    records = workspace.records("images")
    name = what.partition(":")[0]
    versions = ", ".join(map(str, records.versions(name)))
    there = f"versions of {name}: {versions}" if versions else f"images there: {', '.join(records.names()) or 'none'}"
    return ImageNotFound(
        f"There is no image {what} in {workspace.folder}; {there}. See `scoring image list`, or build it: "
        "scoring image build score.py -n NAME"
    )


def log_path(workspace: Workspace, name: str, version: int) -> str:
    return workspace.path("images", name, f"{version}.log")
