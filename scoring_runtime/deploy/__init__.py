"""Models, environments, images and services: from a folder with a score.py to something that runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.conda import CondaDependencies
    from scoring_runtime.deploy.environments.environment import ContainerRegistry, Environment
    from scoring_runtime.deploy.environments.inference_config import InferenceConfig
    from scoring_runtime.deploy.images.container_image import ContainerImage
    from scoring_runtime.deploy.images.image import Image
    from scoring_runtime.deploy.images.package import ModelPackage
    from scoring_runtime.deploy.models.model import Model
    from scoring_runtime.deploy.models.resource_configuration import ResourceConfiguration
    from scoring_runtime.deploy.services.compute import AksCompute, ComputeTarget
    from scoring_runtime.deploy.services.webservice import Webservice
    from scoring_runtime.deploy.services.webservice_kinds import (
        AciWebservice,
        AksEndpoint,
        AksWebservice,
        IotWebservice,
        LocalWebservice,
    )
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = [
    "AciWebservice",
    "AksCompute",
    "AksEndpoint",
    "AksWebservice",
    "ComputeTarget",
    "CondaDependencies",
    "ContainerImage",
    "ContainerRegistry",
    "Environment",
    "Image",
    "InferenceConfig",
    "IotWebservice",
    "LocalWebservice",
    "Model",
    "ModelPackage",
    "ResourceConfiguration",
    "Webservice",
    "Workspace",
]

# Each is imported when it is first asked for: `scoring model list` needs nothing of images.
HOMES = {
    "services.compute": ("AksCompute", "ComputeTarget"),
    "environments.conda": ("CondaDependencies",),
    "images.container_image": ("ContainerImage",),
    "environments.environment": ("ContainerRegistry", "Environment"),
    "images.image": ("Image",),
    "environments.inference_config": ("InferenceConfig",),
    "models.model": ("Model",),
    "images.package": ("ModelPackage",),
    "models.resource_configuration": ("ResourceConfiguration",),
    "services.webservice": ("Webservice",),
    "services.webservice_kinds": ("AciWebservice", "AksEndpoint", "AksWebservice", "IotWebservice", "LocalWebservice"),
    "workspaces.workspace": ("Workspace",),
}
PLACES = {name: f"{__name__}.{home}" for home, names in HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)
