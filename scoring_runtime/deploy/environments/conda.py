"""A conda environment file: the packages it names, read, changed and written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from scoring_runtime.errors import BadEnvironment, MissingPackage

__all__ = ["CondaDependencies", "file_text", "package_name"]

PROJECT = "project_environment"
CHANNELS = ("conda-forge",)
KEYS = ("name", "channels", "dependencies")


class CondaDependencies:
    """The content of a conda.yml: a name, channels, conda packages, and a pip section. Raises BadEnvironment.

    >>> dependencies = CondaDependencies.create(pip_packages=["azureml-defaults", "numpy"], python_version="3.11")
    >>> dependencies.python_version
    '3.11'
    """

    def __init__(
        self, conda_dependencies_file_path: str | None = None, _underlying_structure: Mapping[str, Any] | None = None
    ) -> None:
        document: Any = _underlying_structure or {"name": PROJECT, "dependencies": []}
        source = conda_dependencies_file_path or "the conda specification"
        if conda_dependencies_file_path is not None:
            document = loaded_yaml(file_text(conda_dependencies_file_path), source)
        self.name, self.channels, self.conda_packages, self.pip_packages = parsed(document, source)
        ignored = sorted(str(key) for key in document if key not in KEYS)
        self.notes: tuple[str, ...] = ()
        if ignored:
            said = " Variables are set by the environment's environmentVariables." if "variables" in ignored else ""
            self.notes = (f"{source}: without effect here: {', '.join(ignored)}.{said}",)

    @classmethod
    def create(
        cls,
        pip_indexurl: str | None = None,
        pip_packages: Iterable[str] | None = None,
        conda_packages: Iterable[str] | None = None,
        python_version: str | None = None,
        pin_sdk_version: bool = True,
    ) -> CondaDependencies:
        """Without pip packages: azureml-defaults, which stands for this server."""
        result = cls()
        result.channels = list(CHANNELS)
        if python_version:
            result.set_python_version(python_version)
        for package in conda_packages or ():
            result.add_conda_package(package)
        if pip_indexurl:
            result.set_pip_option(f"--index-url {pip_indexurl}")
        for package in ("azureml-defaults",) if pip_packages is None else pip_packages:
            result.add_pip_package(package)
        return result

    @property
    def python_version(self) -> str | None:
        """As it is written: "3.11", "3.6.2", ">=3.10,<3.13"; None where none is named."""
        for package in self.conda_packages:
            if package_name(package) == "python":
                written = package.rpartition("::")[2].partition("[")[0].strip()[len("python") :]
                return re.sub(r"^=+\s*(?=[0-9])", "", re.sub(r"\s+", "", written)) or None
        return None

    def set_python_version(self, version: str) -> None:
        self.remove_conda_package("python")
        self.conda_packages.insert(0, f"python={version}")

    def add_conda_package(self, conda_package: str) -> None:
        """Replaces one of the same name."""
        self.remove_conda_package(conda_package)
        self.conda_packages.append(conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        name = package_name(conda_package)
        self.conda_packages = [one for one in self.conda_packages if package_name(one) != name]

    def add_pip_package(self, pip_package: str) -> None:
        """Replaces one of the same name."""
        self.remove_pip_package(pip_package)
        self.pip_packages.append(pip_package)

    def remove_pip_package(self, pip_package: str) -> None:
        name = package_name(pip_package)
        self.pip_packages = [one for one in self.pip_packages if one.startswith("-") or package_name(one) != name]

    def set_pip_option(self, pip_option: str) -> None:
        self.pip_packages.insert(0, pip_option)

    def add_channel(self, channel: str) -> None:
        if channel not in self.channels:
            self.channels.append(channel)

    def remove_channel(self, channel: str) -> None:
        self.channels = [one for one in self.channels if one != channel]

    def as_document(self) -> dict[str, Any]:
        pip = [{"pip": list(self.pip_packages)}] if self.pip_packages else []
        document: dict[str, Any] = {"name": self.name, "dependencies": [*self.conda_packages, *pip]}
        return {**document, "channels": list(self.channels)} if self.channels else document

    def serialize_to_string(self) -> str:
        """As YAML."""
        text: str = yaml_module().safe_dump(self.as_document(), sort_keys=False)
        return text

    def save_to_file(self, base_directory: str, conda_file_path: str | None = None) -> str:
        """The file's path below the base directory."""
        path = conda_file_path or "conda_dependencies.yml"
        with open(os.path.join(base_directory, path), "w", encoding="utf-8") as file:
            file.write(self.serialize_to_string())
        return path

    def save(self, path: str | None = None) -> str:
        """Where it was written: the path, or conda_dependencies.yml in it if it is a folder."""
        path = path or "."
        target = os.path.join(path, "conda_dependencies.yml") if os.path.isdir(path) else path
        self.save_to_file(os.path.dirname(target), os.path.basename(target))
        return target


def package_name(specification: str) -> str:
    """Of a conda or pip line, as both compare it."""
    text = specification.rpartition("::")[2]
    return re.sub(r"[-_.]+", "-", re.split(r"[\s=<>!~\[;@,]", text.strip(), maxsplit=1)[0].lower())


def parsed(document: Any, source: str) -> tuple[str, list[str], list[str], list[str]]:
    """Name, channels, conda packages, pip lines."""
    if not isinstance(document, Mapping):
        raise wrong(source, "", document, "a mapping with name, channels and dependencies")
    conda: list[str] = []
    pip: list[str] = []
    lines = document.get("dependencies", [])
    if not isinstance(lines, list):
        raise wrong(source, "dependencies", lines, "a list")
    for at, line in enumerate(lines):
        if isinstance(line, str):
            conda.append(line)
        elif isinstance(line, Mapping) and list(line) == ["pip"] and texts(line["pip"]):
            pip.extend(line["pip"])
        else:
            raise wrong(source, f"dependencies[{at}]", line, 'a package such as "numpy=1.26", or pip: with a list')
    channels = document.get("channels", [])
    if not texts(channels):
        raise wrong(source, "channels", channels, "a list of names")
    return str(document.get("name") or PROJECT), list(channels), conda, pip


def texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def wrong(source: str, key: str, value: object, expected: str) -> BadEnvironment:
    place = f"{source}: {key}" if key else source
    return BadEnvironment(f"{place}: expected {expected}, got {value!r}. Write it as conda's documentation shows.")


def file_text(path: str, kind: str = "conda environment file") -> str:
    """Of a file that a user wrote, perhaps with the mark that Windows begins UTF-8 with. Raises BadEnvironment."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise BadEnvironment(f"{path}: {error.strerror}. Name a {kind}.") from None
    except UnicodeDecodeError:
        raise BadEnvironment(f"{path}: expected a {kind} as UTF-8, got other bytes. Save it as UTF-8.") from None


def loaded_yaml(text: str, source: str) -> Any:
    yaml = yaml_module()
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadEnvironment(f"{source} is not YAML: {error}. Repair it.") from None


def yaml_module() -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingPackage("Conda environment files", "pyyaml", "deploy") from None
    return yaml
