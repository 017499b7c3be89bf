"""What a cluster says of a service, as one of the five states with a reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, UNHEALTHY, UNSCHEDULABLE, Status
from scoring_runtime.deploy.targets.kubernetes.labels import PREFIX
from scoring_runtime.deploy.targets.log_words import last_words

__all__ = ["condition", "crashed", "current_pods", "killed_before", "state_of", "worst"]

IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CONFIG_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
Document = Mapping[str, Any]


def state_of(
    deployment: Document, pods: Sequence[Document], logs: Mapping[str, str], scoring_uri: str | None
) -> Status:
    """Of a Deployment. `pods` are the current ones (see current_pods); `logs` the last ones of those that crashed."""
    status, ready = deployment.get("status", {}), deployment.get("status", {}).get("readyReplicas", 0)
    wanted = deployment["spec"].get("replicas", 1)
    bad = worst(pods, logs)
    if bad is not None:
        return Status(bad[0], bad[1], scoring_uri, ready)
    refused = condition(status, "ReplicaFailure")
    if refused.get("status") == "True":
        return Status(*not_made(refused), scoring_uri, ready)
    progressing = condition(status, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Status(FAILED, f"ProgressDeadlineExceeded: {progressing.get('message', '')}", scoring_uri, ready)
    settled = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    alone = status.get("replicas", 0) <= updated  # else some of those that are available are of the revision before
    if settled and alone and updated >= wanted and available >= wanted:
        return Status(HEALTHY, killed_before(pods), scoring_uri, ready)
    if settled and progressing.get("reason") == "NewReplicaSetAvailable" and not ready:
        return Status(UNHEALTHY, "No replica is ready.", scoring_uri, ready)
    return Status(TRANSITIONING, None, scoring_uri, ready)


def not_made(refused: Document) -> tuple[str, str]:
    """The cluster takes no pod: a quota, a policy, a limit. In its own words."""
    message = refused.get("message", "")
    if "exceeded quota" in message:
        return UNSCHEDULABLE, f"OutOfQuota: {message}"
    return FAILED, f"{refused.get('reason') or 'FailedCreate'}: {message}"


def current_pods(template: Document, pods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the newest revision: an update's mistakes are its own, not those of what it replaces or what leaves."""
    wanted = fingerprint(template)
    return [pod for pod in pods if fingerprint(pod) == wanted and "deletionTimestamp" not in pod["metadata"]]


def fingerprint(made: Document) -> tuple[str, str]:
    """Of a pod, or of what pods are made of; KServe has everything in one.

    By annotations: clusters rewrite images, Knative to digests, and put containers of their own first.
    """
    annotations = made.get("metadata", made).get("annotations", {})
    return annotations.get(f"{PREFIX}/config-hash", ""), annotations.get(f"{PREFIX}/image", "")


def worst(pods: Sequence[Document], logs: Mapping[str, str]) -> tuple[str, str] | None:
    """State and reason of the first pod that cannot be helped by waiting; of Unschedulable only without such."""
    found = [one for pod in pods if (one := of_pod(pod, logs)) is not None]
    return next((one for one in found if one[0] == FAILED), found[0] if found else None)


def of_pod(pod: Document, logs: Mapping[str, str]) -> tuple[str, str] | None:
    name = pod["metadata"]["name"]
    scheduled = condition(pod.get("status", {}), "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        return UNSCHEDULABLE, f"PodUnschedulable: {scheduled.get('message', '')}"
    for container in pod.get("status", {}).get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason in IMAGE_REASONS:
            return FAILED, f"ImagePullLoopBackOff: {waiting.get('message', reason)}"
        if reason in CONFIG_REASONS:
            return FAILED, f"{reason}: {waiting.get('message', '')}"
        if reason == "CrashLoopBackOff" or (crashed(pod) and container.get("restartCount", 0) > 1):
            return FAILED, crash(container, last_words(logs.get(name, "")))
    return None


def crashed(pod: Document) -> bool:
    """It has ended at least once, and is not ready again."""
    return any(
        not container.get("ready") and (ended(container) or container.get("restartCount", 0))
        for container in pod.get("status", {}).get("containerStatuses", [])
    )


def ended(container: Document) -> Document:
    """How it ended last."""
    for state in (container.get("state", {}), container.get("lastState", {})):
        if "terminated" in state:
            return dict(state["terminated"])
    return {}


def crash(container: Document, words: str) -> str:
    last = ended(container)
    if last.get("reason") == "OOMKilled":
        return "PodOutOfMemory: it was killed at its limit of memory. Raise memoryInGBLimit, or take a smaller model."
    code = f"exit code {last['exitCode']}" if "exitCode" in last else "it ends again and again"
    kind = "UserScriptInitFailed" if last.get("exitCode") == 3 else "DeploymentCrashLoopBackOff"
    return f"{kind}: {code}, {container.get('restartCount', 0)} restarts. {words}".strip()


def killed_before(pods: Sequence[Document]) -> str | None:
    """Healthy again, and not for long unless it is told."""
    killed = [
        pod["metadata"]["name"]
        for pod in pods
        for container in pod.get("status", {}).get("containerStatuses", [])
        if ended(container).get("reason") == "OOMKilled"
    ]
    return (
        f"PodOutOfMemory: {', '.join(killed)} was killed at its limit of memory, and started again." if killed else None
    )


def condition(status: Document, kind: str) -> Document:
    return next((dict(one) for one in status.get("conditions", []) if one.get("type") == kind), {})
