"""The address of a service inside the cluster, who may connect, and the way in from outside with TLS and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.kubernetes.cluster import Share
from scoring_runtime.deploy.targets.kubernetes.labels import metadata, named, selector
from scoring_runtime.deploy.targets.kubernetes.pod import port_name
from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.container import Container
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = ["answer_seconds", "network_documents", "public_path", "route_documents", "shares_of"]

OPEN_PATHS = ("score", "swagger.json")  # not /metrics
Document = dict[str, Any]


def public_path(name: str) -> str:
    """Below which a service lies on the cluster's address, as it always did on AKS."""
    return f"/api/v1/service/{name}"


def shares_of(service: Service) -> tuple[Share, ...]:
    """Weights of an endpoint's versions; what nobody was given goes to the default one. Nothing for other services."""
    rest = 100 - sum(version.traffic for version in service.versions.values())
    return tuple(
        Share(version.service, version.traffic + (rest if version.is_default else 0))
        for version in service.versions.values()
    )


def network_documents(service: Service, cluster: Cluster, container: Container) -> list[Document]:
    return [service_document(service, cluster, container), policy(service, cluster, container)]


def service_document(service: Service, cluster: Cluster, container: Container) -> Document:
    port = {
        "name": port_name(container),
        "port": 443 if container.tls else 80,
        "targetPort": port_name(container),
        "protocol": "TCP",
        "appProtocol": port_name(container),
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(service, cluster),
        "spec": {"type": cluster.service_type, "selector": selector(service.name), "ports": [port]},
    }


def policy(service: Service, cluster: Cluster, container: Container) -> Document:
    """Nothing but the served ports, from all or from the chosen namespaces; what the script calls is its own affair."""
    ports = [{"protocol": "TCP", "port": port} for port in sorted({container.port, container.probe_port})]
    rule: Document = {"ports": ports}
    if cluster.callers:
        rule["from"] = [{"namespaceSelector": {"matchLabels": dict(labels)}} for labels in cluster.callers]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(service, cluster),
        "spec": {
            "podSelector": {"matchLabels": selector(service.name)},
            "policyTypes": ["Ingress"],
            "ingress": [rule],
        },
    }


def route_documents(
    service: Service, cluster: Cluster, container: Container, shares: Sequence[Share] = ()
) -> list[Document]:
    """The way in: to this service, or to the versions of an endpoint by their shares."""
    if service.part_of:
        return []  # the endpoint's route leads to it
    shares = shares or shares_of(service) or (Share(service.name, 100),)
    if cluster.route.kind == "ingress":
        return ingresses(service, cluster, container, shares)
    if cluster.route.kind == "gateway":
        return [*gateways(service, cluster), http_route(service, cluster, container, shares)]
    return []


def ingresses(service: Service, cluster: Cluster, container: Container, shares: Sequence[Share]) -> list[Document]:
    """One, and with two versions a canary for the smaller one: more than that ingress-nginx cannot split."""
    main, *others = sorted(shares, key=lambda share: -share.weight)
    others = [share for share in others if share.weight]
    if len(others) > 1:
        raise TargetError(
            f"{service.name}: an ingress can split its requests between two versions, got {len(others) + 1}. "
            "Use a Gateway (route.kind: gateway), or give all others 0 %."
        )
    result = [ingress(service, cluster, container, main, service.name, {})]
    if others:
        weight = {
            "nginx.ingress.kubernetes.io/canary": "true",
            "nginx.ingress.kubernetes.io/canary-weight": str(others[0].weight),
        }
        result.append(ingress(service, cluster, container, others[0], named(service.name, "canary"), weight))
    return result


def ingress(
    service: Service, cluster: Cluster, container: Container, share: Share, name: str, extra: Mapping[str, str]
) -> Document:
    about = metadata(service, cluster, name)
    seconds = str(answer_seconds(container) or 3600)
    about["annotations"] = {
        **about.get("annotations", {}),
        "nginx.ingress.kubernetes.io/use-regex": "true",
        "nginx.ingress.kubernetes.io/rewrite-target": "/$1",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": seconds,
        "nginx.ingress.kubernetes.io/proxy-send-timeout": seconds,
        "nginx.ingress.kubernetes.io/proxy-body-size": container.environ.get("SCORING_MAX_BODY_BYTES", "104857600"),
        **extra,
    }
    paths = "|".join(path.replace(".", "\\.") for path in OPEN_PATHS)
    path = {
        "path": f"{public_path(service.name)}/({paths})$",
        "pathType": "ImplementationSpecific",
        "backend": {"service": {"name": share.service, "port": {"name": "http"}}},
    }
    rule: Document = {"http": {"paths": [path]}}
    if cluster.route.host:
        rule = {"host": cluster.route.host, **rule}
    spec: Document = {"ingressClassName": cluster.route.ingress_class, "rules": [rule]}
    if service.secrets.tls_certificate:
        hosts = {"hosts": [cluster.route.host]} if cluster.route.host else {}
        spec["tls"] = [{**hosts, "secretName": named(service.name, "tls")}]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": about, "spec": spec}


def gateways(service: Service, cluster: Cluster) -> list[Document]:
    """Only where the route names a class instead of a gateway that is there."""
    if not cluster.route.gateway_class:
        return []
    host = {"hostname": cluster.route.host} if cluster.route.host else {}
    listener: Document = {"name": "http", "protocol": "HTTP", "port": 80, **host}
    if service.secrets.tls_certificate:
        certificate = {"kind": "Secret", "name": named(service.name, "tls")}
        tls = {"mode": "Terminate", "certificateRefs": [certificate]}
        listener = {"name": "https", "protocol": "HTTPS", "port": 443, **host, "tls": tls}
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": metadata(service, cluster),
            "spec": {"gatewayClassName": cluster.route.gateway_class, "listeners": [listener]},
        }
    ]


def http_route(service: Service, cluster: Cluster, container: Container, shares: Sequence[Share]) -> Document:
    namespace, _, gateway = cluster.route.gateway.rpartition("/")
    parent = {"name": gateway or service.name, **({"namespace": namespace} if namespace else {})}
    backends = [{"name": share.service, "port": 80, "weight": share.weight} for share in shares]
    rules = [
        {
            "matches": [{"path": {"type": "Exact", "value": f"{public_path(service.name)}/{path}"}}],
            "filters": [
                {
                    "type": "URLRewrite",
                    "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": f"/{path}"}},
                }
            ],
            "backendRefs": backends,
            "timeouts": {"request": duration(answer_seconds(container))},
        }
        for path in OPEN_PATHS
    ]
    spec: Document = {"parentRefs": [parent], "rules": rules}
    if cluster.route.host:
        spec["hostnames"] = [cluster.route.host]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(service, cluster),
        "spec": spec,
    }


def duration(seconds: int) -> str:
    """As Gateway API has it: a number has at most five digits, and 0 is no limit."""
    return f"{seconds}s" if seconds < 100_000 else "0s"


def answer_seconds(container: Container) -> int:
    """What the server itself allows for waiting and scoring, and one second; 0 where it has no limit."""
    timeout, wait = (
        container.environ.get("SCORING_TIMEOUT_MS", "3600000"),
        container.environ.get("SCORING_MAX_QUEUE_WAIT_MS", "300000"),
    )
    return math.ceil((int(timeout) + int(wait)) / 1000) + 1 if int(timeout) else 0
