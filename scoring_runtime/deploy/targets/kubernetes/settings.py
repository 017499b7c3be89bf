"""A cluster from the settings that were attached: plain values, each name checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring_runtime.deploy.targets.host_settings import made
from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster, Placement, Route, Scaling

__all__ = ["cluster_of"]

PARTS: dict[str, Any] = {"scaling": Scaling, "route": Route, "placement": Placement}


def cluster_of(settings: Mapping[str, Any]) -> Cluster:
    """{"context": "prod", "route": {"kind": "gateway", "gateway": "infra/public"}}; raises TargetError."""
    cluster: Cluster = made(Cluster, {name: part(name, value) for name, value in settings.items()}, "")
    return cluster


def part(name: str, value: Any) -> Any:
    if name in PARTS and isinstance(value, Mapping):
        return made(PARTS[name], value, f"{name}.")
    return tuple(value) if isinstance(value, list) else value
