"""InferenceConfig: which script is served, and in which environment; inferenceconfig.json says the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.conda import CondaDependencies
from scoring_runtime.deploy.environments.config_keys import check_keys, read_json, without_nulls
from scoring_runtime.deploy.environments.environment import REGISTRY_KEYS, ContainerRegistry, Environment
from scoring_runtime.deploy.services.config_rules import ANY_TEXT, BOOL, TEXT, Rule, one_of
from scoring_runtime.errors import ConfigError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["InferenceConfig"]

RUNTIMES = ("python", "spark-py", "python-slim")
CUDA_VERSIONS = ("9.0", "9.1", "10.0")
KEYS: dict[str, Any] = {
    "entryScript": TEXT,
    "sourceDirectory": TEXT,
    "environment": Rule("an object, or the name of a registered one", lambda value: isinstance(value, dict | str)),
    "runtime": one_of(*RUNTIMES),
    "condaFile": TEXT,
    "extraDockerfileSteps": TEXT,
    "enableGpu": BOOL,
    "cudaVersion": one_of(*CUDA_VERSIONS),
    "baseImage": TEXT,
    "baseImageRegistry": REGISTRY_KEYS,
    "description": ANY_TEXT,
}
LEGACY = {
    "runtime": "runtime",
    "condaFile": "conda_file",
    "extraDockerfileSteps": "extra_docker_file_steps",
    "enableGpu": "enable_gpu",
    "cudaVersion": "cuda_version",
    "baseImage": "base_image",
    "baseImageRegistry": "base_image_registry",
}  # what excludes `environment`


class InferenceConfig:
    """A script and its environment. `environment` excludes the older ways to say what it runs in.

    With a source directory, the entry script, the conda file and the Dockerfile steps are relative to it.
    """

    def __init__(
        self,
        entry_script: str,
        runtime: str | None = None,
        conda_file: str | None = None,
        extra_docker_file_steps: str | None = None,
        source_directory: str | None = None,
        enable_gpu: bool | None = None,
        description: str | None = None,
        base_image: str | None = None,
        base_image_registry: ContainerRegistry | None = None,
        cuda_version: str | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.entry_script = entry_script
        self.runtime = runtime
        self.conda_file = conda_file
        self.extra_docker_file_steps = extra_docker_file_steps
        self.source_directory = source_directory
        self.enable_gpu = enable_gpu
        self.description = description
        self.base_image = base_image
        self.base_image_registry = base_image_registry
        self.cuda_version = cuda_version
        self.environment = environment
        self.notes: tuple[str, ...] = ()
        self.check("InferenceConfig")

    def __repr__(self) -> str:
        return f"InferenceConfig({self.entry_script!r}, source_directory={self.source_directory!r})"

    def check(self, source: str) -> None:
        """Raises ConfigError for parts that exclude each other."""
        if not self.entry_script:
            raise ConfigError("entryScript", None, "a script", 'Add "entryScript": "score.py".', source)
        legacy = [key for key, name in LEGACY.items() if getattr(self, name)]
        if self.environment is not None and legacy:
            raise exclusive(legacy, source)
        if self.runtime is not None and self.runtime not in RUNTIMES:
            raise ConfigError("runtime", self.runtime, f"one of {', '.join(RUNTIMES)}", "Change it.", source)
        if self.base_image and (self.enable_gpu or self.cuda_version):
            fix = "That image has CUDA, or has it not: remove enableGpu and cudaVersion."
            raise ConfigError("baseImage", self.base_image, "none beside enableGpu and cudaVersion", fix, source)

    @classmethod
    def from_file(cls, path: str, workspace: Workspace | None = None) -> InferenceConfig:
        """An inferenceconfig.json; paths in it are relative to its folder. Raises ConfigError, BadEnvironment."""
        return cls.from_document(read_json(path, "inferenceconfig.json"), path, os.path.dirname(path), workspace)

    load = from_file

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], source: str, folder: str = "", workspace: Workspace | None = None
    ) -> InferenceConfig:
        notes = check_keys(document, KEYS, source)
        values = without_nulls(document)
        legacy = [key for key in LEGACY if key in values]
        if "environment" in values and legacy:
            raise exclusive(legacy, source)
        home = values.get("sourceDirectory")
        environment = environment_of(values.get("environment"), source, folder, workspace)
        script = values.get("entryScript", "")
        registry = values.get("baseImageRegistry")
        result = cls(
            script if home or not script else os.path.join(folder, script),
            values.get("runtime"),
            beside(values.get("condaFile"), home, folder),
            beside(values.get("extraDockerfileSteps"), home, folder),
            os.path.normpath(os.path.join(folder, home)) if home else None,
            values.get("enableGpu"),
            values.get("description"),
            values.get("baseImage"),
            ContainerRegistry(**{name: registry.get(name) for name in ("address", "username", "password")})
            if registry
            else None,
            None if values.get("cudaVersion") is None else str(values["cudaVersion"]),
            environment,
        )
        result.notes = (*notes, *result.legacy_notes(source))
        return result

    def legacy_notes(self, source: str) -> list[str]:
        if not self.cuda_version:
            return []
        return [
            f"{source}: cudaVersion {self.cuda_version} is the original service's; the cuda base image has its own."
        ]

    @property
    def variant(self) -> str:
        """The folder of base_images/ to build on, unless a base image is named."""
        if self.runtime == "spark-py":
            return "spark"
        return "cuda" if self.enable_gpu or self.cuda_version else "cpu"

    def resolved_environment(self) -> Environment:
        """The environment, or one made of the older parts."""
        if self.environment is not None:
            return self.environment
        result = Environment(f"{os.path.splitext(os.path.basename(self.entry_script))[0]}-env")
        if self.conda_file:
            path = os.path.join(self.source_directory or "", self.conda_file)
            result.python.conda_dependencies = CondaDependencies(path)
        result.docker.base_image = self.base_image
        result.docker.base_image_registry = self.base_image_registry or ContainerRegistry()
        return result

    def dockerfile_steps(self) -> str:
        """The text of the file with more steps."""
        if not self.extra_docker_file_steps:
            return ""
        path = os.path.join(self.source_directory or "", self.extra_docker_file_steps)
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except OSError as error:
            fix = f"{error.strerror}. With a source directory it is relative to that."
            raise ConfigError("extraDockerfileSteps", path, "a file with lines of a Dockerfile", fix) from None


def exclusive(keys: list[str], source: str) -> ConfigError:
    fix = "Say it within the environment, or remove that."
    return ConfigError("environment", ", ".join(keys), "none of the older keys beside it", fix, source)


def beside(path: str | None, home: str | None, folder: str) -> str | None:
    """Relative to the source directory if there is one, which the class knows; else to the file's folder."""
    return path if path is None or home else os.path.join(folder, path)


def environment_of(value: Any, source: str, folder: str, workspace: Workspace | None) -> Environment | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return Environment.from_document(value, source, folder, "environment.")
    if workspace is None:
        raise ConfigError("environment", value, "an object where no workspace is named", "Name one: -w FOLDER", source)
    name, _, version = value.partition(":")
    return Environment.get(workspace, name, version or None)
