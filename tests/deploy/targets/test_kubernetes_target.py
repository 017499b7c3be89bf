"""The client of a cluster, against an API over real HTTP that validates and keeps what it is given."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from scoring_runtime.deploy.services.service import Secrets, Service
from scoring_runtime.deploy.targets.base import Status
from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster, Route
from scoring_runtime.deploy.targets.kubernetes.documents import documents, kubernetes_yaml
from scoring_runtime.deploy.targets.kubernetes.settings import cluster_of
from scoring_runtime.deploy.targets.kubernetes.target import KubernetesTarget
from scoring_runtime.errors import TargetError
from tests.deploy.targets.cluster import Cluster as Api
from tests.deploy.targets.cluster import running_cluster
from tests.deploy.targets.services import KEYS, aks

ALL = [
    "ConfigMap iris-environment",
    "Deployment iris",
    "HorizontalPodAutoscaler iris",
    "NetworkPolicy iris",
    "PodDisruptionBudget iris",
    "Secret iris-keys",
    "Service iris",
    "ServiceAccount iris",
]
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_cluster(tmp_path) as (cluster, _):
        yield cluster


@pytest.fixture
def target(api: Api, tmp_path: Path) -> Iterator[KubernetesTarget]:
    one = KubernetesTarget(Cluster(kubeconfig=str(tmp_path / "kubeconfig")))
    yield one
    one.api.close()


def applied(target: KubernetesTarget, service: Service) -> list[str]:
    steps: list[str] = []
    target.apply(service, steps.append)
    return steps


def test_a_service_is_made_changed_and_deleted(api: Api, target: KubernetesTarget) -> None:
    assert applied(target, aks())[0] == "creating ConfigMap iris-environment"
    assert api.names == ALL

    assert applied(target, aks(num_replicas=2, secrets=Secrets()))[-2:] == [
        "deleting HorizontalPodAutoscaler iris",
        "deleting Secret iris-keys",
    ]
    assert api.names == [name for name in ALL if name.split()[0] not in ("HorizontalPodAutoscaler", "Secret")]

    target.delete(aks(), lambda step: None)
    assert api.names == []


def test_applying_again_changes_nothing(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    before = api.changes

    applied(target, aks())

    assert api.changes == before
    assert target.diff(aks()) == {}


def test_objects_of_others_stay(api: Api, target: KubernetesTarget) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "labels": {"app": "iris"}}}
    api.put(other)
    applied(target, aks())

    target.delete(aks(), lambda step: None)

    assert api.names == ["ConfigMap other"]


def test_a_diff_says_what_would_change_and_no_secret(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    before = api.changes

    found = target.diff(aks(num_replicas=3, secrets=replace(KEYS, primary_key="new-key-of-the-service")))

    assert found["Deployment iris"][0] == "spec.replicas: nothing -> 3"
    assert found["Secret iris-keys"] == ["data.primaryKey"]
    assert found["HorizontalPodAutoscaler iris"] == ["deleted"]
    assert api.changes == before
    assert target.diff(replace(aks(), name="new"))["Deployment new"] == ["new"]


def test_rolling_back_is_applying_the_revision_before(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    first = api.get("Deployment", "iris")
    assert first is not None
    applied(target, replace(aks(environ={"A": "b"}), revision=4, image="registry.example/iris:8"))

    applied(target, aks())

    second = api.get("Deployment", "iris")
    assert second is not None
    assert second["spec"] == first["spec"]
    assert "A" not in (api.get("ConfigMap", "iris-environment") or {})["data"]


def test_fields_of_another_manager_are_a_conflict_unless_taken(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks(num_replicas=2))
    key = next(key for key in api.objects if key[1] == "deployments")
    api.apply(key, {**api.objects[key], "spec": {**api.objects[key]["spec"], "replicas": 5}}, "kubectl", True, False)

    with pytest.raises(TargetError, match=r'conflict with "kubectl": /spec/replicas\. Another one manages these'):
        applied(target, aks(num_replicas=2))
    forced = KubernetesTarget(replace(target.cluster, force=True))
    applied(forced, aks(num_replicas=2))
    forced.api.close()

    assert (api.get("Deployment", "iris") or {})["spec"]["replicas"] == 2


def test_what_cannot_change_is_said_before_anything_is_applied(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    key = next(key for key in api.objects if key[1] == "deployments")
    api.objects[key]["spec"]["selector"]["matchLabels"] = {"app": "iris"}
    before = api.changes

    with pytest.raises(TargetError, match=r"would refuse this update: Deployment iris: spec\.selector cannot change"):
        applied(target, aks(environ={"A": "b"}))

    assert api.changes == before


def test_what_the_cluster_refuses_is_said_with_the_way_out(api: Api, target: KubernetesTarget) -> None:
    api.forbidden.add(("PATCH", "secrets"))
    with pytest.raises(TargetError, match=r"(?s)Secret iris-keys: secrets is forbidden.*kubectl auth can-i --list"):
        applied(target, aks())

    api.tokens.clear()
    with pytest.raises(TargetError, match=r"(?s)Unauthorized\. The login has expired or is wrong: log in again"):
        target.status(aks())


def test_a_namespace_that_is_not_there_is_named(target: KubernetesTarget) -> None:
    elsewhere = KubernetesTarget(target.cluster, "nowhere")

    with pytest.raises(TargetError, match=r"no namespace 'nowhere'\. Make it: kubectl create namespace nowhere"):
        applied(elsewhere, aks(namespace="nowhere"))
    elsewhere.api.close()


def test_who_sees_only_part_of_the_cluster_can_deploy(api: Api, target: KubernetesTarget) -> None:
    api.forbidden |= {("GET", "namespaces"), ("GET", "gateways")}
    api.missing |= {"keda.sh", "serving.knative.dev", "serving.kserve.io"}

    applied(target, aks())

    assert api.names == ALL


def test_a_kind_without_its_controller_is_named(api: Api, tmp_path: Path) -> None:
    api.missing.add("gateway.networking.k8s.io")
    route = Route("gateway", gateway="infra/public")
    target = KubernetesTarget(Cluster(kubeconfig=str(tmp_path / "kubeconfig"), route=route))

    with pytest.raises(TargetError, match="does not know this kind: its controller is not installed"):
        applied(target, aks())
    target.api.close()


def test_a_connection_that_breaks_is_said(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    api.cuts = 1

    with pytest.raises(TargetError, match=r"does not answer .* Try: kubectl cluster-info"):
        target.status(aks())
    assert target.status(aks()).state == "Transitioning"


def test_a_cluster_that_is_gone_is_said(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as (_, path):
        target = KubernetesTarget(Cluster(kubeconfig=path))
        target.status(aks())

    with pytest.raises(TargetError, match=r"The cluster at http://127\.0\.0\.1:\d+ does not answer"):
        target.status(aks())
    target.api.close()


@pytest.mark.parametrize("cluster", [Cluster(kubeconfig="/nowhere"), Cluster(context="nobody")])
def test_a_kubeconfig_that_cannot_be_used_is_named(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_cluster(tmp_path) as (_, path):
        monkeypatch.setenv("KUBECONFIG", path)

        with pytest.raises(TargetError, match=r"cannot be used: .* See: kubectl config get-contexts"):
            KubernetesTarget(cluster).status(aks())


def pod(api: Api, name: str, status: dict[str, Any]) -> None:
    """As a kubelet would report it, of the newest revision."""
    template = (api.get("Deployment", "iris") or {})["spec"]["template"]
    metadata = {**template["metadata"], "name": name}
    api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"], "status": status})


def rolled_out(api: Api, ready: int) -> None:
    deployment = api.get("Deployment", "iris") or {}
    counts = {"updatedReplicas": ready, "availableReplicas": ready, "readyReplicas": ready}
    deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"], **counts}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "inference-server", "ready": False, "state": state, **more}]}


def test_a_service_that_is_rolled_out_is_healthy(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks(num_replicas=2))
    assert target.status(aks()) == Status("Transitioning", None, "http://iris.ml.svc/score", 0)

    rolled_out(api, 2)

    assert target.status(aks()) == Status("Healthy", None, "http://iris.ml.svc/score", 2)


def test_the_scoring_uri_is_the_way_in(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    (api.get("Service", "iris") or {})["status"] = {"loadBalancer": {"ingress": [{"ip": "10.1.2.3"}]}}
    routed = KubernetesTarget(replace(target.cluster, route=Route("gateway", "score.example", gateway="infra/public")))

    assert target.scoring_uri(aks()) == "http://10.1.2.3/score"
    assert routed.scoring_uri(aks()) == "https://score.example/api/v1/service/iris/score"


def test_a_pod_that_no_node_takes_has_the_schedulers_words(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    pod(api, "iris-1", {"conditions": [scheduled]})

    assert target.status(aks()) == Status("Unschedulable", f"PodUnschedulable: {words}", "http://iris.ml.svc/score", 0)


def test_a_crash_loop_has_the_scripts_own_error(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    last = {"terminated": {"exitCode": 3, "reason": "Error"}}
    pod(api, "iris-1", waiting("CrashLoopBackOff", "back-off 40s", restartCount=4, lastState=last))
    api.logs["iris-1", True] = "starting\nTraceback (most recent call last):\n  x\nValueError: no such model\n"

    assert target.status(aks()) == Status(
        "Failed",
        "UserScriptInitFailed: exit code 3, 4 restarts. ValueError: no such model",
        "http://iris.ml.svc/score",
        0,
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (waiting("ImagePullBackOff", "not found"), ("Failed", "ImagePullLoopBackOff: not found")),
        (
            waiting("CreateContainerConfigError", 'secret "iris-keys" not found'),
            ("Failed", 'CreateContainerConfigError: secret "iris-keys" not found'),
        ),
        (
            waiting(
                "CrashLoopBackOff", restartCount=2, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
            ),
            (
                "Failed",
                "PodOutOfMemory: it was killed at its limit of memory. Raise memoryInGBLimit, or take a smaller model.",
            ),
        ),
        (
            waiting("CrashLoopBackOff", restartCount=2),
            ("Failed", "DeploymentCrashLoopBackOff: it ends again and again, 2 restarts."),
        ),
        (waiting("ContainerCreating"), ("Transitioning", None)),
    ],
)
def test_a_pods_trouble_is_named(
    api: Api, target: KubernetesTarget, status: dict[str, Any], expected: tuple[str, str]
) -> None:
    applied(target, aks())
    pod(api, "iris-1", status)

    found = target.status(aks())

    assert (found.state, found.error) == expected


def test_a_replica_that_came_back_after_a_kill_is_told(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    rolled_out(api, 1)
    pod(api, "iris-1", {"containerStatuses": [{"ready": True, "restartCount": 1, "lastState": KILLED}]})

    assert target.status(aks()).error == (
        "PodOutOfMemory: iris-1 was killed at its limit of memory, and started again."
    )


def test_trouble_of_the_revision_before_does_not_count(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    pod(api, "iris-old", waiting("CrashLoopBackOff", restartCount=9))

    applied(target, aks(environ={"A": "b"}))

    assert target.status(aks()).state == "Transitioning"


def test_a_rollout_that_takes_too_long_has_failed(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    progressing = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    deployment = api.get("Deployment", "iris") or {}
    deployment["status"] = {"conditions": [progressing]}
    assert target.status(aks()).error == "ProgressDeadlineExceeded: timed out"

    rolled_out(api, 0)
    deployment["status"]["conditions"] = [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}]
    assert target.status(aks()).state == "Unhealthy"
    target.delete(aks(), lambda step: None)
    assert target.status(aks()).error == "There is no Deployment of it in the cluster. Deploy it again."


def test_logs_are_those_of_all_replicas(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    pod(api, "iris-1", {})
    api.logs["iris-1", False] = "a\nb\nc\n"
    assert target.logs(aks(), 2) == "b\nc\n"

    pod(api, "iris-2", {})
    pod(api, "iris-3", {})  # has none yet
    api.logs["iris-2", False] = "d\n"

    assert target.logs(aks(), 2) == "iris-1 b\niris-1 c\niris-2 d\n"


def test_a_plan_is_files_for_kubectl_without_secrets() -> None:
    plan = KubernetesTarget(Cluster()).plan(aks())

    assert list(plan.documents)[:2] == ["configmap-iris-environment.yaml", "secret-iris-keys.yaml"]
    assert plan.steps[-1] == "Delete what earlier revisions had and this one has not."
    assert "***" in plan.documents["secret-iris-keys.yaml"]


def test_kubectl_makes_the_same_of_the_files(api: Api, target: KubernetesTarget, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    assert kubectl is not None, "kubectl is missing: https://kubernetes.io/docs/tasks/tools/"
    api.tokens.add("")  # kubectl sends no token without TLS
    files = tmp_path / "service.yaml"
    service = aks(namespace="ml")
    files.write_text(kubernetes_yaml(documents(service, target.cluster)))

    command = [kubectl, "--kubeconfig", str(tmp_path / "kubeconfig"), "apply", "--server-side", "--validate=false"]
    done = subprocess.run([*command, "-f", str(files)], capture_output=True, text=True, timeout=60, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    by_kubectl = dict(api.objects)
    api.objects.clear()
    api.managers.clear()
    applied(target, service)
    assert api.objects == by_kubectl
    assert yaml.safe_load(files.read_text().partition("---")[0])["kind"] == "ConfigMap"


def test_a_cluster_is_made_of_plain_settings() -> None:
    settings = {"context": "prod", "route": {"kind": "gateway", "gateway": "infra/public"}, "callers": [{"a": "b"}]}

    assert cluster_of(settings) == Cluster(
        context="prod", route=Route("gateway", gateway="infra/public"), callers=({"a": "b"},)
    )
    with pytest.raises(TargetError, match=r"route\.hosts: no setting of this host has this name; there are: kind"):
        cluster_of({"route": {"hosts": "x"}})
