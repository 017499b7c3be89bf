"""Models, environments, images and services: from a folder with a score.py to something that runs."""

from __future__ import annotations

from scoring_runtime.deploy.conda import CondaDependencies
from scoring_runtime.deploy.container_image import ContainerImage
from scoring_runtime.deploy.environment import ContainerRegistry, Environment
from scoring_runtime.deploy.image import Image
from scoring_runtime.deploy.inference_config import InferenceConfig
from scoring_runtime.deploy.model import Model
from scoring_runtime.deploy.resource_configuration import ResourceConfiguration
from scoring_runtime.deploy.workspace import Workspace

__all__ = [
    "CondaDependencies",
    "ContainerImage",
    "ContainerRegistry",
    "Environment",
    "Image",
    "InferenceConfig",
    "Model",
    "ResourceConfiguration",
    "Workspace",
]
