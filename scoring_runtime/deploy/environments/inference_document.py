"""An InferenceConfig as a document for a service's record: absolute paths, nothing secret."""

from __future__ import annotations

import os
from typing import Any

from scoring_runtime.deploy.environments.environment import ContainerRegistry
from scoring_runtime.deploy.environments.inference_config import InferenceConfig

__all__ = ["document_of_config", "registries_of"]

PLAIN = {
    "runtime": "runtime",
    "condaFile": "conda_file",
    "extraDockerfileSteps": "extra_docker_file_steps",
    "enableGpu": "enable_gpu",
    "cudaVersion": "cuda_version",
    "baseImage": "base_image",
    "description": "description",
}
IN_FOLDER = ("condaFile", "extraDockerfileSteps")  # relative to the source directory, if there is one


def document_of_config(config: InferenceConfig) -> dict[str, Any]:
    """What InferenceConfig.from_document() reads."""
    home = config.source_directory and os.path.abspath(config.source_directory)
    document: dict[str, Any] = {
        "entryScript": config.entry_script if home else os.path.abspath(config.entry_script),
        "sourceDirectory": home,
        **{key: getattr(config, name) for key, name in PLAIN.items()},
    }
    for key in IN_FOLDER:
        if document[key] and not home:
            document[key] = os.path.abspath(document[key])
    if config.base_image_registry:
        document["baseImageRegistry"] = address_of(config.base_image_registry)
    if config.environment is not None:
        environment = config.environment.to_document()
        environment["docker"]["baseImageRegistry"] = address_of(config.environment.docker.base_image_registry)
        file = environment["python"]["condaDependenciesFile"]
        environment["python"]["condaDependenciesFile"] = file and os.path.abspath(file)
        document["environment"] = without_nulls(environment)
    return without_nulls(document)


def address_of(registry: ContainerRegistry) -> dict[str, str] | None:
    """The registry without the login."""
    return {"address": registry.address} if registry.address else None


def registries_of(config: InferenceConfig) -> dict[str, tuple[str, str]]:
    """The credentials in it: address -> user, password."""
    found = [config.base_image_registry, config.environment and config.environment.docker.base_image_registry]
    return {
        one.address: (one.username, one.password)
        for one in found
        if one and one.address and one.username and one.password
    }


def without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    return {
        key: without_nulls(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }
