"""Which host a service has: one row for each kind, its module imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.deploy.service import Service
    from scoring_runtime.deploy.targets.base import Target
    from scoring_runtime.deploy.workspace import Workspace

__all__ = ["TARGETS", "target_of"]


def local(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.targets.local import LocalHost

    return LocalHost(workspace, service.name)


def iot(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.targets.iot_edge.edge import Edge
    from scoring_runtime.deploy.targets.iot_edge.target import IotEdgeTarget

    return IotEdgeTarget(Edge(**attached(workspace, service)))


def aci(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.model import Model
    from scoring_runtime.deploy.targets.aci.host import ContainerHost
    from scoring_runtime.deploy.targets.aci.target import AciTarget

    sizes = {name: int(Model(workspace, id=name).record["size"]) for name in service.models}
    return AciTarget(ContainerHost(**attached(workspace, service)), model_bytes=sizes)


def kubernetes(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.targets.kubernetes.settings import cluster_of
    from scoring_runtime.deploy.targets.kubernetes.target import KubernetesTarget

    return KubernetesTarget(cluster_of(attached(workspace, service)), service.deployment.namespace or "")


def attached(workspace: Workspace, service: Service) -> dict[str, Any]:
    """The settings of the compute target that the deployment names; none without one."""
    from scoring_runtime.deploy.compute import ComputeTarget

    name = getattr(service.deployment, "compute_target_name", None)
    return dict(ComputeTarget(workspace, name).settings) if name else {}


TARGETS: dict[str, Callable[[Workspace, Service], Target]] = {
    "local": local,
    "aci": aci,
    "aks": kubernetes,
    "aksendpoint": kubernetes,
    "iot": iot,
}


def target_of(workspace: Workspace, service: Service) -> Target:
    """The host of a service. Raises TargetError."""
    return TARGETS[service.compute_type](workspace, service)
