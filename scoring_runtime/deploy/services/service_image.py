"""The image of a service whose host runs containers: the one it names, else one built from its script and models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.errors import ConfigError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.base import Progress
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["has_to_be_built", "with_image", "with_planned_image"]


def has_to_be_built(service: Service) -> bool:
    """This machine runs files; every other host runs images. Raises ConfigError where there is nothing to build."""
    if not service.image and not service.inference:
        fix = "Give an inference_config, or image=... as the service was deployed from one."
        raise ConfigError("image", None, f"an image or a script for {service.name}", fix)
    return service.compute_type != "local" and not service.image


def with_planned_image(workspace: Workspace, service: Service) -> Service:
    """With the name that its image will have."""
    if not has_to_be_built(service):
        return service
    records = workspace.records("images")
    version = max([0, records.last(service.name), *records.versions(service.name)]) + 1
    return replace(service, image=f"{service.name}:{version}")


def with_image(workspace: Workspace, service: Service, progress: Progress) -> Service:
    """With its image built. Raises PackagingError, DeployError."""
    if not has_to_be_built(service):
        return service
    from scoring_runtime.deploy.images.image import Image

    config = InferenceConfig.from_document(service.inference, f"the inference configuration of {service.name}")
    progress(f"building an image for {service.name}")
    image = Image.create(workspace, service.name, list(service.models), config, progress=progress)
    return replace(service, image=image.id)
