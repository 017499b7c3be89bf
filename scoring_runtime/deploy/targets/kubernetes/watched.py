"""What is asked of a cluster about a service: one row for each kind of workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoring_runtime.deploy.targets.base import Status
from scoring_runtime.deploy.targets.kubernetes.labels import selector
from scoring_runtime.deploy.targets.kubernetes.observed import state_of
from scoring_runtime.deploy.targets.kubernetes.pod import CONTAINER
from scoring_runtime.deploy.targets.kubernetes.serverless import KSERVE_CONTAINER
from scoring_runtime.deploy.targets.kubernetes.serverless_state import knative_state, kserve_state

__all__ = ["WATCHED", "Watched"]

Document = Mapping[str, Any]
State = Callable[[Document, Sequence[Document], Mapping[str, str], "str | None"], Status]


@dataclass(frozen=True)
class Watched:
    """The object whose status counts, its pods, and how both are read."""

    version: str
    kind: str
    labels: Callable[[str], Mapping[str, str]]  # of the pods, by the service's name; controllers put their own on
    template: str  # in its spec: what its pods are made of
    container: str
    state: State

    def pods_of(self, name: str) -> str:
        """The label selector of the service's pods."""
        return ",".join(f"{label}={value}" for label, value in self.labels(name).items())


WATCHED = {
    "deployment": Watched("apps/v1", "Deployment", selector, "template", CONTAINER, state_of),
    "knative": Watched(
        "serving.knative.dev/v1",
        "Service",
        lambda name: {"serving.knative.dev/service": name},
        "template",
        CONTAINER,
        knative_state,
    ),
    "kserve": Watched(
        "serving.kserve.io/v1beta1",
        "InferenceService",
        lambda name: {"serving.kserve.io/inferenceservice": name},
        "predictor",
        KSERVE_CONTAINER,
        kserve_state,
    ),
}
