"""Versions of an endpoint: each a service of its own, behind one route that splits the requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy import AksEndpoint, Webservice, Workspace
from scoring_runtime.deploy.services.compute import AksCompute, ComputeTarget
from scoring_runtime.deploy.services.endpoint_versions import with_version
from scoring_runtime.deploy.services.service import Version
from scoring_runtime.deploy.targets.kubernetes.labels import selector
from scoring_runtime.errors import ConfigError, ServiceExists, ServiceFailed, TargetError
from tests.deploy.targets.cluster import Cluster as Api
from tests.deploy.targets.cluster import running_cluster

IMAGE = "registry.example/iris"
SELECTED = {"selector": {"matchLabels": selector("iris-v2")}}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_cluster(tmp_path) as (cluster, _):
        cluster.rolls_out = True
        yield cluster


def deployed(tmp_path: Path, **settings: Any) -> AksEndpoint:
    """iris with the version v1."""
    workspace = Workspace(str(tmp_path / "workspace"))
    given = {"route": {"kind": "gateway", "gateway": "infra/public", "host": "score.example"}, **settings}
    cluster = AksCompute.attach_configuration(kubeconfig=str(tmp_path / "kubeconfig"), **given)
    ComputeTarget.attach(workspace, "prod", cluster)
    config = AksEndpoint.deploy_configuration(version_name="v1", compute_target_name="prod", num_replicas=1)
    endpoint = Webservice.deploy_from_image(workspace, "iris", f"{IMAGE}:1", config)
    endpoint.wait_for_deployment(timeout_sec=20)
    assert isinstance(endpoint, AksEndpoint)
    return endpoint


@pytest.fixture
def endpoint(api: Api, tmp_path: Path) -> AksEndpoint:
    return deployed(tmp_path)


def weights(api: Api) -> dict[str, int]:
    route = api.get("HTTPRoute", "iris") or {}
    return {one["name"]: one["weight"] for one in route["spec"]["rules"][0]["backendRefs"]}


def shares(endpoint: AksEndpoint) -> dict[str, Version]:
    return {name: version.version for name, version in endpoint.versions.items() if isinstance(version, AksEndpoint)}


def test_versions_are_made_shifted_and_deleted(api: Api, endpoint: AksEndpoint) -> None:
    assert (endpoint.version_name, shares(endpoint)) == ("v1", {"v1": Version("iris", 0, is_default=True)})

    endpoint.create_version(
        "v2", image=f"{IMAGE}:2", traffic_percentile=25, is_control_version_type=True, num_replicas=2
    )
    assert weights(api) == {"iris": 75, "iris-v2": 25}
    container = (api.get("Deployment", "iris-v2") or {})["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"{IMAGE}:2"
    assert (api.get("Deployment", "iris-v2") or {})["spec"]["replicas"] == 2
    assert (api.get("ConfigMap", "iris-v2-environment") or {})["data"]["SERVICE_NAME"] == "iris"
    assert api.get("HTTPRoute", "iris-v2") is None
    assert endpoint.versions["v2"].scoring_uri == "http://iris-v2.ml.svc/score"
    assert endpoint.scoring_uri == "https://score.example/api/v1/service/iris/score"

    endpoint.update_version("v2", is_default=True)
    assert shares(endpoint) == {
        "v1": Version("iris", 0),
        "v2": Version("iris-v2", 25, is_default=True, is_control=True),
    }
    assert weights(api) == {"iris": 0, "iris-v2": 100}

    endpoint.update_version("v1", is_default=True, is_control_version_type=True)
    endpoint.delete_version("v2")
    assert weights(api) == {"iris": 100}
    assert shares(endpoint) == {"v1": Version("iris", 0, is_default=True, is_control=True)}
    assert api.get("Deployment", "iris-v2") is None


def test_an_update_and_a_rollback_of_the_endpoint_leave_the_shares(api: Api, endpoint: AksEndpoint) -> None:
    endpoint.create_version("v2")
    version = endpoint.versions["v2"]
    assert isinstance(version, AksEndpoint)
    version.update_traffic(10)

    endpoint.update_version("v1", image=f"{IMAGE}:3")
    assert (endpoint.image_id, version.image_id, weights(api)) == (
        f"{IMAGE}:3",
        f"{IMAGE}:1",
        {"iris": 90, "iris-v2": 10},
    )

    endpoint.rollback()
    endpoint.wait_for_deployment(timeout_sec=20)
    assert (endpoint.image_id, weights(api)) == (f"{IMAGE}:1", {"iris": 90, "iris-v2": 10})


def test_a_version_that_fails_gets_no_requests_and_can_be_made_again(api: Api, endpoint: AksEndpoint) -> None:
    api.rolls_out = False
    late = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "late"}
    metadata = {"name": "iris-v2", "labels": dict(SELECTED["selector"]["matchLabels"])}
    api.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": SELECTED})
    (api.get("Deployment", "iris-v2") or {})["status"] = {"conditions": [late]}

    with pytest.raises(ServiceFailed, match="ProgressDeadlineExceeded: late"):
        endpoint.create_version("v2", traffic_percentile=50)
    assert weights(api) == {"iris": 100}
    assert list(endpoint.versions) == ["v1"]

    api.rolls_out = True
    endpoint.create_version("v2", traffic_percentile=50)
    assert weights(api) == {"iris": 50, "iris-v2": 50}


def test_all_versions_have_one_key(api: Api, endpoint: AksEndpoint) -> None:
    endpoint.create_version("v2")

    endpoint.versions["v2"].regen_key("Primary", "the-new-key-of-all-of-them-12345")

    assert endpoint.get_keys()[0] == endpoint.versions["v2"].get_keys()[0] == "the-new-key-of-all-of-them-12345"
    assert endpoint.get_keys()[1] == endpoint.versions["v2"].get_keys()[1]


def test_an_endpoint_is_deleted_with_its_versions_and_a_version_only_from_it(api: Api, endpoint: AksEndpoint) -> None:
    endpoint.create_version("v2")
    with pytest.raises(ConfigError, match=r'not a version of iris, .*delete_version\("v2"\)'):
        endpoint.versions["v2"].delete()

    endpoint.delete()

    assert (api.names, Webservice.list(endpoint.workspace)) == ([], [])


def test_what_cannot_be_is_said_before_anything_is_made(api: Api, endpoint: AksEndpoint) -> None:
    endpoint.create_version("v2", traffic_percentile=60)
    before = api.changes
    with pytest.raises(ServiceExists, match="has a version 'v2' already"):
        endpoint.create_version("v2")
    with pytest.raises(ConfigError, match=r"at most 100 % in all \(v1 0 %, v2 60 %, v3 50 %\)"):
        endpoint.create_version("v3", traffic_percentile=50)
    with pytest.raises(ConfigError, match="a whole number from 0 to 100, got 101"):
        endpoint.update_version("v2", traffic_percentile=101)
    with pytest.raises(ConfigError, match="Make another version the default instead"):
        endpoint.update_version("v1", is_default=False)
    with pytest.raises(ConfigError, match="a version of iris: v1, v2, got 'v9'"):
        endpoint.update_version("v9", is_default=True)
    with pytest.raises(ConfigError, match="a version of iris: v1, v2, got 'v9'"):
        endpoint.delete_version("v9")
    with pytest.raises(ConfigError, match="Make another one the default first"):
        endpoint.delete_version("v1")
    assert api.changes == before

    endpoint.update_version("v2", is_default=True)
    with pytest.raises(ConfigError, match="not the version that the endpoint was deployed with"):
        endpoint.delete_version("v1")


def test_an_endpoint_has_at_most_six_versions() -> None:
    table = {f"v{number}": Version(f"iris-v{number}") for number in range(6)}

    assert with_version(table, "v5", "", 10)["v5"] == Version("iris-v5", 10)
    with pytest.raises(ConfigError, match="at most 6 versions in an endpoint, got 'v6'"):
        with_version(table, "v6", "iris-v6")


def test_a_name_that_another_service_has_is_refused(api: Api, endpoint: AksEndpoint) -> None:
    config = AksEndpoint.deploy_configuration(compute_target_name="prod")
    Webservice.deploy_from_image(endpoint.workspace, "iris-v2", f"{IMAGE}:1", config)

    with pytest.raises(ServiceExists, match="There is a service 'iris-v2' already"):
        endpoint.create_version("v2")


def test_without_a_route_nothing_can_split(api: Api, tmp_path: Path) -> None:
    endpoint = deployed(tmp_path, route={})

    with pytest.raises(TargetError, match="a route that splits requests"):
        endpoint.create_version("v2", traffic_percentile=10)
    assert api.get("Deployment", "iris-v2") is None
