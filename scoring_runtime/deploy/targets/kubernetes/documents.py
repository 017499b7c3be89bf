"""All objects of a service, in the order in which they are applied; the same service, the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.container import container_of
from scoring_runtime.deploy.targets.kubernetes.config import config_documents
from scoring_runtime.deploy.targets.kubernetes.network import answer_seconds, network_documents, route_documents
from scoring_runtime.deploy.targets.kubernetes.scaling import scaling_documents
from scoring_runtime.deploy.targets.kubernetes.serverless import inference_service, knative_service
from scoring_runtime.deploy.targets.kubernetes.workload import account, workload_documents
from scoring_runtime.deploy.targets.yaml_text import yaml_text
from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster, Share

__all__ = ["documents", "file_name", "kubernetes_yaml"]

LONGEST_DRAIN_SECONDS = 600  # for which a cluster autoscaler waits before it takes a node away
Document = dict[str, Any]


def documents(service: Service, cluster: Cluster, shares: Sequence[Share] = ()) -> list[Document]:
    """Raises TargetError where the service cannot run so."""
    service = for_cluster(service, cluster)
    container = container_of(service, tls=cluster.route.kind == "none")
    if service.versions and (cluster.workload != "deployment" or cluster.route.kind == "none"):
        raise TargetError(
            f"{service.name}: shares between versions need workload 'deployment' and a route that splits requests, got "
            f"{cluster.workload!r} and {cluster.route.kind!r}. Attach it with route={{'kind': 'gateway', ...}}."
        )
    config = config_documents(service, cluster, container)
    if cluster.workload == "deployment":
        return [
            *config,
            *workload_documents(service, cluster, container),
            *network_documents(service, cluster, container),
            *scaling_documents(service, cluster),
            *route_documents(service, cluster, container, shares),
        ]
    make = knative_service if cluster.workload == "knative" else inference_service
    return [*config, account(service, cluster), make(service, cluster, container)]


def for_cluster(service: Service, cluster: Cluster) -> Service:
    """With what a pod needs of the server's settings, where the user has not set them himself.

    A replica that leaves finishes what it has accepted. Where the served port wants a key or speaks TLS, probes and
    /metrics have a port of their own: Prometheus has no key, and an autoscaler on load would never see a number.
    """
    container = container_of(service, tls=cluster.route.kind == "none")
    seconds = answer_seconds(container) or LONGEST_DRAIN_SECONDS
    ours = {"SCORING_GRACEFUL_TIMEOUT": str(min(max(seconds, container.drain_seconds), LONGEST_DRAIN_SECONDS))}
    if cluster.workload == "deployment" and (container.tls or service.auth != "none"):
        ours["SEPERATE_HEALTH_ENDPOINT"] = "true"
        if container.port == 5000:  # which is the health port's default
            ours["SCORING_HEALTH_PORT"] = "5001"
    return replace(service, environ={**ours, **service.environ})


def file_name(document: Document) -> str:
    return f"{document['kind'].lower()}-{document['metadata']['name']}.yaml"


def kubernetes_yaml(documents: Sequence[Document]) -> str:
    """For `kubectl apply -f`."""
    return "---\n".join(yaml_text(document) for document in documents)
