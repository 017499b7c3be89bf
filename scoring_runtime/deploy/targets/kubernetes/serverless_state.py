"""What Knative and KServe say of a service, as one of the five states, in their own words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, UNHEALTHY, UNSCHEDULABLE, Status
from scoring_runtime.deploy.targets.kubernetes.observed import condition, killed_before, worst

__all__ = ["address", "knative_state", "kserve_state"]

Document = Mapping[str, Any]
FEW_REPLICAS = "MinimumReplicasUnavailable"  # of KServe's Deployment: also while the first ones still start


def knative_state(live: Document, pods: Sequence[Document], logs: Mapping[str, str], scoring_uri: str | None) -> Status:
    """Of a Knative Service. There Unknown means that it goes on, and False that it will not without a change."""
    status, ready = live.get("status", {}), ready_pods(pods)
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return Status(TRANSITIONING, None, scoring_uri, ready)
    bad = worst(pods, logs) or refused(status, "ConfigurationsReady", "RoutesReady", "Ready")
    if bad is not None:
        return Status(*bad, scoring_uri, ready)
    newest = status.get("latestCreatedRevisionName") == status.get("latestReadyRevisionName")
    if newest and condition(status, "Ready").get("status") == "True":
        return Status(HEALTHY, killed_before(pods), scoring_uri, ready)
    return Status(TRANSITIONING, None, scoring_uri, ready)


def kserve_state(live: Document, pods: Sequence[Document], logs: Mapping[str, str], scoring_uri: str | None) -> Status:
    """Of an InferenceService, on Knative or on a Deployment of its own (raw)."""
    status, ready = live.get("status", {}), ready_pods(pods)
    bad = worst(pods, logs) or not_loaded(status, pods)
    predictor = condition(status, "PredictorReady")
    if bad is None and predictor.get("reason") not in (None, "", FEW_REPLICAS):
        bad = refused(status, "PredictorReady")
    if bad is not None:
        return Status(*bad, scoring_uri, ready)
    revisions = status.get("components", {}).get("predictor", {})  # of Knative; raw ones have none
    newest = revisions.get("latestCreatedRevision") == revisions.get("latestReadyRevision")
    if newest and condition(status, "Ready").get("status") == "True":
        return Status(HEALTHY, killed_before(pods), scoring_uri, ready)
    loaded_before = status.get("modelStatus", {}).get("states", {}).get("activeModelState") == "Loaded"
    if predictor.get("reason") == FEW_REPLICAS and loaded_before and not ready:
        return Status(UNHEALTHY, words(predictor), scoring_uri, ready)
    ingress = condition(status, "IngressReady")
    if predictor.get("status") == "True" and ingress.get("status") == "False":
        return Status(UNHEALTHY, words(ingress), scoring_uri, ready)
    return Status(TRANSITIONING, None, scoring_uri, ready)


def address(live: Document) -> str | None:
    """Where the controller says that it is; nothing until it knows."""
    status = live.get("status", {})
    url = status.get("url") or status.get("address", {}).get("url")
    return f"{url.rstrip('/')}/score" if url else None


def refused(status: Document, *kinds: str) -> tuple[str, str] | None:
    """State and words of the first of these conditions that is false."""
    for kind in kinds:
        found = condition(status, kind)
        if found.get("status") == "False":
            return UNSCHEDULABLE if found.get("reason") == "Unschedulable" else FAILED, words(found)
    return None


def not_loaded(status: Document, pods: Sequence[Document]) -> tuple[str, str] | None:
    """What KServe says of the model; where pods are there, a first failure is still tried again."""
    model = status.get("modelStatus", {})
    blocked = model.get("transitionStatus") == "BlockedByFailedLoad" and not pods
    if blocked or model.get("transitionStatus") == "InvalidSpec":
        failure = {"reason": model["transitionStatus"], **model.get("lastFailureInfo", {})}
        return FAILED, words(failure)
    return None


def words(found: Document) -> str:
    return ": ".join(part for part in (found.get("reason"), found.get("message")) if part) or "No reason is given."


def ready_pods(pods: Sequence[Document]) -> int:
    return sum(condition(pod.get("status", {}), "Ready").get("status") == "True" for pod in pods)
