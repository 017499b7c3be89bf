"""Models, environments, images and services: from a folder with a score.py to something that runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.deploy.compute import AksCompute, ComputeTarget
    from scoring_runtime.deploy.conda import CondaDependencies
    from scoring_runtime.deploy.container_image import ContainerImage
    from scoring_runtime.deploy.environment import ContainerRegistry, Environment
    from scoring_runtime.deploy.image import Image
    from scoring_runtime.deploy.inference_config import InferenceConfig
    from scoring_runtime.deploy.model import Model
    from scoring_runtime.deploy.package import ModelPackage
    from scoring_runtime.deploy.resource_configuration import ResourceConfiguration
    from scoring_runtime.deploy.webservice import Webservice
    from scoring_runtime.deploy.webservice_kinds import (
        AciWebservice,
        AksEndpoint,
        AksWebservice,
        IotWebservice,
        LocalWebservice,
    )
    from scoring_runtime.deploy.workspace import Workspace

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
    "compute": ("AksCompute", "ComputeTarget"),
    "conda": ("CondaDependencies",),
    "container_image": ("ContainerImage",),
    "environment": ("ContainerRegistry", "Environment"),
    "image": ("Image",),
    "inference_config": ("InferenceConfig",),
    "model": ("Model",),
    "package": ("ModelPackage",),
    "resource_configuration": ("ResourceConfiguration",),
    "webservice": ("Webservice",),
    "webservice_kinds": ("AciWebservice", "AksEndpoint", "AksWebservice", "IotWebservice", "LocalWebservice"),
    "workspace": ("Workspace",),
}
PLACES = {name: f"{__name__}.{home}" for home, names in HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)
