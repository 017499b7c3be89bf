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

from scoring_runtime.deploy import AksWebservice, Webservice, Workspace
from scoring_runtime.deploy.services.compute import AksCompute, ComputeTarget
from scoring_runtime.deploy.services.deploy_verbs import plan_of
from scoring_runtime.deploy.services.service import Secrets, Service
from scoring_runtime.deploy.services.update_arguments import wish_of
from scoring_runtime.deploy.targets.base import Status
from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster, Route, Scaling
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

    steps = applied(target, aks(num_replicas=2, secrets=Secrets()))
    assert [steps[0], steps[-1]] == ["deleting HorizontalPodAutoscaler iris", "deleting Secret iris-keys"]
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

    assert found["Deployment iris"][0] == "spec.replicas: 1 -> 3"
    assert found["Secret iris-keys"] == ["data.primaryKey"]
    assert found["HorizontalPodAutoscaler iris"] == ["deleted"]
    assert api.changes == before
    assert target.diff(replace(aks(), name="new"))["Deployment new"] == ["new"]


def test_a_dry_run_of_an_update_says_what_the_cluster_would_change(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    with running_cluster(tmp_path) as (api, path):
        ComputeTarget.attach(workspace, "prod", AksCompute.attach_configuration(kubeconfig=path))
        config = AksWebservice.deploy_configuration(compute_target_name="prod", num_replicas=1)
        api.rolls_out = True
        service = Webservice.deploy_from_image(workspace, "iris", "registry.example/iris:7", config)
        service.wait_for_deployment(timeout_sec=20)
        before = api.changes
        wanted = {"num_replicas": 3, "primary_key": "a-key-that-nobody-knows"}
        _, wish = wish_of(workspace, service.service, (), wanted, False)
        _, plan = plan_of(workspace, "iris", wish)
    _, later = plan_of(workspace, "iris", wish)

    said = [step for step in plan.steps if step.startswith("Change ")]
    assert "Change Secret iris-keys: data.primaryKey." in said
    assert [step for step in said if step.startswith("Change Deployment") and "spec.replicas: 1 -> 3" in step]
    assert (api.changes, "nobody-knows" in str(plan)) == (before, False)
    assert later.steps[-1].startswith("What would change there cannot be asked: The cluster at http://127.0.0.1:")


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


def replicas_of(api: Api) -> int:
    return int((api.get("Deployment", "iris") or {})["spec"]["replicas"])


def test_an_autoscaler_takes_over_the_replicas_that_are_there_and_gives_them_back(
    api: Api, target: KubernetesTarget
) -> None:
    applied(target, aks(num_replicas=3))

    assert "spec.replicas" not in str(target.diff(aks()).get("Deployment iris"))
    applied(target, aks())
    assert replicas_of(api) == 3

    api.scale("iris", 7)
    applied(target, aks(environ={"A": "b"}))
    assert replicas_of(api) == 7

    assert "spec.replicas: 7 -> 2" in target.diff(aks(num_replicas=2))["Deployment iris"]
    steps = applied(target, aks(num_replicas=2))
    assert replicas_of(api) == 2
    assert steps[0] == "deleting HorizontalPodAutoscaler iris"


def test_replicas_that_somebody_else_has_set_stay_his(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks(num_replicas=3))
    api.scale("iris", 5, "kubectl")

    with pytest.raises(TargetError, match='conflict with "kubectl"'):
        applied(target, aks(num_replicas=3))
    applied(target, aks())

    assert replicas_of(api) == 5


def test_another_scaler_comes_when_the_one_before_is_gone(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    keda = KubernetesTarget(replace(target.cluster, scaling=Scaling("keda")))

    steps = applied(keda, aks())
    keda.api.close()

    assert steps[0] == "deleting HorizontalPodAutoscaler iris"
    assert "creating ScaledObject iris" in steps


@pytest.mark.parametrize("name", ["iris", "default"])
def test_an_object_of_others_with_the_services_name_is_not_taken(api: Api, target: KubernetesTarget, name: str) -> None:
    api.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    service = replace(aks(), name=name)

    with pytest.raises(TargetError, match=f"has another ServiceAccount {name}, which is not this service's"):
        applied(target, service)
    assert api.names == [f"ServiceAccount {name}"]

    forced = KubernetesTarget(replace(target.cluster, force=True))
    applied(forced, service)
    forced.api.close()
    assert f"Deployment {name}" in api.names


def test_what_a_controller_made_under_the_services_name_is_said(api: Api, target: KubernetesTarget) -> None:
    owner = {"kind": "Route", "name": "iris", "controller": True}
    api.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "iris", "ownerReferences": [owner]}})

    with pytest.raises(TargetError, match="Service iris in the namespace ml belongs to the Route iris"):
        applied(target, aks())


def test_a_quota_is_not_taken_for_a_missing_right(api: Api, target: KubernetesTarget) -> None:
    api.full.add("services")

    with pytest.raises(TargetError, match=r"(?s)OutOfQuota: .*exceeded quota.*kubectl describe quota --namespace ml"):
        applied(target, aks())


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


def test_a_cluster_that_is_busy_is_asked_again(api: Api, target: KubernetesTarget) -> None:
    api.busy = [429, 503, 500]
    applied(target, aks())
    assert (api.busy, api.names) == ([], ALL)

    api.busy = [503] * 9
    with pytest.raises(TargetError, match=r"could not read .*: the server is currently unable"):
        target.status(aks())
    assert len(api.busy) == 4


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


def test_a_rollout_with_pods_of_the_revision_before_is_not_over(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks(num_replicas=2))
    rolled_out(api, 2)
    (api.get("Deployment", "iris") or {})["status"]["replicas"] = 3

    assert target.status(aks()).state == "Transitioning"


@pytest.mark.parametrize(
    ("message", "state", "error"),
    [
        ('pods "iris-1" is forbidden: exceeded quota: team, requested: pods=1', "Unschedulable", "OutOfQuota: "),
        ('pods "iris-1" is forbidden: violates PodSecurity "restricted:latest"', "Failed", "FailedCreate: "),
    ],
)
def test_pods_that_the_cluster_does_not_let_be_made_are_told(
    api: Api, target: KubernetesTarget, message: str, state: str, error: str
) -> None:
    applied(target, aks())
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    deployment = api.get("Deployment", "iris") or {}
    deployment["status"] = {"conditions": [refused, {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}

    found = target.status(aks())

    assert (found.state, found.error) == (state, error + message)


def test_pods_that_a_cluster_has_changed_are_known_and_those_that_leave_are_not_counted(
    api: Api, target: KubernetesTarget
) -> None:
    applied(target, aks())
    pod(api, "iris-1", waiting("CrashLoopBackOff", restartCount=9))
    changed = api.get("Pod", "iris-1") or {}
    ours = changed["spec"]["containers"][0]
    changed["spec"] = {"containers": [{"name": "proxy", "image": "p"}, {**ours, "image": "mirror.example/iris:7"}]}
    assert target.status(aks()).state == "Failed"

    changed["metadata"]["deletionTimestamp"] = "2026-11-21T15:00:00Z"
    assert target.status(aks()).state == "Transitioning"


def test_logs_of_the_others_are_shown_where_one_replica_cannot_be_reached(api: Api, target: KubernetesTarget) -> None:
    applied(target, aks())
    for name in ("iris-1", "iris-2"):
        pod(api, name, {})
    api.logs["iris-1", False] = "a\n"
    api.unreachable.add("iris-2")

    first, second = target.logs(aks(), 5).splitlines()

    assert first == "iris-1 a"
    assert second.startswith("iris-2 (no log: The cluster at ")


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


def without_managers(api: Api) -> dict[Any, dict[str, Any]]:
    for document in api.objects.values():
        document["metadata"].pop("managedFields")
    return dict(api.objects)


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
    by_kubectl = without_managers(api)
    api.objects.clear()
    api.managers.clear()
    applied(target, service)
    assert without_managers(api) == by_kubectl
    assert yaml.safe_load(files.read_text().partition("---")[0])["kind"] == "ConfigMap"


def test_a_cluster_is_made_of_plain_settings() -> None:
    settings = {"context": "prod", "route": {"kind": "gateway", "gateway": "infra/public"}, "callers": [{"a": "b"}]}

    assert cluster_of(settings) == Cluster(
        context="prod", route=Route("gateway", gateway="infra/public"), callers=({"a": "b"},)
    )
    with pytest.raises(TargetError, match=r"route\.hosts: no setting of this host has this name; there are: kind"):
        cluster_of({"route": {"hosts": "x"}})
