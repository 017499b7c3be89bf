"""Models, environments, images and services: from a folder with a score.py to something that runs."""

from __future__ import annotations

from scoring_runtime.deploy.model import Model
from scoring_runtime.deploy.resource_configuration import ResourceConfiguration
from scoring_runtime.deploy.workspace import Workspace

__all__ = ["Model", "ResourceConfiguration", "Workspace"]
