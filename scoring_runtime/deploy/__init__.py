"""Models, environments, images and services: from a folder with a score.py to something that runs."""

from __future__ import annotations

from scoring_runtime.deploy.workspace import Workspace

__all__ = ["Workspace"]
