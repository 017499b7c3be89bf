"""Model.package(): an image of a script and its models, or the folder of a Dockerfile that anyone can build."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.docker_context import write_docker_context
from scoring_runtime.deploy.dockerfile import base_of
from scoring_runtime.deploy.engine import Shell, Subprocess, build
from scoring_runtime.deploy.environment import ContainerRegistry
from scoring_runtime.deploy.packaging import BuildContext, build_context
from scoring_runtime.durable import make_folder
from scoring_runtime.errors import PackagingError, ScoringRuntimeError

if TYPE_CHECKING:
    from scoring_runtime.deploy.inference_config import InferenceConfig
    from scoring_runtime.deploy.workspace import Workspace

__all__ = ["ModelPackage", "package"]

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"


class ModelPackage:
    """What Model.package() has made: an image in an engine, or a folder with a Dockerfile."""

    def __init__(self, context: BuildContext, location: str, generate_dockerfile: bool, folder: str) -> None:
        self.context = context
        self.location = location  # the image's name, or the folder
        self.generate_dockerfile = generate_dockerfile
        self.folder = folder
        self.state = RUNNING
        self.error = ""

    def __repr__(self) -> str:
        return f"ModelPackage({self.location!r}, {self.state})"

    @property
    def log_path(self) -> str:
        return os.path.join(self.folder, "build.log")

    def get_logs(self) -> str:
        """What was done, and what the engine said."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_creation(self, show_output: bool = False) -> None:
        """It is done when Model.package() returns; this shows its log and raises PackagingError if it failed."""
        if show_output:
            print(self.get_logs())
        if self.state != SUCCEEDED:
            raise PackagingError(f"The package {self.location} is {self.state}: {self.error}")

    def pull(self) -> None:
        """The image is in the local engine already. Raises PackagingError for a Dockerfile."""
        if self.generate_dockerfile:
            raise PackagingError(
                f"{self.location} is a folder with a Dockerfile, nothing that can be pulled. Write save(FOLDER), or "
                "call Model.package() without generate_dockerfile."
            )

    def save(self, output_directory: str) -> None:
        """Copy Dockerfile, azureml-app/ and wheels/ into the folder. Raises PackagingError for an image."""
        if not self.generate_dockerfile:
            raise PackagingError(
                f"{self.location} is an image. Write pull(), or call Model.package() with generate_dockerfile=True."
            )
        if os.path.isdir(output_directory) and os.listdir(output_directory):
            raise PackagingError(f"{output_directory} is not empty. Name another folder.")
        shutil.copytree(self.location, output_directory, dirs_exist_ok=True)

    def get_container_registry(self) -> ContainerRegistry:
        """Where the base image comes from, with the password: what an engine needs to log in."""
        return ContainerRegistry(
            **{key: self.context.base_registry.get(key) for key in ("address", "username", "password")}
        )

    def serialize(self) -> dict[str, Any]:
        return {"generateDockerfile": self.generate_dockerfile, "state": self.state, "location": self.location}


def package(
    workspace: Workspace,
    models: Iterable[Any],
    inference_config: InferenceConfig | None,
    generate_dockerfile: bool = False,
    image_name: str | None = None,
    image_label: str | None = None,
    *,
    engine: str = "docker",
    platform: str = "linux/amd64",
    settings_environ: Mapping[str, str] | None = None,
    build_args: Mapping[str, str] | None = None,
    shell: Shell | None = None,
) -> ModelPackage:
    """Write the Dockerfile's folder, and unless that is all, have the engine build it. Raises PackagingError."""
    workspace.check_writable("Model.package")
    if inference_config is None:
        raise PackagingError("inference_config: expected the script to package, got None. Write InferenceConfig(...).")
    context = build_context(workspace, models, inference_config, settings_environ)
    name = f"{image_name or 'package'}:{image_label or uuid.uuid4().hex[:12]}"
    folder = workspace.path("packages", uuid.uuid4().hex[:12])
    make_folder(os.path.dirname(folder))
    make_folder(folder)
    content = os.path.join(folder, "content")
    result = ModelPackage(context, content if generate_dockerfile else name, generate_dockerfile, folder)
    try:
        write_docker_context(workspace, context, content, platform, image_name or "")
        say(result, f"Wrote the Dockerfile on {base_of(context) or 'the given Dockerfile'}", *context.notes)
        if not generate_dockerfile:
            image = build(engine, content, name, result.log_path, shell or Subprocess(), build_args)
            say(result, f"Built {name}: {image}")
    except ScoringRuntimeError as error:
        result.state, result.error = FAILED, str(error)
        raise
    result.state = SUCCEEDED
    return result


def say(package: ModelPackage, *lines: str) -> None:
    with open(package.log_path, "a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
