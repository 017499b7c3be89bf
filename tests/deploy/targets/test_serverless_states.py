"""Services that Knative or KServe run: their conditions, their pods and what they make themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy import AksWebservice, Webservice, Workspace
from scoring_runtime.deploy.services.compute import AksCompute, ComputeTarget
from scoring_runtime.deploy.targets.base import Status
from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster
from scoring_runtime.deploy.targets.kubernetes.target import KubernetesTarget
from scoring_runtime.errors import ServiceFailed
from tests.deploy.targets.cluster import Cluster as Api
from tests.deploy.targets.cluster import running_cluster
from tests.deploy.targets.services import aks

URL = "https://iris.ml.example"
KNATIVE, KSERVE = "serving.knative.dev/v1", "serving.kserve.io/v1beta1"
RUNNING = {"conditions": [{"type": "Ready", "status": "True"}]}
CRASHED = {
    "containerStatuses": [
        {
            "name": "user",
            "ready": False,
            "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 3}},
        }
    ]
}
NO_ROOM = {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes are available."}]}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_cluster(tmp_path) as (cluster, _):
        yield cluster


Make = Callable[[str], KubernetesTarget]


@pytest.fixture
def deployed(api: Api, tmp_path: Path) -> Iterator[Make]:
    """A target with the service applied to it, by the kind of workload."""
    made: list[KubernetesTarget] = []

    def make(workload: str) -> KubernetesTarget:
        target = KubernetesTarget(Cluster(kubeconfig=str(tmp_path / "kubeconfig"), workload=workload))
        made.append(target)
        target.apply(aks(), lambda step: None)
        return target

    yield make
    for one in made:
        one.api.close()


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def live(api: Api, workload: str) -> dict[str, Any]:
    version, plural = (KNATIVE, "services") if workload == "knative" else (KSERVE, "inferenceservices")
    return api.objects[version, plural, "ml", "iris"]


def report(api: Api, workload: str, *conditions: dict[str, str], **more: Any) -> None:
    """As the controller would, of the newest generation."""
    found = live(api, workload)
    found["status"] = {
        "observedGeneration": found["metadata"]["generation"],
        "conditions": list(conditions),
        "url": URL,
        **more,
    }


def pod(api: Api, workload: str, name: str, status: dict[str, Any]) -> None:
    """As both make them: the template's annotations, their own labels, and with Knative the image by its digest."""
    spec = live(api, workload)["spec"]
    annotations = spec["template"]["metadata"]["annotations"] if workload == "knative" else {}
    annotations = annotations or spec["predictor"]["annotations"]
    label = "serving.knative.dev/service" if workload == "knative" else "serving.kserve.io/inferenceservice"
    metadata = {"name": name, "labels": {label: "iris"}, "annotations": dict(annotations)}
    containers = [{"name": "user", "image": "registry.example/iris@sha256:0"}]
    api.put(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}, "status": status}
    )


def revisions(created: str, ready: str) -> dict[str, str]:
    return {"latestCreatedRevisionName": created, "latestReadyRevisionName": ready}


READY = condition("Ready", "True")
FETCH = 'Revision "iris-00001" failed with message: Unable to fetch image "registry.example/iris:7".'


@pytest.mark.parametrize(
    ("conditions", "more", "expected"),
    [
        ([READY], revisions("iris-00001", "iris-00001"), Status("Healthy", None, f"{URL}/score")),
        ([READY], revisions("iris-00002", "iris-00001"), Status("Transitioning", None, f"{URL}/score")),
        (
            [condition("Ready", "Unknown", "RevisionMissing"), condition("RoutesReady", "Unknown")],
            {"url": None},
            Status("Transitioning"),
        ),
        (
            [
                condition("ConfigurationsReady", "False", "RevisionFailed", FETCH),
                condition("Ready", "False", "RevisionFailed", FETCH),
                condition("RoutesReady", "True"),
            ],
            revisions("iris-00002", "iris-00001"),
            Status("Failed", f"RevisionFailed: {FETCH}", f"{URL}/score"),
        ),
        (
            [
                condition("ConfigurationsReady", "True"),
                condition("RoutesReady", "False", "NotOwned", 'There is an existing Route "iris" that we do not own.'),
            ],
            {},
            Status("Failed", 'NotOwned: There is an existing Route "iris" that we do not own.', f"{URL}/score"),
        ),
        (
            [condition("ConfigurationsReady", "False", "Unschedulable", "0/3 nodes are available.")],
            {},
            Status("Unschedulable", "Unschedulable: 0/3 nodes are available.", f"{URL}/score"),
        ),
        ([condition("Ready", "False")], {}, Status("Failed", "No reason is given.", f"{URL}/score")),
    ],
)
def test_knatives_conditions_are_the_state(
    api: Api, deployed: Make, conditions: list[dict[str, str]], more: dict[str, Any], expected: Status
) -> None:
    target = deployed("knative")
    report(api, "knative", *conditions, **more)

    assert target.status(aks()) == expected


def test_what_knative_said_of_the_revision_before_does_not_count(api: Api, deployed: Make) -> None:
    target = deployed("knative")
    report(api, "knative", READY, **revisions("iris-00001", "iris-00001"))

    target.apply(aks(environ={"A": "b"}), lambda step: None)

    assert target.status(aks()).state == "Transitioning"


PREDICTOR = condition("PredictorReady", "True")
FEW = condition(
    "PredictorReady", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
)
LOADED = {"modelStatus": {"transitionStatus": "UpToDate", "states": {"activeModelState": "Loaded"}}}
INVALID = {
    "transitionStatus": "InvalidSpec",
    "lastFailureInfo": {"reason": "InvalidPredictorSpec", "message": "containers: one is expected"},
}
LATEST = {"components": {"predictor": {"latestCreatedRevision": "p-00002", "latestReadyRevision": "p-00001"}}}


@pytest.mark.parametrize(
    ("conditions", "more", "expected"),
    [
        ([READY, PREDICTOR], {}, Status("Healthy", None, f"{URL}/score")),
        (
            [READY, PREDICTOR],
            {"url": None, "address": {"url": "http://iris.ml.svc/"}},
            Status("Healthy", None, "http://iris.ml.svc/score"),
        ),
        ([READY, PREDICTOR], LATEST, Status("Transitioning", None, f"{URL}/score")),
        ([condition("Ready", "False"), FEW], {}, Status("Transitioning", None, f"{URL}/score")),
        (
            [condition("Ready", "False"), FEW],
            LOADED,
            Status("Unhealthy", f"{FEW['reason']}: {FEW['message']}", f"{URL}/score"),
        ),
        (
            [PREDICTOR, condition("IngressReady", "False", "NoHost", "no domain is configured")],
            {},
            Status("Unhealthy", "NoHost: no domain is configured", f"{URL}/score"),
        ),
        (
            [condition("PredictorReady", "False", "RevisionFailed", FETCH)],
            {},
            Status("Failed", f"RevisionFailed: {FETCH}", f"{URL}/score"),
        ),
        (
            [condition("PredictorReady", "Unknown")],
            {"modelStatus": INVALID},
            Status("Failed", "InvalidPredictorSpec: containers: one is expected", f"{URL}/score"),
        ),
        (
            [condition("PredictorReady", "Unknown")],
            {"modelStatus": {"transitionStatus": "BlockedByFailedLoad"}},
            Status("Failed", "BlockedByFailedLoad", f"{URL}/score"),
        ),
    ],
)
def test_kserves_conditions_are_the_state(
    api: Api, deployed: Make, conditions: list[dict[str, str]], more: dict[str, Any], expected: Status
) -> None:
    target = deployed("kserve")
    report(api, "kserve", *conditions, **more)

    assert target.status(aks()) == expected


def test_kserve_may_not_have_seen_the_change_yet(api: Api, deployed: Make) -> None:
    target = deployed("kserve")
    report(api, "kserve", READY, PREDICTOR)
    pod(api, "kserve", "iris-1", RUNNING)
    assert target.status(aks()) == Status("Healthy", None, f"{URL}/score", 1)

    target.apply(replace(aks(), image="registry.example/iris:8"), lambda step: None)

    assert target.status(aks()) == Status("Transitioning", None, f"{URL}/score", 0)


@pytest.mark.parametrize("workload", ["knative", "kserve"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (CRASHED, ("Failed", "UserScriptInitFailed: exit code 3, 4 restarts. ValueError: no such model")),
        (NO_ROOM, ("Unschedulable", "PodUnschedulable: 0/3 nodes are available.")),
    ],
)
def test_a_pods_own_trouble_says_more_than_a_condition(
    api: Api, deployed: Make, workload: str, status: dict[str, Any], expected: tuple[str, str]
) -> None:
    target = deployed(workload)
    report(api, workload, condition("ConfigurationsReady", "False", "RevisionFailed", "failed"))
    pod(api, workload, "iris-1", status)
    api.logs["iris-1", True] = "Traceback (most recent call last):\n  x\nValueError: no such model\n"

    found = target.status(aks())

    assert (found.state, found.error) == expected


@pytest.mark.parametrize("workload", ["knative", "kserve"])
def test_logs_are_read_and_what_the_controller_made_is_left_to_it(api: Api, deployed: Make, workload: str) -> None:
    target = deployed(workload)
    pod(api, workload, "iris-1", RUNNING)
    api.logs["iris-1", False] = "a\nb\n"
    labels = live(api, workload)["metadata"]["labels"]
    owners = [{"apiVersion": KNATIVE, "kind": "Route", "name": "iris", "uid": "1", "controller": True}]
    theirs = {"name": "iris", "labels": labels, "ownerReferences": owners}
    api.put({"apiVersion": "v1", "kind": "Service", "metadata": theirs, "spec": {"type": "ExternalName"}})

    steps: list[str] = []
    target.apply(aks(), steps.append)

    assert target.logs(aks(), 9) == "a\nb\n"
    assert [step for step in steps if step.startswith("deleting")] == []
    assert target.diff(aks()) == {}
    target.delete(aks(), lambda step: None)
    assert api.names == ["Pod iris-1", "Service iris"]  # which the garbage collector of a cluster takes
    kind = {"knative": "Service", "kserve": "InferenceService"}[workload]
    assert target.status(aks()).error == f"There is no {kind} of it in the cluster. Deploy it again."


def test_the_verbs_deploy_to_knative(api: Api, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    settings = AksCompute.attach_configuration(kubeconfig=str(tmp_path / "kubeconfig"), workload="knative")
    ComputeTarget.attach(workspace, "prod", settings)
    config = AksWebservice.deploy_configuration(compute_target_name="prod", auth_enabled=False)

    service = Webservice.deploy_from_image(workspace, "iris", "registry.example/iris:7", config)
    report(api, "knative", READY, **revisions("iris-00001", "iris-00001"))
    service.wait_for_deployment(timeout_sec=20)
    assert (service.state, service.scoring_uri) == ("Healthy", f"{URL}/score")

    report(api, "knative", condition("ConfigurationsReady", "False", "RevisionFailed", FETCH))
    with pytest.raises(ServiceFailed, match="Unable to fetch image"):
        service.wait_for_deployment(timeout_sec=20)
    service.delete()
    assert api.names == []
