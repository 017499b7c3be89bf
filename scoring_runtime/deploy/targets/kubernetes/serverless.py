"""The same container as a Knative Service or a KServe InferenceService, whose controllers scale it themselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.container import setting
from scoring_runtime.deploy.targets.kubernetes.labels import described, metadata, named
from scoring_runtime.deploy.targets.kubernetes.pod import USER, container_document, place, pod_annotations, volumes
from scoring_runtime.deploy.targets.kubernetes.workload import SCHEDULING_SECONDS
from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.container import Container
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = ["KSERVE_CONTAINER", "inference_service", "knative_service"]

KSERVE_CONTAINER = "kserve-container"  # what KServe looks for
WITHOUT_KNATIVE = {
    "serving.kserve.io/deploymentMode": "RawDeployment",
    "serving.kserve.io/autoscalerClass": "hpa",
}
Document = dict[str, Any]


def knative_service(service: Service, cluster: Cluster, container: Container) -> Document:
    lowest, highest = replicas(service)
    scale = {
        "autoscaling.knative.dev/min-scale": str(lowest),
        "autoscaling.knative.dev/max-scale": str(highest),
        "autoscaling.knative.dev/target-utilization-percentage": str(utilization(service)),
        "autoscaling.knative.dev/scale-down-delay": f"{cluster.scaling.down_after_seconds}s",
        "serving.knative.dev/progress-deadline": f"{container.probe.boot_seconds + SCHEDULING_SECONDS}s",
    }
    spec = {
        **pod_spec(service, cluster, container),
        "containerConcurrency": slots(service, container),
        "timeoutSeconds": seconds(container),
    }
    template = {"metadata": {"annotations": {**pod_annotations(container), **scale}}, "spec": spec}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": described(metadata(service, cluster), service),
        "spec": {"template": template, "traffic": [{"latestRevision": True, "percent": 100}]},
    }


def inference_service(service: Service, cluster: Cluster, container: Container) -> Document:
    lowest, highest = replicas(service)
    spec = pod_spec(service, cluster, container)
    spec["containers"][0]["name"] = KSERVE_CONTAINER
    predictor = {
        **spec,
        "minReplicas": lowest,
        "maxReplicas": highest,
        **kserve_scale(service, cluster, container),
        "containerConcurrency": slots(service, container),
        "timeout": seconds(container),
        "annotations": pod_annotations(container),
    }
    about = described(metadata(service, cluster), service)
    if cluster.scaling.by == "cpu":
        about["annotations"] |= WITHOUT_KNATIVE
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": about,
        "spec": {"predictor": predictor},
    }


def kserve_scale(service: Service, cluster: Cluster, container: Container) -> Document:
    """Its HPAs know the processor only; how many requests run is known to Knative, through which it serves else."""
    if cluster.scaling.by == "cpu":
        return {"scaleMetric": "cpu", "scaleTarget": utilization(service)}
    share = slots(service, container) * utilization(service) / 100
    return {"scaleMetric": "concurrency", "scaleTarget": max(1, round(share))}


def pod_spec(service: Service, cluster: Cluster, container: Container) -> Document:
    """What Knative lets through of a pod: it drains, spreads and probes the start itself, and has one port."""
    if container.tls or container.probe_port != container.port:
        what = "TLS" if container.tls else "a health port of its own (SEPERATE_HEALTH_ENDPOINT)"
        raise TargetError(
            f"{service.name}: {what} in the container is not for {cluster.workload}, which has one port without TLS. "
            "Leave it out: its gateway has the certificate."
        )
    document = container_document(container, cluster)
    for name in ("lifecycle", "startupProbe"):
        del document[name]
    document["ports"] = [{"name": "http1", "containerPort": container.port, "protocol": "TCP"}]
    for name in ("livenessProbe", "readinessProbe"):
        document[name]["httpGet"]["port"] = container.port
    document["livenessProbe"]["initialDelaySeconds"] = container.probe.initial_delay  # there is no startup probe
    del document["securityContext"]["privileged"]
    # Knative lets no security context of the pod through, so no fsGroup either: files are for everyone in the pod.
    document["securityContext"] |= {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    result: Document = {
        "serviceAccountName": service.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [document],
        "volumes": volumes(container, 0o444),
        **place(cluster, {}),
    }
    if service.secrets.registries:
        result["imagePullSecrets"] = [{"name": named(service.name, "registry")}]
    return result


def replicas(service: Service) -> tuple[int, int]:
    deployment = service.deployment
    if getattr(deployment, "autoscale_enabled", False):
        return deployment.autoscale_min_replicas, deployment.autoscale_max_replicas
    fixed = getattr(deployment, "num_replicas", None) or 1
    return fixed, fixed


def utilization(service: Service) -> int:
    return getattr(service.deployment, "autoscale_target_utilization", None) or 70


def slots(service: Service, container: Container) -> int:
    """What the server scores at a time; Knative allows 1,000 unless its operator has raised it."""
    workers, each = (setting(service, container.environ, name) for name in ("worker_count", "max_concurrent_requests"))
    return min(1000, int(workers * each))


def seconds(container: Container) -> int:
    """Knative's own limit is 600 s unless its operator raised it."""
    return min(600, math.ceil(int(container.environ.get("SCORING_TIMEOUT_MS", "600000")) / 1000) or 600)
