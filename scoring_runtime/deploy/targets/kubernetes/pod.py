"""The pod of a service: one container without privileges, its probes, resources, mounts and place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.container import KEYS_FOLDER, TLS_FOLDER
from scoring_runtime.deploy.targets.kubernetes.labels import PREFIX, named, selector

if TYPE_CHECKING:
    from scoring_runtime.deploy.targets.container import Container
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = [
    "CONTAINER",
    "USER",
    "container_document",
    "place",
    "pod_annotations",
    "pod_template",
    "port_name",
    "volumes",
]

CONTAINER = "inference-server"
LEAVING_SECONDS = 5  # between "no longer an endpoint" and SIGTERM: time for every proxy to notice
USER = 1000  # that our images have; by number, so that the kubelet can check that it is not root
Document = dict[str, Any]


def pod_template(container: Container, cluster: Cluster, pull_secret: bool) -> Document:
    """Metadata and spec, for a Deployment."""
    spaced = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(container.name)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
    spec: Document = {
        "serviceAccountName": container.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": LEAVING_SECONDS + container.drain_seconds + 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": spaced,
        "containers": [container_document(container, cluster)],
        "volumes": volumes(container),
    }
    if pull_secret:
        spec["imagePullSecrets"] = [{"name": named(container.name, "registry")}]
    spec |= place(cluster, devices(container, cluster))
    labels = {**selector(container.name), "app.kubernetes.io/component": "inference-server"}
    return {"metadata": {"labels": labels, "annotations": pod_annotations(container)}, "spec": spec}


def place(cluster: Cluster, devices: Mapping[str, str]) -> Document:
    """On which nodes; those with devices often take only pods that want one."""
    placement = cluster.placement
    tolerations = [dict(one) for one in placement.tolerations]
    tolerations += [{"key": resource, "operator": "Exists"} for resource in devices]
    said = {
        "nodeSelector": dict(placement.node_selector),
        "tolerations": tolerations,
        "priorityClassName": placement.priority_class,
    }
    return {name: value for name, value in said.items() if value}


def pod_annotations(container: Container) -> dict[str, str]:
    """Other configuration, other hash, other pods; the image as we name it; and where Prometheus finds the numbers."""
    return {
        f"{PREFIX}/config-hash": container.config_hash,
        f"{PREFIX}/image": container.image,
        "prometheus.io/scrape": "true",
        "prometheus.io/scheme": "https" if container.tls_probe else "http",
        "prometheus.io/port": str(container.probe_port),
        "prometheus.io/path": "/metrics",
    }


def container_document(container: Container, cluster: Cluster) -> Document:
    environment = [{"configMapRef": {"name": named(container.name, "environment")}}]
    if container.secret_environ:
        environment.append({"secretRef": {"name": named(container.name, "environment")}})
    ports = [{"name": port_name(container), "containerPort": container.port, "protocol": "TCP"}]
    if container.probe_port != container.port:
        ports.append({"name": "health", "containerPort": container.probe_port, "protocol": "TCP"})
    return {
        "name": CONTAINER,
        "image": container.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": ports,
        "envFrom": environment,
        "resources": resources(container, cluster),
        **probes(container),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVING_SECONDS)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts(container),
    }


def port_name(container: Container) -> str:
    return "https" if container.tls else "http"


def probes(container: Container) -> Document:
    """Ready within a second of init()'s end; killed when init() takes longer than the config allows, or when dead."""
    probe = container.probe
    port = port_name(container) if container.probe_port == container.port else "health"
    scheme = {"scheme": "HTTPS"} if container.tls_probe else {}

    def get(path: str, **numbers: int) -> Document:
        return {"httpGet": {"path": path, "port": port, **scheme}, **numbers}

    steady = {
        "periodSeconds": probe.period,
        "timeoutSeconds": probe.timeout,
        "failureThreshold": probe.failure_threshold,
    }
    return {
        "startupProbe": get(
            "/readyz", periodSeconds=1, timeoutSeconds=probe.timeout, failureThreshold=probe.boot_seconds
        ),
        "livenessProbe": get("/livez", **steady),
        "readinessProbe": get("/readyz", **steady, successThreshold=probe.success_threshold),
    }


def resources(container: Container, cluster: Cluster) -> Document:
    limits: dict[str, str] = devices(container, cluster)
    if container.cpu_limit is not None:
        limits["cpu"] = cpu(container.cpu_limit)
    if container.memory_gb_limit is not None:
        limits["memory"] = memory(container.memory_gb_limit)
    requests = {"cpu": cpu(container.cpu), "memory": memory(container.memory_gb), **devices(container, cluster)}
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def devices(container: Container, cluster: Cluster) -> dict[str, str]:
    if not container.devices:
        return {}
    resource = cluster.placement.device_resource
    return container.accelerator.kubernetes(container.devices, container.accelerator_options, resource)


def cpu(cores: float) -> str:
    return f"{max(1, round(cores * 1000))}m" if cores % 1 else f"{int(cores)}"  # 0 would be no request at all


def memory(gigabytes: float) -> str:
    return f"{max(1, round(gigabytes * 1024))}Mi" if gigabytes % 1 else f"{int(gigabytes)}Gi"


def volumes(container: Container, mode: int = 0o440) -> list[Document]:
    result: list[Document] = [{"name": "tmp", "emptyDir": {}}]
    for name, files in (("keys", container.keys), ("tls", container.tls)):
        if files:
            secret = {"secretName": named(container.name, name), "defaultMode": mode, "optional": False}
            result.append({"name": name, "secret": secret})
    return result


def mounts(container: Container) -> list[Document]:
    result: list[Document] = [{"name": "tmp", "mountPath": "/tmp"}]
    for name, files, folder in (("keys", container.keys, KEYS_FOLDER), ("tls", container.tls, TLS_FOLDER)):
        if files:
            result.append({"name": name, "mountPath": folder, "readOnly": True})
    return result
