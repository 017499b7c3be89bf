"""ContainerImage: the configuration of an image by a script, its environment's files and what lies beside it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.code_folder import CodeFile, code_file, list_code, refuse_secrets
from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.environments.packaging import BuildContext, build_context, file_of
from scoring_runtime.deploy.images.image import Image
from scoring_runtime.errors import ConfigError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.environment import ContainerRegistry
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["ContainerImage", "ContainerImageConfig"]


@dataclass(frozen=True)
class ContainerImageConfig:
    """Made by ContainerImage.image_configuration()."""

    execution_script: str
    runtime: str
    conda_file: str | None = None
    docker_file: str | None = None  # more steps, not a whole Dockerfile
    schema_file: str | None = None
    dependencies: Sequence[str] = ()
    enable_gpu: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    base_image: str | None = None
    base_image_registry: ContainerRegistry | None = None
    cuda_version: str | None = None

    def inference_config(self) -> InferenceConfig:
        return InferenceConfig(
            self.execution_script,
            self.runtime,
            self.conda_file,
            self.docker_file,
            enable_gpu=self.enable_gpu,
            description=self.description,
            base_image=self.base_image,
            base_image_registry=self.base_image_registry,
            cuda_version=self.cuda_version,
        )

    def context(self, workspace: Workspace, models: Sequence[Any], allow_secrets: Collection[str] = ()) -> BuildContext:
        """What goes into the image. Raises PackagingError."""
        context = build_context(workspace, models, self.inference_config(), allow_secrets=allow_secrets)
        beside = tuple(self.beside())
        refuse_secrets(beside, allow_secrets)
        code = {file.path: file for file in (*context.code, *(file_of(one, "") for one in beside))}
        return replace(context, code=tuple(code[path] for path in sorted(code)))

    def beside(self) -> Sequence[CodeFile]:
        """Files keep the path that they were named by; folders are copied whole."""
        result: list[CodeFile] = []
        for path in (*self.dependencies, *([self.schema_file] if self.schema_file else [])):
            name = os.path.normpath(path).replace(os.sep, "/")
            if os.path.isdir(path):
                result += [replace(one, path=f"{name}/{one.path}") for one in list_code(path)]
            else:
                result.append(code_file(path, name))
        return result


class ContainerImage(Image):
    """An image that serves a script over HTTP."""

    @staticmethod
    def image_configuration(
        execution_script: str,
        runtime: str,
        conda_file: str | None = None,
        docker_file: str | None = None,
        schema_file: str | None = None,
        dependencies: Sequence[str] | None = None,
        enable_gpu: bool | None = None,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        base_image: str | None = None,
        base_image_registry: ContainerRegistry | None = None,
        cuda_version: str | None = None,
        allow_absolute_path: bool = False,
    ) -> ContainerImageConfig:
        """Paths are relative to the working folder, and below it. Raises ConfigError."""
        named = {"execution_script": execution_script, "schema_file": schema_file}
        named |= {f"dependencies[{at}]": path for at, path in enumerate(dependencies or ())}
        for what, path in named.items():
            check_path(what, path, allow_absolute_path and what == "execution_script")
        config = ContainerImageConfig(
            execution_script,
            runtime,
            conda_file,
            docker_file,
            schema_file,
            tuple(dependencies or ()),
            bool(enable_gpu),
            dict(tags or {}),
            dict(properties or {}),
            description,
            base_image,
            base_image_registry,
            cuda_version,
        )
        config.inference_config()
        return config


def check_path(what: str, path: str | None, absolute_allowed: bool) -> None:
    if path is None or (absolute_allowed and os.path.isabs(path)):
        return
    if os.path.isabs(path) or os.path.normpath(path).startswith(".."):
        fix = "Change to the folder that holds it, and name it from there."
        raise ConfigError(what, path, "a path below the working folder", fix, "image_configuration")
    if not os.path.exists(path):
        raise ConfigError(what, path, f"what is there (looked in {os.getcwd()})", "Correct it.", "image_configuration")
