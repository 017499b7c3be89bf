"""v2 deployment and endpoint YAML: every key, default and rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scoring_runtime.deploy import Workspace
from scoring_runtime.deploy.services.deployment_config import AksDeployment, LocalDeployment
from scoring_runtime.deploy.services.v2 import V2Deployment, deployment_from_yaml
from scoring_runtime.deploy.services.v2_keys import quantity
from scoring_runtime.errors import ConfigError

LEAST = {"name": "blue", "endpoint_name": "shop"}
CODE = {"code_configuration": {"code": "src", "scoring_script": "score.py"}}


def read(folder: Path, document: Any, endpoint: Any = None, said: list[str] | None = None) -> V2Deployment:
    (folder / "blue.yml").write_text(yaml.safe_dump(document))
    if endpoint is not None:
        (folder / "shop.yml").write_text(yaml.safe_dump(endpoint))
    heard: list[str] = [] if said is None else said
    end = str(folder / "shop.yml") if endpoint is not None else None
    found = deployment_from_yaml(Workspace(str(folder / "ws")), str(folder / "blue.yml"), end, heard.append)
    assert said is not None or heard == []
    return found


def test_managed_deployment_is_one_of_this_machine(tmp_path: Path) -> None:
    found = read(tmp_path, {**LEAST, **CODE, "model": {"path": "./model"}, "tags": {"a": "b"}})

    assert found.name == "shop-blue"
    assert found.models == (f"{tmp_path}/./model",)
    assert found.deployment == LocalDeployment(tags={"a": "b"})
    assert found.environ == {"SCORING_TIMEOUT_MS": "5000"}
    assert found.inference_config is not None
    assert (found.inference_config.entry_script, found.inference_config.source_directory) == (
        "score.py",
        str(tmp_path / "src"),
    )


def test_request_settings_and_variables_are_the_server_s(tmp_path: Path) -> None:
    settings = {"request_timeout_ms": 90, "max_concurrent_requests_per_instance": 3, "max_queue_wait_ms": 7}
    variables = {"A": 1, "B": True, "WORKER_COUNT": "2"}

    found = read(
        tmp_path,
        {**LEAST, "request_settings": settings, "environment_variables": variables, "app_insights_enabled": True},
    )

    assert found.environ == {
        "SCORING_TIMEOUT_MS": "90",
        "WORKER_COUNT": "2",
        "SCORING_MAX_QUEUE_WAIT_MS": "7",
        "AML_APP_INSIGHTS_ENABLED": "true",
        "A": "1",
        "B": "true",
    }
    assert found.inference_config is None


def test_kubernetes_deployment_with_everything(tmp_path: Path) -> None:
    document = {
        **LEAST,
        "type": "kubernetes",
        "description": "words",
        "request_settings": {"request_timeout_ms": 90, "max_concurrent_requests_per_instance": 3},
        "liveness_probe": {"period": 1, "initial_delay": 2, "timeout": 3, "success_threshold": 1},
        "scale_settings": {
            "type": "target_utilization",
            "min_instances": 2,
            "max_instances": 5,
            "target_utilization_percentage": 60,
            "polling_interval": 2,
        },
        "resources": {
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"},
        },
    }
    endpoint = {"name": "shop", "auth_mode": "aml_token", "compute": "azureml:cluster"}

    assert read(tmp_path, document, endpoint).deployment == AksDeployment(
        auth_enabled=False,
        token_auth_enabled=True,
        description="words",
        scoring_timeout_ms=90,
        replica_max_concurrent_requests=3,
        max_request_wait_time=500,
        period_seconds=1,
        initial_delay_seconds=2,
        timeout_seconds=3,
        success_threshold=1,
        failure_threshold=30,
        autoscale_enabled=True,
        autoscale_min_replicas=2,
        autoscale_max_replicas=5,
        autoscale_target_utilization=60,
        autoscale_refresh_seconds=2,
        cpu_cores=0.5,
        memory_gb=1,
        cpu_cores_limit=1,
        memory_gb_limit=2,
        gpu_cores=1,
        compute_target_name="cluster",
    )


def test_kubernetes_deployment_with_nothing(tmp_path: Path) -> None:
    deployment = read(tmp_path, {**LEAST, "type": "kubernetes", "instance_count": 3}).deployment

    assert isinstance(deployment, AksDeployment)
    assert (deployment.num_replicas, deployment.auth_enabled, deployment.scoring_timeout_ms) == (3, True, 5000)
    assert (deployment.initial_delay_seconds, deployment.failure_threshold) == (10, 30)


@pytest.mark.parametrize(
    ("model", "expected"),
    [("azureml:iris:3", ("iris:3",)), ("azureml:iris@latest", ("iris",)), ("azureml:iris", ("iris",)), (None, ())],
)
def test_registered_models(tmp_path: Path, model: Any, expected: tuple[str, ...]) -> None:
    assert read(tmp_path, {**LEAST, "model": model}).models == expected


def test_environment_inline_from_file_and_registered(tmp_path: Path) -> None:
    conda = {"dependencies": ["python=3.11", {"pip": ["numpy"]}]}
    (tmp_path / "conda.yml").write_text(yaml.safe_dump(conda))
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "Dockerfile").write_text("FROM base\n")

    inline = read(tmp_path, {**LEAST, **CODE, "environment": {"name": "e", "image": "base:1", "conda_file": conda}})
    in_file = read(tmp_path, {**LEAST, **CODE, "environment": {"conda_file": "conda.yml"}})
    built = read(tmp_path, {**LEAST, **CODE, "environment": {"build": {"path": "docker"}}})

    assert inline.inference_config
    assert inline.inference_config.environment
    assert inline.inference_config.environment.docker.base_image == "base:1"
    for one in (inline, in_file):
        assert one.inference_config
        assert list(one.inference_config.resolved_environment().python.resolved_dependencies().pip_packages) == [
            "numpy"
        ]
    assert built.inference_config
    assert built.inference_config.environment
    assert built.inference_config.environment.docker.base_dockerfile == "FROM base\n"


def test_first_documentation_spelled_code_otherwise(tmp_path: Path) -> None:
    code = {"code": {"local_path": "./src"}, "scoring_script": "score.py"}

    found = read(tmp_path, {**LEAST, "code_configuration": code}).inference_config

    assert found is not None
    assert found.source_directory == str(tmp_path / "src")


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"name": "b"}, "name: expected 3 to 32 letters, digits and -, a letter first, got 'b'"),
    ({"name": None}, "name: expected a name, got nothing. Add it: name: demo"),
    ({"type": "managd"}, "type: expected one of managed, kubernetes, got 'managd'"),
    ({"instance_count": 0}, "instance_count: expected a whole number from 1, got 0"),
    ({"model": "iris"}, "model: expected a registered model, or an object with a path, got 'iris'"),
    ({"model": {"name": "x"}}, "model.path: expected the path of a file or folder, got nothing"),
    ({"code_configuration": {"code": "src"}}, "code_configuration: expected code: a folder, and scoring_script"),
    ({**CODE, "environment": "iris"}, "environment: expected azureml:NAME:VERSION, or an object, got 'iris'"),
    (
        {"request_settings": {"request_timeout_ms": "5s"}},
        "request_settings.request_timeout_ms: expected a whole number",
    ),
    ({"liveness_probe": {"period": 0}}, "liveness_probe.period: expected a whole number from 1, got 0"),
    ({"resources": {"requests": {"cpu": "a lot"}}}, "resources.requests.cpu: expected a quantity such as"),
    ({"environment_variables": {"A": []}}, "environment_variables: expected an object of texts and numbers"),
    (
        {
            "type": "kubernetes",
            "scale_settings": {"type": "target_utilization", "min_instances": 3, "max_instances": 2},
        },
        "scale_settings.min_instances: expected at most max_instances, which is 2, got 3",
    ),
    (
        {"type": "kubernetes", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
        "resources.limits.cpu: expected at least cpu_cores, which is 2",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN, ids=[message.split(":")[0] for _, message in BROKEN])
def test_mistake_is_named_with_file_key_and_rule(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, {**LEAST, **changes})

    assert f"{tmp_path}/blue.yml: {message}" in str(raised.value)


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ({"name": "other"}, "blue.yml: endpoint_name: expected other, the name in "),
        ({"name": "shop", "traffic": {"a": 60, "b": 50}}, "shop.yml: traffic: expected shares of at most 100 together"),
        ({"name": "shop", "traffic": {"a": 101}}, "shop.yml: traffic: expected whole numbers from 0 to 100"),
        ({"name": "shop", "auth_mode": "none"}, "shop.yml: auth_mode: expected one of key, aml_token, aad_token"),
    ],
)
def test_mistake_in_the_endpoint_is_named(tmp_path: Path, endpoint: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, LEAST, endpoint)


def test_keys_without_effect_are_said(tmp_path: Path) -> None:
    said: list[str] = []

    read(
        tmp_path,
        {**LEAST, "instance_type": "x", "instance_cuont": 1, "data_collector": {"collections": {}}},
        None,
        said,
    )

    assert said == [
        f"{tmp_path}/blue.yml: without effect here: data_collector, instance_type.",
        f"{tmp_path}/blue.yml: instance_cuont is no key that is known here, and has no effect. "
        "Did you mean 'instance_count'?",
    ]


@pytest.mark.parametrize(
    ("document", "endpoint", "idle"),
    [
        ({"instance_count": 1, "scale_settings": {"type": "default"}}, {}, []),
        (
            {"instance_count": 3, "scale_settings": {"type": "target_utilization"}, "liveness_probe": {"period": 5}},
            {"traffic": {"blue": 100}, "compute": "azureml:x"},
            ["liveness_probe, scale_settings, instance_count.", "traffic, compute."],
        ),
        ({"type": "kubernetes", "instance_count": 3, "readiness_probe": {"period": 5}}, {}, ["readiness_probe."]),
        (
            {"model": {"path": "m", "type": "custom_model", "version": 3}, "environment": {"inference_config": {}}},
            {},
            ["model.version, environment.inference_config."],
        ),
    ],
    ids=["one", "managed", "kubernetes", "inline"],
)
def test_keys_that_change_nothing_on_this_host_are_said(
    tmp_path: Path, document: Any, endpoint: Any, idle: list[str]
) -> None:
    said: list[str] = []

    read(tmp_path, {**LEAST, **document}, {"name": "shop", **endpoint}, said)

    kind = document.get("type", "managed")
    assert said == [
        f"{tmp_path}/{file}: without effect on a {kind} deployment here: {keys}"
        for file, keys in zip(("blue.yml", "shop.yml"), idle, strict=False)
    ]


def test_file_that_is_missing_or_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a mapping of keys"):
        read(tmp_path, ["a"])
    with pytest.raises(ConfigError, match="expected a YAML file, got 'No such file"):
        deployment_from_yaml(Workspace(str(tmp_path)), str(tmp_path / "none.yml"))


@pytest.mark.parametrize(("text", "number"), [("500m", 0.5), ("1Gi", 2.0**30), (2, 2.0), ("1.5", 1.5), ("1k", 1000.0)])
def test_quantities(text: Any, number: float) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["", "x", "-1", "1 Gi", True])
def test_no_quantities(text: Any) -> None:
    with pytest.raises(ValueError):
        quantity(text)
