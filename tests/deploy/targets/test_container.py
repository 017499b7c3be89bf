"""The container of a service: the deployment config as settings of the server, secrets apart, devices by the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scoring_runtime.deploy.services.service import Secrets
from scoring_runtime.deploy.targets.container import Probe, container_of
from scoring_runtime.errors import TargetError
from tests.deploy.targets.services import KEYS, TLS, aci, aks


def test_the_deployment_config_becomes_the_servers_settings() -> None:
    service = aks(scoring_timeout_ms=5000, max_request_wait_time=200, replica_max_concurrent_requests=3)

    assert container_of(service).environ == {
        "SCORING_AUTH": "key",
        "SCORING_KEYS_DIR": "/var/scoring/keys",
        "SCORING_MAX_QUEUE_WAIT_MS": "200",
        "SCORING_PORT": "5001",
        "SCORING_TIMEOUT_MS": "5000",
        "SERVICE_NAME": "iris",
        "WORKER_COUNT": "3",
    }


def test_what_the_user_sets_wins() -> None:
    environ = {"SCORING_MAX_CONCURRENT_REQUESTS": "8", "SCORING_TIMEOUT_MS": "1"}

    made = container_of(aks(environ=environ, replica_max_concurrent_requests=8)).environ

    assert "WORKER_COUNT" not in made
    assert made["SCORING_TIMEOUT_MS"] == "1"


def test_secrets_are_apart_from_the_environment_and_from_repr() -> None:
    service = aks(environ={"AML_APP_INSIGHTS_KEY": "telemetry-key"}, enable_app_insights=True)

    container = container_of(service)

    assert container.keys == {"primaryKey": KEYS.primary_key, "secondaryKey": KEYS.secondary_key}
    assert container.secret_environ == {"AML_APP_INSIGHTS_KEY": "telemetry-key"}
    assert container.environ["AML_APP_INSIGHTS_ENABLED"] == "true"
    assert not [word for word in ("telemetry-key", "first-key") if word in f"{container}{container.environ}"]


def test_a_token_service_gets_the_key_that_signs() -> None:
    service = replace(aks(), auth="token", secrets=Secrets(token_key="sign"))

    assert container_of(service).keys == {"tokenKey": "sign"}


def test_the_container_has_the_certificate_unless_something_before_it_has() -> None:
    service = aci(secrets=TLS)

    inside, before = container_of(service), container_of(service, tls=False)

    assert (inside.environ["SCORING_TLS_CERT"], inside.environ["SCORING_TLS_KEY"]) == (
        "/var/scoring/tls/tls.crt",
        "/var/scoring/tls/tls.key",
    )
    assert sorted(inside.tls) == ["tls.crt", "tls.key"]
    assert before.tls == {}
    assert "SCORING_TLS_CERT" not in before.environ


def test_ports_drain_and_probes_are_what_the_server_will_use() -> None:
    environ = {"SEPERATE_HEALTH_ENDPOINT": "true", "SCORING_HEALTH_PORT": "6000", "SCORING_GRACEFUL_TIMEOUT": "90"}
    service = aks(environ=environ, period_seconds=5, initial_delay_seconds=20, failure_threshold=4)

    container = container_of(service)

    assert (container.port, container.probe_port, container.drain_seconds) == (5001, 6000, 90)
    assert container.probe == Probe(initial_delay=20, period=5, timeout=2, success_threshold=1, failure_threshold=4)
    assert container.probe.boot_seconds == 40


def test_another_key_is_another_hash() -> None:
    before, after = container_of(aks()), container_of(aks(secrets=replace(KEYS, primary_key="other")))

    assert before.config_hash != after.config_hash
    assert before.config_hash == container_of(aks()).config_hash


def test_a_setting_that_the_server_refuses_is_refused_here() -> None:
    with pytest.raises(TargetError, match="SCORING_PORT: expected a whole number from 1 to 65535, got 'http'"):
        container_of(aks(environ={"SCORING_PORT": "http"}))


def test_more_models_than_a_service_may_have_are_refused() -> None:
    with pytest.raises(TargetError, match="at most 1000 models in one service, got 1001"):
        container_of(replace(aks(), models=("m:1",) * 1001))


def test_gpus_are_cudas_and_an_fpga_is_one_device_that_is_required() -> None:
    gpu = container_of(aks(gpu_cores=2))
    fpga = container_of(aks(environ={"SCORING_ACCELERATOR": "fpga"}, num_replicas=1))

    assert (gpu.accelerator.name, gpu.devices) == ("cuda", 2)
    assert (fpga.accelerator.name, fpga.devices) == ("fpga", 1)
    assert fpga.environ["SCORING_ACCELERATOR_POLICY"] == "require"
    assert container_of(aks()).devices == 0


def test_an_fpga_service_has_one_model_and_no_autoscaler() -> None:
    fpga = {"SCORING_ACCELERATOR": "fpga"}

    with pytest.raises(TargetError, match="exactly one model in a service, got 2: a:1, b:1"):
        container_of(replace(aks(environ=fpga, num_replicas=1), models=("a:1", "b:1")))
    with pytest.raises(TargetError, match=r"Set autoscale_enabled .* to false and num_replicas to a number"):
        container_of(aks(environ=fpga))


def test_an_unknown_accelerator_or_option_is_named() -> None:
    with pytest.raises(TargetError, match=r"iris: SCORING_ACCELERATOR: expected one of .*, got 'tpu'"):
        container_of(aks(environ={"SCORING_ACCELERATOR": "tpu"}))
    with pytest.raises(TargetError, match="iris: SCORING_ACCELERATOR_OPTIONS"):
        container_of(aks(environ={"SCORING_ACCELERATOR": "cuda", "SCORING_ACCELERATOR_OPTIONS": "a=b"}))
