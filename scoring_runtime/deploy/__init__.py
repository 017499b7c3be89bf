"""Models, environments, images and services: from a folder with a score.py to something that runs."""

from __future__ import annotations

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
