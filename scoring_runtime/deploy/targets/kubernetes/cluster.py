"""A cluster that is there already, and how services are exposed, scaled and placed on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scoring_runtime.errors import TargetError

__all__ = ["Cluster", "Placement", "Route", "Scaling", "Share"]

WORKLOADS = ("deployment", "knative", "kserve")
SCALERS = ("load", "cpu", "keda")
ROUTES = ("none", "ingress", "gateway")


@dataclass(frozen=True)
class Scaling:
    """What decides the number of replicas, when the deployment config asks for an autoscaler."""

    by: str = "load"  # HPA on the server's own metric; cpu: HPA without custom metrics; keda: from Prometheus
    prometheus: str = "http://prometheus-server.monitoring.svc"  # that KEDA asks
    down_after_seconds: int = 60

    def __post_init__(self) -> None:
        one_of("scaling.by", self.by, SCALERS)
        if not 0 <= self.down_after_seconds <= 3600:
            raise TargetError(
                f"scaling.down_after_seconds: expected 0 to 3600, as a cluster does, got {self.down_after_seconds}."
            )


@dataclass(frozen=True)
class Route:
    """How requests come in from outside the cluster: /api/v1/service/<name>/score of this host name."""

    kind: str = "none"  # ingress: networking.k8s.io, for ingress-nginx; gateway: an HTTPRoute
    host: str = ""
    ingress_class: str = "nginx"
    gateway: str = ""  # namespace/name of a Gateway that is there, whose certificate it also is
    gateway_class: str = ""  # or the class of one that is made here, with the service's own certificate

    def __post_init__(self) -> None:
        one_of("route.kind", self.kind, ROUTES)
        if self.kind == "gateway" and bool(self.gateway) == bool(self.gateway_class):
            raise TargetError(
                "route: expected either gateway, the namespace/name of one that is there, or gateway_class, to make "
                f"one; got gateway={self.gateway!r}, gateway_class={self.gateway_class!r}."
            )


@dataclass(frozen=True)
class Placement:
    """On which nodes, and with what right to be there."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, object], ...] = ()
    priority_class: str = ""
    device_resource: str = ""  # where `kubectl describe node` names the accelerator's resource otherwise
    spare_device: bool = True  # without one an update must stop a replica before it starts the next


@dataclass(frozen=True)
class Cluster:
    """Attached by a context of a kubeconfig; nothing here creates clusters."""

    kubeconfig: str = ""  # else KUBECONFIG, else ~/.kube/config, else the pod's own service account
    context: str = ""  # else the current one
    namespace: str = ""  # else the context's, else "default"; the deployment config's comes first
    workload: str = "deployment"
    service_type: str = "ClusterIP"
    scaling: Scaling = field(default_factory=Scaling)
    route: Route = field(default_factory=Route)
    placement: Placement = field(default_factory=Placement)
    callers: tuple[Mapping[str, str], ...] = ()  # labels of namespaces that may connect; none given: all may
    annotations: Mapping[str, str] = field(default_factory=dict)  # put on every object
    force: bool = False  # take over fields that another manager has set

    def __post_init__(self) -> None:
        one_of("workload", self.workload, WORKLOADS)
        one_of("service_type", self.service_type, ("ClusterIP", "NodePort", "LoadBalancer"))


@dataclass(frozen=True)
class Share:
    """One version of an endpoint and its part of the requests; the versions' parts are weights."""

    service: str  # the Service object of this version
    weight: int


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TargetError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}.")
