"""The autoscaler of a service: an HPA on the server's load or on the processor, or KEDA's ScaledObject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.kubernetes.labels import metadata

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = ["METRIC", "scaling_documents"]

METRIC = "scoring_load"  # of /metrics: busy slots and waiting requests over slots, of one pod
Document = dict[str, Any]


def scaling_documents(service: Service, cluster: Cluster) -> list[Document]:
    if not getattr(service.deployment, "autoscale_enabled", False):
        return []
    return [scaled_object(service, cluster) if cluster.scaling.by == "keda" else autoscaler(service, cluster)]


def autoscaler(service: Service, cluster: Cluster) -> Document:
    deployment = service.deployment
    percent = deployment.autoscale_target_utilization
    if cluster.scaling.by == "cpu":
        metric: Document = {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
        }
    else:
        target = {"type": "AverageValue", "averageValue": f"{percent * 10}m"}
        metric = {"type": "Pods", "pods": {"metric": {"name": METRIC}, "target": target}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(service, cluster),
        "spec": {
            "scaleTargetRef": target_of(service),
            "minReplicas": deployment.autoscale_min_replicas,
            "maxReplicas": deployment.autoscale_max_replicas,
            "metrics": [metric],
            "behavior": behavior(cluster),
        },
    }


def target_of(service: Service) -> Document:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.name}


def behavior(cluster: Cluster) -> Document:
    """Up at once, at most double or four more every 15 s; down after a minute in which fewer would have done."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
                {"type": "Pods", "value": 4, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": cluster.scaling.down_after_seconds,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }


def scaled_object(service: Service, cluster: Cluster) -> Document:
    """KEDA asks as often as the config says; an HPA every 15 s."""
    deployment = service.deployment
    names = f"{service.name}-[a-z0-9]+-[a-z0-9]{{5}}"  # of a Deployment's pods: iris-.* would have those of iris-v2 too
    pods = f'namespace="{metadata(service, cluster).get("namespace", "default")}",pod=~"{names}"'
    query = f"sum({METRIC}{{{pods}}})"
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(service, cluster),
        "spec": {
            "scaleTargetRef": target_of(service),
            "pollingInterval": deployment.autoscale_refresh_seconds,
            "minReplicaCount": deployment.autoscale_min_replicas,
            "maxReplicaCount": deployment.autoscale_max_replicas,
            "fallback": {"failureThreshold": 3, "replicas": deployment.autoscale_max_replicas},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(cluster)}},
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": cluster.scaling.prometheus,
                        "query": query,
                        "threshold": f"{deployment.autoscale_target_utilization / 100:g}",
                    },
                }
            ],
        },
    }
