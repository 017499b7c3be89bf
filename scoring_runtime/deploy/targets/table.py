"""Which host a service has: one row for each kind, its module imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.host_settings import made

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.base import Target
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["TARGETS", "platforms_of", "target_of"]


def local(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.targets.local import LocalHost

    return LocalHost(workspace, service.name)


def iot(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.targets.iot_edge.edge import Edge
    from scoring_runtime.deploy.targets.iot_edge.target import IotEdgeTarget
    from scoring_runtime.deploy.targets.published import Published

    settings = attached(workspace, service)
    registry = settings.pop("registry", "")
    target = IotEdgeTarget(made(Edge, settings), platforms=lambda image: platforms_of(workspace, registry, image))
    return Published(target, workspace, registry)


def aci(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.models.model import Model
    from scoring_runtime.deploy.targets.aci.host import ContainerHost
    from scoring_runtime.deploy.targets.aci.target import AciTarget
    from scoring_runtime.deploy.targets.docker_options import LOCAL
    from scoring_runtime.deploy.targets.published import Published, archive_of

    settings = attached(workspace, service)
    registry = settings.pop("registry", LOCAL)
    sizes = {name: int(Model(workspace, id=name).record["size"]) for name in service.models}
    host = made(ContainerHost, settings)
    target = AciTarget(host, archive=lambda image: archive_of(workspace, image), model_bytes=sizes)
    return Published(target, workspace, registry)


def kubernetes(workspace: Workspace, service: Service) -> Target:
    from scoring_runtime.deploy.targets.kubernetes.settings import cluster_of
    from scoring_runtime.deploy.targets.kubernetes.target import KubernetesTarget
    from scoring_runtime.deploy.targets.published import Published

    settings = attached(workspace, service)
    registry = settings.pop("registry", "")
    target = KubernetesTarget(cluster_of(settings), service.deployment.namespace or "")
    return Published(target, workspace, registry)


def platforms_of(workspace: Workspace, registry: str, reference: str) -> list[str]:
    """Of an image that the workspace has pushed there; of others nothing is known."""
    from scoring_runtime.deploy.images.image import Image

    prefix = f"{registry.rstrip('/')}/"
    if not registry or not reference.startswith(prefix):
        return []
    return list(Image(workspace, id=reference.removeprefix(prefix)).serialize()["platforms"])


def attached(workspace: Workspace, service: Service) -> dict[str, Any]:
    """The settings of the compute target that the deployment names, or that is named like its kind; else none."""
    from scoring_runtime.deploy.services.compute import ComputeTarget

    name = getattr(service.deployment, "compute_target_name", None)
    if name is None and service.compute_type in [one.name for one in ComputeTarget.list(workspace)]:
        name = service.compute_type
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
