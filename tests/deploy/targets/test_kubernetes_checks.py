"""Each mistake that a cluster would refuse, or worse accept, is found and named with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scoring_runtime.deploy.targets.kubernetes.checks import problems, quantity, refused_changes
from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster, Route
from scoring_runtime.deploy.targets.kubernetes.documents import documents
from tests.deploy.targets.services import aks

ROUTED = Cluster(route=Route("gateway", gateway="infra/public"))
Objects = dict[str, Any]


def made() -> Objects:
    return {document["kind"]: document for document in documents(aks(), ROUTED)}


def container(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    return found


MISTAKES: dict[str, Callable[[Objects], Any]] = {
    "Service Iris: a name is": lambda o: o["Service"]["metadata"].update(name="Iris"),
    "the label app.kubernetes.io/version cannot have the value '!'": lambda o: o["Service"]["metadata"][
        "labels"
    ].update({"app.kubernetes.io/version": "!"}),
    "ConfigMap iris-environment: 'A B' cannot be the name": lambda o: o["ConfigMap"]["data"].update({"A B": "c"}),
    "ConfigMap iris-environment: '1A' cannot be the name": lambda o: o["ConfigMap"]["data"].update({"1A": "c"}),
    "Deployment iris: its selector": lambda o: o["Deployment"]["spec"]["template"]["metadata"].update(labels={}),
    "the service account other is not": lambda o: o["Deployment"]["spec"]["template"]["spec"].update(
        serviceAccountName="other"
    ),
    "the port name a-name-much-too-long is longer than 15": lambda o: container(o)["ports"].append(
        {"name": "a-name-much-too-long"}
    ),
    "livenessProbe asks the port admin": lambda o: container(o)["livenessProbe"]["httpGet"].update(port="admin"),
    "requests.memory: '1 GB' is not a quantity": lambda o: container(o)["resources"]["requests"].update(memory="1 GB"),
    "limits.cpu 10m is less than the request 100m": lambda o: container(o)["resources"].update(limits={"cpu": "10m"}),
    "it mounts data, which is no volume": lambda o: container(o)["volumeMounts"].append({"name": "data"}),
    "the ConfigMap none is not among": lambda o: container(o)["envFrom"].append({"configMapRef": {"name": "none"}}),
    "it sets replicas, which belong to HorizontalPodAutoscaler iris": lambda o: o["Deployment"]["spec"].update(
        replicas=1
    ),
    "neither it nor an autoscaler says how many": lambda o: o.pop("HorizontalPodAutoscaler"),
    "PodDisruptionBudget iris: its selector {'a': 'b'} matches no pods": lambda o: o["PodDisruptionBudget"][
        "spec"
    ].update(selector={"matchLabels": {"a": "b"}}),
    "its port leads to grpc": lambda o: o["Service"]["spec"]["ports"][0].update(targetPort="grpc"),
    "it scales the Deployment other": lambda o: o["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"].update(
        name="other"
    ),
    "at least 20 replicas are more than at most 10": lambda o: o["HorizontalPodAutoscaler"]["spec"].update(
        minReplicas=20
    ),
    "the Service iris has no port 8080": lambda o: o["HTTPRoute"]["spec"]["rules"][0]["backendRefs"][0].update(
        port=8080
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_named(message: str) -> None:
    objects = made()

    MISTAKES[message](objects)

    assert [one for one in problems(list(objects.values())) if message in one]


def test_two_autoscalers_and_an_object_that_is_there_twice_are_named() -> None:
    objects = made()
    second = objects["HorizontalPodAutoscaler"]

    assert problems([*objects.values(), second]) == [
        "HorizontalPodAutoscaler iris: is there twice",
        "Deployment iris: 2 autoscalers fight over it",
    ]


def test_quantities_are_numbers() -> None:
    assert [quantity(text) for text in ("1", "100m", "0.5", "1Ki", "2M", "", "1 Gi", "-1")] == [
        *map(quantity, ("1000m", "0.1", "500m", "1024", "2000k")),
        None,
        None,
        None,
    ]


def test_a_selector_and_a_secrets_type_cannot_change() -> None:
    live, wanted = made(), made()
    live["Deployment"]["spec"]["selector"] = {"matchLabels": {"app": "iris"}}
    live["Secret"]["type"] = "kubernetes.io/tls"

    assert refused_changes(live["Service"], wanted["Service"]) == []
    assert refused_changes(wanted["Secret"], wanted["Secret"]) == []
    assert refused_changes(live["Secret"], wanted["Secret"]) == [
        "Secret iris-keys: type cannot change, from kubernetes.io/tls to Opaque; delete the object first"
    ]
    assert refused_changes(live["Deployment"], wanted["Deployment"])[0].startswith(
        "Deployment iris: spec.selector cannot change, from {'matchLabels': {'app': 'iris'}}"
    )
