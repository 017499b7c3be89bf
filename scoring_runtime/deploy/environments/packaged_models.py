"""The models' part of an app root: azureml-models/<name>/<version>/<the one file or folder>."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.code_folder import code_file, list_code, refuse_secrets
from scoring_runtime.deploy.environments.packaged_code import MODELS, File, file_of
from scoring_runtime.errors import ModelNotFound, PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["PackagedModel", "packaged_models"]

MOST_MODELS = 1000
LOCAL_NAME = 30  # of a path that is no registered model its name keeps so many characters


@dataclass(frozen=True)
class PackagedModel:
    name: str
    version: int  # 0 for a path that is not registered
    basename: str  # of the one file or folder below <name>/<version>
    files: tuple[File, ...]
    empty_folders: tuple[str, ...] = ()  # below the app root; some formats have them on purpose

    @property
    def id(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def folder(self) -> str:
        """Below the app root."""
        return f"{MODELS}/{self.name}/{self.version}"


def packaged_models(
    workspace: Workspace, models: Sequence[Any], allow_secrets: Collection[str] = ()
) -> tuple[PackagedModel, ...]:
    if len(models) > MOST_MODELS:
        raise PackagingError(
            f"An image holds at most {MOST_MODELS} models, and here are {len(models)}. Register folders of models, or "
            "deploy several services."
        )
    packaged = tuple(
        sorted((packaged_model(workspace, one, allow_secrets) for one in models), key=lambda model: model.id)
    )
    for one, other in pairwise(packaged):
        if one.id == other.id:
            raise PackagingError(f"The model {one.id} is given twice. Name it once.")
    return packaged


def packaged_model(workspace: Workspace, model: Any, allow_secrets: Collection[str]) -> PackagedModel:
    if isinstance(model, str):
        name, colon, version = model.partition(":")
        if colon and version.isdigit():
            return registered(workspace, name, int(version))
        if workspace.records("models").versions(model):
            return registered(workspace, model, workspace.records("models").versions(model)[-1])
        if os.path.exists(model):
            return unregistered(model, allow_secrets)
        raise ModelNotFound(
            f"No model {model!r} is registered in {workspace.folder}, and there is no such file. "
            f"See `scoring model list`, or register it: scoring model register -n {model} -p FILE"
        )
    return registered(workspace, model.name, int(model.version))


def registered(workspace: Workspace, name: str, version: int) -> PackagedModel:
    try:
        record = workspace.records("models").read(name, version)
    except FileNotFoundError:
        there = ", ".join(map(str, workspace.records("models").versions(name))) or "none"
        raise ModelNotFound(
            f"The model {name}:{version} is not registered in {workspace.folder}; versions there: {there}. "
            "See `scoring model list`."
        ) from None
    base = record["basename"]
    home = f"{MODELS}/{name}/{version}"
    files = [
        File(
            f"{home}/{base}" if record["kind"] == "file" else f"{home}/{base}/{file['path']}",
            workspace.blobs.path(file["sha256"]),
            file["size"],
            0o755 if file["mode"] & 0o111 else 0o644,
            sha256=file["sha256"],
        )
        for file in record["files"]
    ]
    empty = tuple(f"{home}/{base}/{one}" for one in record["empty_folders"])
    return PackagedModel(name, version, base, tuple(sorted(files)), empty)


def unregistered(path: str, allow_secrets: Collection[str]) -> PackagedModel:
    """A file or folder that is only here, as <basename>/0/<basename>."""
    base = os.path.basename(os.path.abspath(path))
    name = base[:LOCAL_NAME]
    home = f"{MODELS}/{name}/0"
    found = (code_file(path, base),) if os.path.isfile(path) else list_code(path)
    refuse_secrets(found, {os.path.normpath(one) for one in allow_secrets})
    prefix = f"{home}/" if os.path.isfile(path) else f"{home}/{base}/"
    return PackagedModel(name, 0, base, tuple(file_of(file, prefix) for file in found))
