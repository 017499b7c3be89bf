"""An image of ours as files to serve from, without an engine: its own layers unpacked, with a Python of this machine.

What its base brings (system libraries, packages of the base's own Python) is not used: that takes an engine.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tarfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.packaging import APP_ROOT
from scoring_runtime.deploy.environments.resolver import PLATFORMS
from scoring_runtime.deploy.images.recipes import PREFIX
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["PACKAGES", "image_environ", "unpack_image"]

OURS = "scoring-runtime: "  # begins the history entry of each layer that this project made
PACKAGES = ".packages"  # in the app root: what the image has in its virtual environment
BASES = ("PATH", "HOME", "USER", "LANG", "GPG_KEY", "PYTHONDONTWRITEBYTECODE")  # variables of the container only


def image_environ(workspace: Workspace, image: str) -> dict[str, str]:
    """The server's variables in it. Raises PackagingError."""
    _, config = documents_of(workspace, image)
    pairs = [line.partition("=")[::2] for line in config["config"].get("Env") or ()]
    return {name: value for name, value in pairs if name not in BASES and not name.startswith("PYTHON_")}


def unpack_image(workspace: Workspace, image: str, folder: str) -> str:
    """Write its app root there, and the packages below PACKAGES. The version of Python that they are for, or "".

    Raises PackagingError for an image that is not ours, or not for this kind of machine.
    """
    manifest, config = documents_of(workspace, image)
    made = [OURS in entry.get("created_by", "") for entry in config["history"] if not entry.get("empty_layer")]
    layers = [layer for layer, ours in zip(manifest["layers"], made, strict=True) if ours]
    if not layers:
        raise PackagingError(f"{image} has no layer of this project, so only a container engine can run it.")
    here = PLATFORMS.get(f"{config['os']}/{config['architecture']}")
    if here != platform.machine():
        raise PackagingError(
            f"{image} is for {config['os']}/{config['architecture']}, and this machine is {platform.machine()}. "
            "Build it for this one (--platform), or deploy it to a host of that kind."
        )
    os.makedirs(folder)
    for layer in layers:
        with (
            workspace.blobs.open(layer["digest"].partition(":")[2]) as packed,
            tarfile.open(fileobj=packed, mode="r:*") as archive,
        ):
            for member in archive:
                extract(archive, member, folder)
    library = os.path.join(folder, PACKAGES, "lib")
    versions = [name.removeprefix("python") for name in (os.listdir(library) if os.path.isdir(library) else [])]
    return versions[0] if versions else ""


def extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: str) -> None:
    """Plain files below the app root and the environment; links and devices have no place there."""
    path = f"/{os.path.normpath(member.name)}"
    for home, place in ((APP_ROOT, folder), (PREFIX, os.path.join(folder, PACKAGES))):
        if member.isdir() and path.startswith(f"{home}/"):
            os.makedirs(os.path.join(place, path[len(home) + 1 :]), exist_ok=True)
        content = archive.extractfile(member) if member.isreg() and path.startswith(f"{home}/") else None
        if content is not None:
            target = os.path.join(place, path[len(home) + 1 :])
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(content, file)
            os.chmod(target, member.mode & 0o755)


def documents_of(workspace: Workspace, image: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Its manifest and configuration, of an image for several platforms those of this one."""
    name, _, version = image.rpartition(":")
    try:
        record = workspace.records("images").read(name, int(version))
        document = read(workspace, record["digest"])
    except (FileNotFoundError, ValueError, KeyError):
        raise PackagingError(f"{image} is no finished image of {workspace.folder}. See: scoring image list") from None
    for one in document.get("manifests", ()):
        about = one.get("platform", {})
        if PLATFORMS.get(f"{about.get('os')}/{about.get('architecture')}") == platform.machine():
            document = read(workspace, one["digest"])
            break
    if "config" not in document:
        raise PackagingError(f"{image} is not for this kind of machine, {platform.machine()}. Build it for this one.")
    return document, read(workspace, document["config"]["digest"])


def read(workspace: Workspace, digest: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(workspace.blobs.read(digest.partition(":")[2]))
    return document
