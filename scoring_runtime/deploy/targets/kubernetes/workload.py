"""What keeps the pods of a service running: a Deployment, its ServiceAccount, and what evictions must leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.kubernetes.labels import described, metadata, selector
from scoring_runtime.deploy.targets.kubernetes.pod import pod_template

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.container import Container
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = ["SCHEDULING_SECONDS", "account", "workload_documents"]

SCHEDULING_SECONDS = 300  # after which a replica that no node takes is given up
Document = dict[str, Any]


def workload_documents(service: Service, cluster: Cluster, container: Container) -> list[Document]:
    return [
        account(service, cluster),
        deployment(service, cluster, container),
        disruption_budget(service, cluster),
    ]


def account(service: Service, cluster: Cluster) -> Document:
    """A name without rights, and without a token in the pod."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(service, cluster),
        "automountServiceAccountToken": False,
    }


def deployment(service: Service, cluster: Cluster, container: Container) -> Document:
    spec: Document = {
        "selector": {"matchLabels": selector(service.name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling(cluster, container)},
        "progressDeadlineSeconds": container.probe.boot_seconds + SCHEDULING_SECONDS,
        "revisionHistoryLimit": 5,
        "template": pod_template(container, cluster, bool(service.secrets.registries)),
    }
    if not getattr(service.deployment, "autoscale_enabled", False):  # else the autoscaler owns the number
        spec = {"replicas": getattr(service.deployment, "num_replicas", None) or 1, **spec}
    about = described(metadata(service, cluster), service)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": spec}


def rolling(cluster: Cluster, container: Container) -> dict[str, int]:
    """The next replica is ready before one goes; where devices are all taken it cannot start before."""
    if container.devices and not cluster.placement.spare_device:
        return {"maxUnavailable": 1, "maxSurge": 0}
    return {"maxUnavailable": 0, "maxSurge": 1}


def disruption_budget(service: Service, cluster: Cluster) -> Document:
    """A drain of nodes takes one replica at a time, and those that are not ready whenever it likes."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(service, cluster),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(service.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
