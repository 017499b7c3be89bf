"""Model.package(): an image of a script and its models, or the folder of a Dockerfile that anyone can build."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.environment import ContainerRegistry
from scoring_runtime.deploy.environments.packaging import BuildContext, build_context
from scoring_runtime.deploy.images.builder import BuildOrder
from scoring_runtime.deploy.images.docker_context import write_docker_context
from scoring_runtime.deploy.images.dockerfile import base_of
from scoring_runtime.deploy.images.engine import ENGINES, Shell, Subprocess, build
from scoring_runtime.deploy.images.image import Image
from scoring_runtime.deploy.images.image_build import build_image
from scoring_runtime.deploy.images.layout import write_archive
from scoring_runtime.deploy.images.oci import Platform
from scoring_runtime.deploy.models.no_code import no_code_config, sole_model
from scoring_runtime.durable import make_folder
from scoring_runtime.errors import PackagingError, ScoringRuntimeError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.inference_config import InferenceConfig
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["ModelPackage", "package"]

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
LOAD_SECONDS = 600


class ModelPackage:
    """What Model.package() has made: an image of the workspace or of an engine, or a folder with a Dockerfile."""

    def __init__(self, context: BuildContext, folder: str, generate_dockerfile: bool, location: str) -> None:
        self.context = context
        self.folder = folder
        self.generate_dockerfile = generate_dockerfile
        self.location = location  # the folder; the workspace's "name:1"; the name in an engine
        self.image: Image | None = None  # if it is one of the workspace
        self.state = RUNNING
        self.error = ""

    def __repr__(self) -> str:
        return f"ModelPackage({self.location!r}, {self.state})"

    @property
    def log_path(self) -> str:
        return os.path.join(self.folder, "build.log")

    def say(self, text: str) -> None:
        with open(self.log_path, "a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def get_logs(self) -> str:
        """What was done, and what the engine said."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_creation(self, show_output: bool = False) -> None:
        """It is done when Model.package() returns; this shows its log, and raises PackagingError if it failed."""
        if show_output:
            print(self.get_logs())
        if self.state != SUCCEEDED:
            raise PackagingError(f"The package {self.location} is {self.state}: {self.error}")

    def pull(self, engine: str | None = None, *, shell: Shell | None = None) -> None:
        """Load the image into podman or docker, where it is not there already. Raises PackagingError for a folder."""
        if self.generate_dockerfile:
            raise PackagingError(
                f"{self.location} is a folder with a Dockerfile, nothing that can be pulled. Write save(FOLDER), or "
                "call Model.package() without generate_dockerfile."
            )
        if self.image is None:
            return
        program = engine or next((name for name in ("docker", "podman") if shutil.which(name)), "docker")
        with tempfile.TemporaryDirectory(prefix="scoring-pull-") as folder, open(self.log_path, "ab") as log:
            path = os.path.join(folder, "image.tar")
            reference = f"localhost/{self.image.id}"
            write_archive(self.image.workspace.blobs, self.image.descriptor, path, reference, for_docker=True)
            code = (shell or Subprocess()).run([program, "load", "--input", path], log, LOAD_SECONDS)
        if code:
            raise PackagingError(f"{program} load ended with exit code {code}. What it said is in {self.log_path}.")
        self.location = reference

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
        registry = self.context.base_registry
        return ContainerRegistry(registry.get("address"), registry.get("username"), registry.get("password"))

    def serialize(self) -> dict[str, Any]:
        return {"generateDockerfile": self.generate_dockerfile, "state": self.state, "location": self.location}


def package(
    workspace: Workspace,
    models: Iterable[Any],
    inference_config: InferenceConfig | None = None,
    generate_dockerfile: bool = False,
    image_name: str | None = None,
    image_label: str | None = None,
    *,
    engine: str | None = None,
    base: str = "",
    platform: str = "",
    settings_environ: Mapping[str, str] | None = None,
    allow_secrets: Collection[str] = (),
    shell: Shell | None = None,
) -> ModelPackage:
    """Without an engine the image is built directly, for the workspace; conda packages and Dockerfiles need one.

    `base` goes before the environment's, `platform` is linux/amd64 or linux/arm64. Raises DeployError; then nothing is
    left but the log.
    """
    workspace.check_writable("Model.package")
    if engine is not None and engine not in ENGINES:
        raise PackagingError(f"--engine: expected one of {', '.join(ENGINES)}, got {engine!r}. Choose one of them.")
    models = list(models)
    config = inference_config or no_code_config(sole_model(workspace, models))
    context = build_context(workspace, models, config, settings_environ, allow_secrets=allow_secrets)
    folder = workspace.path("packages", uuid.uuid4().hex[:12])
    make_folder(os.path.dirname(folder))
    make_folder(folder)
    name, label = image_name or "package", image_label or os.path.basename(folder)
    content = os.path.join(folder, "content")
    result = ModelPackage(context, folder, generate_dockerfile, content if generate_dockerfile else f"{name}:{label}")
    try:
        if generate_dockerfile or engine is not None:
            write_docker_context(workspace, context, content, platform or "linux/amd64", image_name or "")
            result.say(f"Wrote the Dockerfile on {base_of(context) or 'the given one'}")
            for note in context.notes:
                result.say(note)
        if generate_dockerfile:
            pass
        elif engine is not None:
            arguments = {"BASE": base} if base else {}
            image = build(engine, content, result.location, result.log_path, shell or Subprocess(), arguments)
            result.say(f"Built {result.location}: {image}")
            shutil.rmtree(content)  # the engine has it
        else:
            platforms = (Platform.parse(platform),) if platform else ()
            order = BuildOrder(name, context, base, platforms=platforms)
            made = Image(workspace, name, version=build_image(workspace, order, progress=result.say))
            if image_label:
                made.add_tags({"label": image_label})
            result.image, result.location = made, made.id
    except ScoringRuntimeError as error:
        shutil.rmtree(content, ignore_errors=True)
        result.state, result.error = FAILED, str(error)
        result.say(f"{type(error).__name__}: {error}")
        raise
    result.state = SUCCEEDED
    return result
