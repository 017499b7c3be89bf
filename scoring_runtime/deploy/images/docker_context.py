"""Writes the folder that a Dockerfile is built from: all it needs lies in there, nothing is fetched but by conda."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.app_root import materialise
from scoring_runtime.deploy.environments.lock import lock
from scoring_runtime.deploy.environments.requirements import Requirements
from scoring_runtime.deploy.environments.wheels import fetch
from scoring_runtime.deploy.images.dockerfile import dockerfile, python_of
from scoring_runtime.deploy.workspaces.disk import room_for
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.packaging import BuildContext
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["write_docker_context"]


def write_docker_context(
    workspace: Workspace, context: BuildContext, folder: str, platform: str = "linux/amd64", title: str = ""
) -> None:
    """Dockerfile, azureml-app/, wheels/, requirements.txt and lock.json, all or none, in an empty or new folder."""
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise PackagingError(f"{folder} is not empty. Name another folder for the Dockerfile.")
    try:
        with room_for(folder, context.size):
            pip = write_packages(workspace, context.requirements, folder, python_of(context), platform)
            write(folder, "Dockerfile", dockerfile(context, pip, title))
            materialise(context, os.path.join(folder, "azureml-app"))
    except BaseException:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        raise


def write_packages(workspace: Workspace, required: Requirements, folder: str, python: str, platform: str) -> str:
    """The wheels with their hashes; returns the name of pip's, which installs them."""
    if not required.pip:
        return ""
    packages = lock(workspace, required, python, platform)
    tool = lock(workspace, Requirements(("pip",), required.pip_options), python, platform)
    os.mkdir(os.path.join(folder, "wheels"))
    for path in fetch(workspace, {*packages.packages, *tool.packages}):
        target = os.path.join(folder, "wheels", os.path.basename(path))
        shutil.copyfile(path, target)
    write(folder, "lock.json", packages.to_json())
    if required.conda:
        write(folder, "conda.yml", required.conda_file)
        write(folder, "requirements.in", "".join(f"{line}\n" for line in required.pip))
    else:
        write(folder, "requirements.txt", packages.requirements())
    return tool.packages[0].file


def write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)
