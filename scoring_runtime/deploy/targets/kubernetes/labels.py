"""The names, labels and annotations of everything that belongs to one service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scoring_runtime import __version__

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = ["MANAGER", "PREFIX", "described", "metadata", "named", "owned_by", "selector"]

MANAGER = "scoring-runtime"  # also the field manager of server-side apply
PREFIX = "scoring-runtime"
Document = dict[str, Any]


def selector(name: str) -> dict[str, str]:
    """Never changes while the service lives: what selects pods is immutable."""
    return {"app.kubernetes.io/name": "scoring", "app.kubernetes.io/instance": name}


def owned_by(name: str) -> str:
    """The label selector of all objects of the service, for listing and pruning."""
    wanted = {**selector(name), "app.kubernetes.io/managed-by": MANAGER}
    return ",".join(f"{key}={value}" for key, value in wanted.items())


def named(name: str, suffix: str) -> str:
    return f"{name}-{suffix}"


def metadata(service: Service, cluster: Cluster, name: str = "") -> Document:
    """Name, namespace and recommended labels: the same for every revision."""
    result: Document = {
        "name": name or service.name,
        "labels": {
            **selector(service.name),
            "app.kubernetes.io/version": __version__,
            "app.kubernetes.io/component": "inference-server",
            "app.kubernetes.io/managed-by": MANAGER,
        },
    }
    if cluster.annotations:
        result["annotations"] = dict(cluster.annotations)
    namespace = getattr(service.deployment, "namespace", None) or cluster.namespace
    return {**result, "namespace": namespace} if namespace else result


def described(about: Document, service: Service) -> Document:
    """The metadata with what is known of this revision; not in the pods, which do not roll for it."""
    annotations = {**about.get("annotations", {}), f"{PREFIX}/revision": str(service.revision)}
    for key in ("description", "models", "properties", "tags"):
        if value := getattr(service, key):
            annotations[f"{PREFIX}/{key}"] = value if isinstance(value, str) else encoded(value)
    return {**about, "annotations": annotations}


def encoded(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else dict(value), sort_keys=True)
