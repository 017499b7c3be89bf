"""The objects of a service: valid for the oldest and newest clusters, whole, secure, and the same each time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scoring_runtime.deploy.services.service import Secrets, Service, Version
from scoring_runtime.deploy.targets.kubernetes.checks import problems
from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster, Placement, Route, Scaling, Share
from scoring_runtime.deploy.targets.kubernetes.config import hidden
from scoring_runtime.deploy.targets.kubernetes.documents import documents, file_name, kubernetes_yaml
from scoring_runtime.deploy.targets.kubernetes.network import shares_of
from scoring_runtime.deploy.targets.kubernetes.scaling import METRIC
from scoring_runtime.errors import TargetError
from tests.deploy.targets.services import KEYS, TLS, aks, assert_golden
from tests.serving import ROOT
from tests.snippets import blocks

PRIVATE = replace(KEYS, registries={"registry.example": ("puller", "secret")})
NGINX = Cluster(namespace="ml", route=Route("ingress", host="score.example"))
GATEWAY = Cluster(namespace="ml", route=Route("gateway", host="score.example", gateway="infra/public"))
OWN_GATEWAY = Cluster(route=Route("gateway", gateway_class="cilium"))
FPGA = {"SCORING_ACCELERATOR": "fpga"}
ON_FPGAS = Cluster(placement=Placement(node_selector={"pool": "fpga"}, priority_class="high", spare_device=False))
CALLERS = Cluster(callers=({"kubernetes.io/metadata.name": "web"},), annotations={"owner": "us"})
HEALTH = {"SEPERATE_HEALTH_ENDPOINT": "true", "AML_APP_INSIGHTS_KEY": "telemetry-key"}

CASES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "service": lambda: documents(aks(cpu_cores_limit=1, memory_gb_limit=1, secrets=PRIVATE), Cluster(namespace="ml")),
    "fixed": lambda: documents(aks(num_replicas=2, secrets=Secrets()), Cluster(service_type="LoadBalancer")),
    "tls": lambda: documents(aks(secrets=replace(TLS, primary_key="k"), num_replicas=1), CALLERS),
    "health": lambda: documents(aks(environ=HEALTH, namespace="other"), Cluster()),
    "cpu": lambda: documents(aks(autoscale_enabled=True, autoscale_max_replicas=3), Cluster(scaling=Scaling("cpu"))),
    "keda": lambda: documents(aks(), Cluster(namespace="ml", scaling=Scaling("keda"))),
    "ingress": lambda: documents(aks(secrets=TLS), NGINX, (Share("iris", 90), Share("iris-next", 10))),
    "gateway": lambda: documents(aks(), GATEWAY, (Share("iris", 75), Share("iris-next", 25))),
    "own-gateway": lambda: documents(aks(secrets=TLS), OWN_GATEWAY),
    "gpu": lambda: documents(aks(gpu_cores=1), Cluster()),
    "fpga": lambda: documents(aks(environ=FPGA, num_replicas=1), ON_FPGAS),
    "knative": lambda: documents(aks(replica_max_concurrent_requests=4), Cluster(workload="knative")),
    "kserve": lambda: documents(aks(secrets=PRIVATE, num_replicas=2), Cluster(workload="kserve")),
}
# What each golden document shows beyond the whole service; each is read in review.
SHOWN = {
    "service": (),
    "keda": ("ScaledObject",),
    "cpu": ("HorizontalPodAutoscaler",),
    "ingress": ("Ingress",),
    "gateway": ("HTTPRoute",),
    "own-gateway": ("Gateway",),
    "tls": ("Deployment", "NetworkPolicy"),
    "fpga": ("Deployment",),
    "knative": ("Service",),
    "kserve": ("InferenceService",),
}
CUSTOM = {"ScaledObject", "Gateway", "HTTPRoute", "InferenceService"}  # kinds that a cluster may have, with own schemas


def one(kind: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    (document,) = [document for document in found if document["kind"] == kind]
    return document


@pytest.mark.parametrize("version", ["1.27", "1.33", "1.37"])
@pytest.mark.parametrize("case", CASES)
def test_every_object_is_valid(case: str, version: str) -> None:
    official = [one for one in CASES[case]() if one["kind"] not in CUSTOM and "knative" not in one["apiVersion"]]

    for document in official:
        kubernetes_validate.validate(document, version, strict=True)

    assert official


@pytest.mark.parametrize("case", CASES)
def test_objects_fit_together(case: str) -> None:
    assert problems(CASES[case]()) == []


@pytest.mark.parametrize("case", SHOWN)
def test_objects_are_those_that_were_reviewed(case: str) -> None:
    kinds = SHOWN[case]

    shown = [document for document in CASES[case]() if not kinds or document["kind"] in kinds]

    assert_golden(f"kubernetes/{case}.yaml", kubernetes_yaml(shown))


def test_the_text_is_what_the_objects_are() -> None:
    made = CASES["service"]()

    assert list(yaml.safe_load_all(kubernetes_yaml(made))) == made
    assert kubernetes_yaml(made) == kubernetes_yaml(CASES["service"]())


def test_a_secret_is_shown_without_its_values() -> None:
    shown = kubernetes_yaml([hidden(document) for document in CASES["service"]()])

    assert "primaryKey: '***'" in shown
    assert "first-key" not in shown
    assert [file_name(document) for document in CASES["fixed"]()] == [
        "configmap-iris-environment.yaml",
        "serviceaccount-iris.yaml",
        "deployment-iris.yaml",
        "poddisruptionbudget-iris.yaml",
        "service-iris.yaml",
        "networkpolicy-iris.yaml",
    ]


def template(service: Service) -> dict[str, Any]:
    return dict(one("Deployment", documents(service, Cluster()))["spec"]["template"])


def test_pods_roll_for_another_configuration_not_for_another_revision() -> None:
    service = aks()

    assert template(replace(service, revision=9, tags={"team": "trees"})) == template(service)
    assert template(aks(environ={"A": "b"})) != template(service)
    assert template(aks(secrets=replace(KEYS, primary_key="new"))) != template(service)


def test_a_request_is_never_cut_off_by_what_stands_before_the_server() -> None:
    route = one("HTTPRoute", documents(aks(scoring_timeout_ms=9_000, max_request_wait_time=500), GATEWAY))
    long = one("HTTPRoute", documents(aks(scoring_timeout_ms=10**9), GATEWAY))
    unlimited = one("HTTPRoute", documents(aks(environ={"SCORING_TIMEOUT_MS": "0"}), GATEWAY))

    assert {rule["timeouts"]["request"] for rule in route["spec"]["rules"]} == {"11s"}
    for route in (long, unlimited):
        assert {rule["timeouts"]["request"] for rule in route["spec"]["rules"]} == {"0s"}


@pytest.mark.parametrize(
    ("service", "scheme", "port"),
    [
        (aks(secrets=Secrets()), "http", "5001"),
        (aks(secrets=KEYS), "http", "5000"),
        (aks(secrets=TLS, num_replicas=1), "http", "5000"),
        (aks(secrets=KEYS, environ={"SCORING_PORT": "5000"}), "http", "5001"),
        (aks(secrets=TLS, environ={"SEPERATE_HEALTH_ENDPOINT": "false"}), "https", "5001"),
    ],
)
def test_prometheus_and_the_kubelet_need_no_key_and_no_certificate(service: Service, scheme: str, port: str) -> None:
    pod = template(service)
    annotations, (container,) = pod["metadata"]["annotations"], pod["spec"]["containers"]
    named = {str(one["containerPort"]): one["name"] for one in container["ports"]}

    assert (annotations["prometheus.io/scheme"], annotations["prometheus.io/port"]) == (scheme, port)
    assert container["readinessProbe"]["httpGet"]["port"] == named[port]


def test_kserve_without_knative_scales_on_the_processor() -> None:
    made = documents(aks(), Cluster(workload="kserve", scaling=Scaling("cpu")))[-1]
    predictor = made["spec"]["predictor"]

    assert made["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"
    assert (predictor["scaleMetric"], predictor["scaleTarget"]) == ("cpu", 70)
    assert predictor["containers"][0]["readinessProbe"]["httpGet"]["port"] == 5001  # which a Deployment must have


def test_the_smallest_request_is_one() -> None:
    (container,) = template(aks(cpu_cores=0.0001, memory_gb=0.0001))["spec"]["containers"]

    assert container["resources"] == {"requests": {"cpu": "1m", "memory": "1Mi"}}


@pytest.mark.parametrize("environ", [{}, {"WORKER_COUNT": "2", "SCORING_MAX_CONCURRENT_REQUESTS": "8"}])
def test_a_serverless_replica_gets_as_many_requests_as_it_scores_at_a_time(environ: dict[str, str]) -> None:
    service = aks(replica_max_concurrent_requests=4, environ=environ)

    (knative,) = [one for one in documents(service, Cluster(workload="knative")) if "knative" in one["apiVersion"]]

    assert knative["spec"]["template"]["spec"]["containerConcurrency"] == (16 if environ else 4)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"scoring_timeout_ms": 5_000}, 30),
        ({}, 62),
        ({"scoring_timeout_ms": 10**9}, 600),
        ({"environ": {"SCORING_TIMEOUT_MS": "0"}}, 600),
        ({"environ": {"SCORING_GRACEFUL_TIMEOUT": "7"}}, 7),
    ],
)
def test_a_replica_that_leaves_finishes_what_it_has_accepted(fields: dict[str, Any], seconds: int) -> None:
    made = documents(aks(**fields), Cluster())

    assert one("ConfigMap", made)["data"]["SCORING_GRACEFUL_TIMEOUT"] == str(seconds)
    assert one("Deployment", made)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + seconds + 5


def test_traffic_that_nobody_was_given_goes_to_the_default_version() -> None:
    versions = {"a": Version("iris", 20, is_default=True), "b": Version("iris-b", 30), "c": Version("iris-c")}
    service = replace(aks(), versions=versions)

    assert shares_of(service) == (Share("iris", 70), Share("iris-b", 30), Share("iris-c", 0))
    assert one("HTTPRoute", documents(service, GATEWAY))["spec"]["rules"][0]["backendRefs"] == [
        {"name": "iris", "port": 80, "weight": 70},
        {"name": "iris-b", "port": 80, "weight": 30},
        {"name": "iris-c", "port": 80, "weight": 0},
    ]


@pytest.mark.parametrize("cluster", [Cluster(), Cluster(workload="knative", route=GATEWAY.route)])
def test_what_cannot_split_requests_is_told(cluster: Cluster) -> None:
    service = replace(aks(), versions={"a": Version("iris", is_default=True)})

    with pytest.raises(TargetError, match=r"need workload 'deployment' and a route that splits requests, got"):
        documents(service, cluster)


def test_an_ingress_splits_between_two_versions_only() -> None:
    with pytest.raises(TargetError, match=r"between two versions, got 3\. Use a Gateway"):
        documents(aks(), NGINX, (Share("a", 50), Share("b", 25), Share("c", 25)))


def test_a_serverless_container_has_no_certificate_and_one_port() -> None:
    with pytest.raises(TargetError, match="TLS in the container is not for knative"):
        documents(aks(secrets=TLS), Cluster(workload="knative"))
    with pytest.raises(TargetError, match="a health port of its own"):
        documents(aks(environ=HEALTH), Cluster(workload="kserve"))


@pytest.mark.parametrize("workload", ["knative", "kserve"])
def test_a_serverless_pod_is_where_it_should_be_and_reads_its_keys_without_a_group(workload: str) -> None:
    placement = Placement(node_selector={"pool": "a"}, tolerations=({"key": "a"},), priority_class="high")
    made = documents(aks(), Cluster(workload=workload, placement=placement))[-1]["spec"]
    spec = made["predictor"] if workload == "kserve" else made["template"]["spec"]

    assert (spec["nodeSelector"], spec["tolerations"], spec["priorityClassName"]) == (
        {"pool": "a"},
        [{"key": "a"}],
        "high",
    )
    assert [one["secret"]["defaultMode"] for one in spec["volumes"] if "secret" in one] == [0o444]
    context = spec["containers"][0]["securityContext"]
    assert (context["runAsUser"], context["runAsNonRoot"]) == (1000, True)


def test_the_load_of_a_service_is_not_that_of_another_whose_name_is_longer() -> None:
    (trigger,) = one("ScaledObject", CASES["keda"]())["spec"]["triggers"]
    names = re.search('pod=~"(.*)"', trigger["metadata"]["query"])
    assert names is not None

    assert re.fullmatch(names[1], "iris-6d4cf56db6-x7k2p")
    assert not re.fullmatch(names[1], "iris-v2-6d4cf56db6-x7k2p")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cluster(workload="pods"), "workload: expected one of deployment, knative, kserve, got 'pods'"),
        (lambda: Route("gateway"), "expected either gateway"),
        (lambda: Scaling("queue"), "scaling.by: expected one of"),
        (lambda: Scaling(down_after_seconds=4000), "scaling.down_after_seconds: expected 0 to 3600"),
    ],
)
def test_a_cluster_is_described_in_known_words(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        make()


def test_the_adapters_rule_in_the_docs_offers_the_metric_that_the_autoscaler_asks_for() -> None:
    (rule,) = [block for block in blocks(ROOT / "docs" / "hosts.md") if block.language == "yaml"]
    (custom,) = yaml.safe_load(rule.text)["rules"]["custom"]

    assert custom["name"]["as"] == METRIC
    assert re.fullmatch(custom["name"]["matches"], METRIC)
    assert custom["seriesQuery"].partition("{")[0] == METRIC
    asked = one("HorizontalPodAutoscaler", documents(aks(), Cluster()))["spec"]["metrics"][0]
    assert asked["pods"]["metric"] == {"name": METRIC}
    assert custom["resources"]["overrides"] == {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}
