"""An Environment: the packages, variables and base image that a script needs, versioned in the workspace."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.conda import CondaDependencies, file_text
from scoring_runtime.deploy.environments.config_keys import NO_EFFECT, check_keys, read_json, without_nulls
from scoring_runtime.deploy.environments.pip_lines import check_line
from scoring_runtime.deploy.services.config_rules import ANY_TEXT, BOOL, OBJECT, STRINGS, TEXT, Rule
from scoring_runtime.durable import make_folder, write_file
from scoring_runtime.errors import BadEnvironment

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["ENVIRONMENT_KEYS", "ContainerRegistry", "DockerSection", "Environment", "PythonSection"]

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")
VARIABLE = re.compile(r"[^\s=\0]+")
RESERVED = ("Microsoft", "AzureML")
FILE = "azureml_environment.json"

REGISTRY_KEYS = {"address": ANY_TEXT, "username": ANY_TEXT, "password": ANY_TEXT, "registryIdentity": NO_EFFECT}
ENVIRONMENT_KEYS: dict[str, Any] = {
    "name": TEXT,
    "version": Rule("a text or a number", lambda value: isinstance(value, str | int)),
    "assetId": NO_EFFECT,
    "environmentVariables": STRINGS,
    "python": {
        "userManagedDependencies": BOOL,
        "interpreterPath": TEXT,
        "condaDependenciesFile": TEXT,
        "baseCondaEnvironment": NO_EFFECT,
        "condaDependencies": OBJECT,
    },
    "docker": {
        "enabled": NO_EFFECT,
        "baseImage": TEXT,
        "baseDockerfile": TEXT,
        "baseImageRegistry": REGISTRY_KEYS,
        "platform": NO_EFFECT,
        "sharedVolumes": NO_EFFECT,
        "shmSize": NO_EFFECT,
        "arguments": NO_EFFECT,
        "buildContext": NO_EFFECT,
    },
    "spark": NO_EFFECT,
    "databricks": NO_EFFECT,
    "r": NO_EFFECT,
    "inferencingStackVersion": TEXT,
}


@dataclass
class ContainerRegistry:
    """Where a base image comes from, and who may read it there."""

    address: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def as_mapping(self) -> dict[str, str]:
        values = {"address": self.address, "username": self.username, "password": self.password}
        return {name: value for name, value in values.items() if value}

    def full_name(self, image: str) -> str:
        """Of an image that may be named without the address."""
        address = (self.address or "").removeprefix("https://").rstrip("/")
        return f"{address}/{image}" if address and not image.startswith(f"{address}/") else image


@dataclass
class PythonSection:
    user_managed_dependencies: bool = False
    interpreter_path: str = "python"
    conda_dependencies_file: str | None = None
    conda_dependencies: CondaDependencies | None = None

    def resolved_dependencies(self) -> CondaDependencies:
        """What is written here, else in the file, else the server alone."""
        if self.conda_dependencies is not None:
            return self.conda_dependencies
        if self.conda_dependencies_file:
            return CondaDependencies(self.conda_dependencies_file)
        return CondaDependencies.create()


@dataclass
class DockerSection:
    base_image: str | None = None
    base_dockerfile: str | None = None  # its text, or a path to it
    base_image_registry: ContainerRegistry = field(default_factory=ContainerRegistry)


class Environment:
    """What a script runs in.

    >>> environment = Environment("demo")
    >>> environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["azureml-defaults"])
    >>> environment.environment_variables["WORKER_COUNT"] = "2"
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.version: str | None = None  # once it is registered
        self.environment_variables: dict[str, str] = {}
        self.python = PythonSection()
        self.docker = DockerSection()
        self.inferencing_stack_version: str | None = None
        self.notes: tuple[str, ...] = ()  # about keys without effect, when it was read from a document

    def __repr__(self) -> str:
        return f"Environment({self.name!r}, version={self.version!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Environment) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    # made from files

    @classmethod
    def from_conda_specification(cls, name: str, file_path: str) -> Environment:
        """From a conda environment file."""
        environment = cls(name)
        environment.python.conda_dependencies = CondaDependencies(file_path)
        return environment

    @classmethod
    def from_pip_requirements(cls, name: str, file_path: str, pip_version: str | None = None) -> Environment:
        """From a requirements file; `-r` and `-c` in it are not followed."""
        environment = cls(name)
        environment.python.conda_dependencies = CondaDependencies.create(pip_packages=requirement_lines(file_path))
        return environment

    @classmethod
    def from_dockerfile(
        cls, name: str, dockerfile: str, conda_specification: str | None = None, pip_requirements: str | None = None
    ) -> Environment:
        """On the image that this Dockerfile (a path, or its text) builds; without packages it has to hold them all."""
        environment = cls(name)
        if conda_specification:
            environment = cls.from_conda_specification(name, conda_specification)
        elif pip_requirements:
            environment = cls.from_pip_requirements(name, pip_requirements)
        else:
            environment.python.user_managed_dependencies = True
        environment.docker.base_dockerfile = text_of(dockerfile)
        return environment

    @classmethod
    def from_docker_image(
        cls,
        name: str,
        image: str,
        container_registry: ContainerRegistry | None = None,
        conda_specification: str | None = None,
        pip_requirements: str | None = None,
    ) -> Environment:
        """On an existing image; without packages it has to hold them all."""
        environment = cls.from_dockerfile(name, "", conda_specification, pip_requirements)
        environment.docker = DockerSection(image, None, container_registry or ContainerRegistry())
        return environment

    def clone(self, new_name: str) -> Environment:
        """The same under another name, not registered."""
        result = copy.deepcopy(self)
        result.name, result.version = new_name, None
        return result

    def check(self) -> None:
        """Raises BadEnvironment for what cannot be built."""
        check_name(self.name)
        if self.docker.base_image and self.docker.base_dockerfile:
            raise BadEnvironment(
                f"Environment {self.name}: docker.baseImage and docker.baseDockerfile exclude each other. Remove one."
            )
        for name in self.environment_variables:
            if not VARIABLE.fullmatch(name):
                raise BadEnvironment(
                    f"Environment {self.name}: environmentVariables: expected names without spaces and '=', got "
                    f"{name!r}. Rename it."
                )

    # as a document

    def to_document(self) -> dict[str, Any]:
        """As in inferenceconfig.json. The password of a registry is in it."""
        dependencies = self.python.conda_dependencies
        return {
            "name": self.name,
            "version": self.version,
            "environmentVariables": dict(self.environment_variables),
            "python": {
                "userManagedDependencies": self.python.user_managed_dependencies,
                "interpreterPath": self.python.interpreter_path,
                "condaDependenciesFile": self.python.conda_dependencies_file,
                "condaDependencies": dependencies.as_document() if dependencies else None,
            },
            "docker": {
                "baseImage": self.docker.base_image,
                "baseDockerfile": self.docker.base_dockerfile,
                "baseImageRegistry": self.docker.base_image_registry.as_mapping(),
            },
            "inferencingStackVersion": self.inferencing_stack_version,
        }

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], source: str = "environment", folder: str = "", prefix: str = ""
    ) -> Environment:
        """Raises ConfigError or BadEnvironment. Paths in it are relative to the folder."""
        notes = check_keys(document, ENVIRONMENT_KEYS, source, prefix)
        python = without_nulls(document.get("python") or {})
        docker = without_nulls(document.get("docker") or {})
        result = cls(str(document.get("name") or "project_environment"))
        result.version = None if document.get("version") is None else str(document["version"])
        result.environment_variables = dict(document.get("environmentVariables") or {})
        path = python.get("condaDependenciesFile")
        content = python.get("condaDependencies")
        result.python = PythonSection(
            python.get("userManagedDependencies", False),
            python.get("interpreterPath", "python"),
            os.path.join(folder, path) if path else None,
            CondaDependencies(_underlying_structure=content) if content else None,
        )
        dockerfile = docker.get("baseDockerfile")
        registry = without_nulls(docker.get("baseImageRegistry") or {})
        result.docker = DockerSection(
            docker.get("baseImage"),
            text_of(dockerfile, folder) if dockerfile else None,
            ContainerRegistry(registry.get("address"), registry.get("username"), registry.get("password")),
        )
        result.inferencing_stack_version = document.get("inferencingStackVersion")
        if result.python.interpreter_path != "python":
            notes.append(f"{source}: {prefix}python.interpreterPath has no effect: it is the Python of the base image.")
        result.notes = tuple(notes)
        result.check()
        return result

    def save_to_directory(self, path: str, overwrite: bool = False) -> None:
        """As azureml_environment.json in the folder."""
        target = os.path.join(path, FILE)
        if os.path.exists(target) and not overwrite:
            raise BadEnvironment(f"{target} is there already. Write over it with overwrite=True.")
        try:
            make_folder(os.path.abspath(path))
            write_file(target, json.dumps(self.to_document(), indent=1).encode())
            os.chmod(target, 0o600)  # a registry's password may be in it
        except OSError as error:
            raise BadEnvironment(f"{target} cannot be written: {error.strerror}. Name another folder.") from None

    @classmethod
    def load_from_directory(cls, path: str) -> Environment:
        file = os.path.join(path, FILE)
        return cls.from_document(read_json(file, "environment"), file, path)

    # in the workspace

    def register(self, workspace: Workspace) -> Environment:
        """The registered one: a new version, unless the newest one is the same. Passwords stay out of it."""
        self.check()
        document = {**self.to_document(), "version": None}
        document["docker"]["baseImageRegistry"].pop("password", None)
        if self.python.conda_dependencies_file:  # the record may be read where that file is not
            document["python"]["condaDependencies"] = self.python.resolved_dependencies().as_document()
            document["python"]["condaDependenciesFile"] = None
        records = workspace.records("environments")
        newest = records.versions(self.name)[-1:]
        if newest and document.items() <= {**records.read(self.name, newest[0]), "version": None}.items():
            return Environment.get(workspace, self.name, str(newest[0]))
        return Environment.get(workspace, self.name, str(records.add(self.name, document)))

    @staticmethod
    def get(workspace: Workspace, name: str, version: str | None = None) -> Environment:
        """The newest version, or that one."""
        check_name(name)
        records = workspace.records("environments")
        versions = [str(one) for one in records.versions(name)]
        if not versions or (version is not None and version not in versions):
            wanted = name if version is None else f"{name}, version {version},"
            there = (
                f"versions: {', '.join(versions)}"
                if versions
                else f"environments: {', '.join(records.names()) or 'none'}"
            )
            raise BadEnvironment(
                f"No environment {wanted} is registered in {workspace.folder}; {there}. Register it: "
                f"Environment({name!r}).register(workspace)"
            )
        document = records.read(name, int(version or versions[-1]))
        del document["id"]
        return Environment.from_document(document, f"environment {name}")

    @staticmethod
    def list(workspace: Workspace) -> dict[str, Environment]:
        """The newest version of each."""
        names = workspace.records("environments").names()
        return {name: Environment.get(workspace, name) for name in names}


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise BadEnvironment(
            f"Environment name: expected letters, digits, - . and _, 255 at most, got {name!r}. Choose another name."
        )
    if name.startswith(RESERVED):
        raise BadEnvironment(f"Environment name: names that start with {name[:7]} are reserved. Choose another one.")


def requirement_lines(path: str) -> list[str]:
    text = file_text(path, "requirements file").replace("\\\n", " ")
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines()]
    for line in lines:
        check_line(line, path)
    return [line for line in lines if line]


def text_of(dockerfile: str, folder: str = "") -> str:
    """Of a path or of the text itself, which has lines."""
    path = os.path.join(folder, dockerfile)
    if "\n" in dockerfile or dockerfile.lstrip().upper().startswith("FROM ") or not dockerfile:
        return dockerfile
    return file_text(path, "Dockerfile, or give its text")
