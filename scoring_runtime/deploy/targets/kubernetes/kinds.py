"""The kinds of objects that a service may have, and where the API has them."""

from __future__ import annotations

__all__ = ["KINDS", "OTHERS", "place_of"]

# In the order in which they are deleted: first what makes pods and lets requests in.
KINDS: dict[tuple[str, str], str] = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): "httproutes",
    ("gateway.networking.k8s.io/v1", "Gateway"): "gateways",
    ("networking.k8s.io/v1", "Ingress"): "ingresses",
    ("keda.sh/v1alpha1", "ScaledObject"): "scaledobjects",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("serving.kserve.io/v1beta1", "InferenceService"): "inferenceservices",
    ("serving.knative.dev/v1", "Service"): "services",
    ("apps/v1", "Deployment"): "deployments",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("networking.k8s.io/v1", "NetworkPolicy"): "networkpolicies",
    ("v1", "Service"): "services",
    ("v1", "ServiceAccount"): "serviceaccounts",
    ("v1", "Secret"): "secrets",
    ("v1", "ConfigMap"): "configmaps",
}
OTHERS = {("v1", "Pod"): "pods", ("v1", "Event"): "events"}


def place_of(version: str, kind: str, namespace: str, name: str = "") -> str:
    """The path of one object, or of all of its kind."""
    plural = {**KINDS, **OTHERS}[version, kind]
    root = "api" if version == "v1" else "apis"
    path = f"/{root}/{version}/namespaces/{namespace}/{plural}"
    return f"{path}/{name}" if name else path
