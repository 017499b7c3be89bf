"""deploymentconfig.json and the SDK's arguments: every key, default, rule and dependency."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy.services.config_rules import rows_of
from scoring_runtime.deploy.services.deployment_config import (
    AciDeployment,
    AksDeployment,
    AksEndpointDeployment,
    IotDeployment,
    LocalDeployment,
)
from scoring_runtime.deploy.services.deployment_file import (
    COMPUTE_TYPES,
    from_document,
    from_file,
    from_record,
    record_of,
)
from scoring_runtime.errors import ConfigError

PEM = "-----BEGIN CERTIFICATE-----\n"
MODULE = {"moduleName": "filter", "imageLocation": "registry.example/filter:1"}


def silent(text: str) -> None:
    raise AssertionError(f"said: {text}")


def test_local_has_a_port_or_none() -> None:
    assert from_document({"computeType": "local", "port": 6789}, say=silent) == LocalDeployment(port=6789)
    assert from_document({"computeType": "LOCAL", "port": None}, say=silent) == LocalDeployment()


def test_aci_reads_every_key(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text(PEM)
    document = {
        "computeType": "aci",
        "containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 1},
        "location": "eastus",
        "authEnabled": True,
        "sslEnabled": True,
        "sslCertificate": str(tmp_path / "c.pem"),
        "sslKey": str(tmp_path / "c.pem"),
        "cname": "a.example",
        "appInsightsEnabled": True,
        "dnsNameLabel": "label",
        "keys": {"primaryKey": "one-key-of-sixteen", "secondaryKey": "two-key-of-sixteen"},
        "vaultBaseUrl": "https://v.example",
        "keyName": "k",
        "keyVersion": "1",
        "vnetName": "v",
        "subnetName": "s",
        "computeTargetName": "engine",
    }

    assert from_document(document, say=silent) == AciDeployment(
        cpu_cores=0.5,
        memory_gb=1,
        location="eastus",
        auth_enabled=True,
        ssl_enabled=True,
        ssl_cert_pem_file=str(tmp_path / "c.pem"),
        ssl_key_pem_file=str(tmp_path / "c.pem"),
        ssl_cname="a.example",
        enable_app_insights=True,
        dns_name_label="label",
        primary_key="one-key-of-sixteen",
        secondary_key="two-key-of-sixteen",
        cmk_vault_base_url="https://v.example",
        cmk_key_name="k",
        cmk_key_version="1",
        vnet_name="v",
        subnet_name="s",
        compute_target_name="engine",
    )


def test_aks_reads_every_group() -> None:
    document = {
        "computeType": "aks",
        "autoScaler": {
            "autoscaleEnabled": True,
            "minReplicas": 2,
            "maxReplicas": 3,
            "refreshPeriodInSeconds": 4,
            "targetUtilization": 50,
        },
        "dataCollection": {"storageEnabled": True},
        "containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 1.0, "cpuLimit": 1, "memoryInGBLimit": 2},
        "gpuCores": 1,
        "scoringTimeoutMs": 60,
        "maxConcurrentRequestsPerContainer": 2,
        "maxQueueWaitMs": 7,
        "authEnabled": False,
        "tokenAuthEnabled": True,
        "livenessProbeRequirements": {
            "periodSeconds": 1,
            "initialDelaySeconds": 2,
            "timeoutSeconds": 3,
            "successThreshold": 4,
            "failureThreshold": 5,
        },
        "namespace": "blue",
        "computeTargetName": "cluster",
    }

    assert from_document(document, say=silent) == AksDeployment(
        autoscale_enabled=True,
        autoscale_min_replicas=2,
        autoscale_max_replicas=3,
        autoscale_refresh_seconds=4,
        autoscale_target_utilization=50,
        collect_model_data=True,
        auth_enabled=False,
        token_auth_enabled=True,
        cpu_cores=0.5,
        memory_gb=1.0,
        cpu_cores_limit=1,
        memory_gb_limit=2,
        gpu_cores=1,
        scoring_timeout_ms=60,
        replica_max_concurrent_requests=2,
        max_request_wait_time=7,
        period_seconds=1,
        initial_delay_seconds=2,
        timeout_seconds=3,
        success_threshold=4,
        failure_threshold=5,
        namespace="blue",
        compute_target_name="cluster",
    )


def test_aksendpoint_adds_version_and_traffic() -> None:
    document = {"computeType": "aksendpoint", "versionName": "a", "trafficPercentile": 0, "numReplicas": 1}

    assert from_document(document, say=silent) == AksEndpointDeployment(
        version_name="a", traffic_percentile=0, num_replicas=1
    )


def test_iot_names_device_modules_and_routes() -> None:
    document = {
        "computeType": "iot",
        "deviceId": "edge",
        "routes": {"all": "FROM /* INTO $upstream"},
        "amlModule": {"moduleName": "score"},
        "externalModules": [MODULE],
        "acrCredentials": [{"location": "registry.example", "user": "me", "password": "secret"}],
    }

    config = from_document(document, say=silent)

    assert config == IotDeployment(
        device_id="edge",
        routes={"all": "FROM /* INTO $upstream"},
        aml_module={"moduleName": "score"},
        external_modules=[MODULE],
        acr_credentials=[{"location": "registry.example", "user": "me", "password": "secret"}],
    )
    assert "secret" not in repr(config)


def test_aks_is_scaled_and_keyed_unless_told_otherwise() -> None:
    scaled, fixed, tokens = AksDeployment(), AksDeployment(num_replicas=2), AksDeployment(token_auth_enabled=True)

    assert (scaled.autoscale_enabled, scaled.autoscale_min_replicas, scaled.autoscale_max_replicas) == (True, 1, 10)
    assert (scaled.autoscale_refresh_seconds, scaled.autoscale_target_utilization) == (1, 70)
    assert (fixed.autoscale_enabled, fixed.autoscale_min_replicas) == (False, None)
    assert (scaled.auth_enabled, tokens.auth_enabled) == (True, False)


def test_false_and_null_are_values_of_their_own() -> None:
    document = {"computeType": "aks", "keys": None, "autoScaler": None, "authEnabled": False, "gpuCores": 0}

    assert from_document(document, say=silent) == AksDeployment(auth_enabled=False, gpu_cores=0)
    assert AciDeployment(cpu_cores=None, tags=None) == AciDeployment()  # type: ignore[arg-type]


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({}, "f.json: computeType: expected one of local, aci, aks, aksendpoint, iot, got nothing. Add it."),
    (
        {"computeType": "akz"},
        "f.json: computeType: expected one of local, aci, aks, aksendpoint, iot, got 'akz'. Did you mean 'aks'?",
    ),
    ({"computeType": "local", "port": 0}, "f.json: port: expected a whole number from 1 to 65535, got 0."),
    ({"computeType": "local", "port": "80"}, "f.json: port: expected a whole number from 1 to 65535, got '80'."),
    ({"computeType": "local", "port": True}, "f.json: port: expected a whole number from 1 to 65535, got True."),
    (
        {"computeType": "aci", "containerResourceRequirements": {"cpu": 0}},
        "f.json: containerResourceRequirements.cpu: expected a number above 0, got 0.",
    ),
    (
        {"computeType": "aci", "containerResourceRequirements": 1},
        "f.json: containerResourceRequirements: expected an object, got 1.",
    ),
    (
        {"computeType": "aci", "authEnabled": "true"},
        "f.json: authEnabled: expected true or false, got 'true'.",
    ),
    (
        {"computeType": "aci", "keys": {"primaryKey": 5}},
        "f.json: keys.primaryKey: expected at least 16 visible ASCII characters, got '***'.",
    ),
    (
        {"computeType": "aci", "sslEnabled": True},
        "f.json: sslCertificate: expected a value, as ssl_enabled is true, got nothing. Give it.",
    ),
    (
        {"computeType": "aci", "sslCertificate": "/nowhere.pem"},
        "f.json: sslCertificate: expected a file that can be read, got '/nowhere.pem'. No such file or directory.",
    ),
    (
        {"computeType": "aci", "vnetName": "v"},
        "f.json: subnetName: expected a value, as vnet_name is given, got nothing. "
        "Give vnet_name, subnet_name, or none.",
    ),
    (
        {"computeType": "aci", "keyName": "v"},
        "f.json: vaultBaseUrl: expected a value, as cmk_key_name is given, got nothing. "
        "Give cmk_vault_base_url, cmk_key_name, cmk_key_version, or none.",
    ),
    (
        {"computeType": "aks", "autoScaler": {"minReplicas": 1}},
        "f.json: autoScaler.minReplicas: expected nothing, as autoscale_enabled is not true, got 1. "
        "Set autoscale_enabled (autoScaler.autoscaleEnabled) to true, or leave this out.",
    ),
    (
        {"computeType": "aks", "autoScaler": {"autoscaleEnabled": True, "minReplicas": 4, "maxReplicas": 3}},
        "f.json: autoScaler.minReplicas: expected at most autoscale_max_replicas, which is 3, got 4. "
        "Raise the maximum.",
    ),
    (
        {"computeType": "aks", "autoScaler": {"autoscaleEnabled": True}, "numReplicas": 3},
        "f.json: numReplicas: expected nothing, as autoscale_enabled is true, got 3. "
        "Leave it out, or set autoscale_enabled (autoScaler.autoscaleEnabled) to false.",
    ),
    (
        {"computeType": "aks", "autoScaler": {"autoscaleEnabled": False}},
        "f.json: numReplicas: expected a number, as autoscale_enabled is false, got nothing. Say how many replicas.",
    ),
    (
        {"computeType": "aks", "authEnabled": True, "tokenAuthEnabled": True},
        "f.json: tokenAuthEnabled: expected false, as auth_enabled is true, got True. "
        "Set auth_enabled (authEnabled) to false for tokens.",
    ),
    (
        {"computeType": "aks", "containerResourceRequirements": {"cpu": 1, "cpuLimit": 0.5}},
        "f.json: containerResourceRequirements.cpuLimit: expected at least cpu_cores, which is 1, got 0.5. Raise it.",
    ),
    (
        {"computeType": "aks", "livenessProbeRequirements": {"periodSeconds": 0}},
        "f.json: livenessProbeRequirements.periodSeconds: expected a whole number from 1, got 0.",
    ),
    (
        {"computeType": "aks", "namespace": "Blue"},
        "f.json: namespace: expected lower-case letters, digits and -, at most 63, got 'Blue'.",
    ),
    (
        {"computeType": "aksendpoint", "trafficPercentile": 101},
        "f.json: trafficPercentile: expected a whole number from 0 to 100, got 101.",
    ),
    ({"computeType": "iot"}, "f.json: deviceId: expected a text that is not empty, got ''."),
    (
        {"computeType": "iot", "deviceId": "d", "externalModules": [{"moduleName": "m"}]},
        "f.json: externalModules[0]: expected an object with moduleName and imageLocation, got {'moduleName': 'm'}.",
    ),
    (
        {"computeType": "iot", "deviceId": "d", "acrCredentials": [{"password": "secret"}]},
        "f.json: acrCredentials[0]: expected an object with location, user and password, got '***'.",
    ),
]


@pytest.mark.parametrize(("document", "message"), BROKEN, ids=[message.split()[1] for _, message in BROKEN])
def test_error_names_file_key_value_rule_and_fix(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        from_document(document, "f.json", silent)

    assert str(raised.value) == message


def test_certificate_that_is_not_pem_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(b"\x30\x82")

    with pytest.raises(ConfigError, match="expected a file in PEM format"):
        from_document({"computeType": "aci", "sslKey": str(tmp_path / "c.pem")})


def test_keys_without_effect_are_said_aloud() -> None:
    said: list[str] = []
    document = {
        "computeType": "aci",
        "tags": {},
        "numReplicas": 1,
        "containerResourceRequirements": {"cpus": 1},
        "livenessProbeRequirements": {"periodSeconds": 1},
        "dataCollection": {"eventHubEnabled": False},
        "zzz": 1,
    }

    config = from_document(document, "f.json", said.append)

    assert config == AciDeployment()
    assert said == [
        "f.json: tags has no effect here: give tags with --tag.",
        "f.json: numReplicas has no effect for aci; it is a key of aks, aksendpoint.",
        "f.json: containerResourceRequirements.cpus is not a key of aci, and has no effect. "
        "Did you mean 'containerResourceRequirements.cpu'?",
        "f.json: livenessProbeRequirements has no effect for aci; it is a key of aks, aksendpoint.",
        "f.json: dataCollection has no effect for aci; it is a key of aks, aksendpoint.",
        "f.json: zzz is not a key of aci, and has no effect.",
    ]


@pytest.mark.parametrize("text", ["{", "[1]", "null"])
def test_file_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "dc.json").write_text(text)

    with pytest.raises(ConfigError, match=r"dc\.json: expected a JSON"):
        from_file(str(tmp_path / "dc.json"))


def test_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.json: expected a file, got nothing"):
        from_file(str(tmp_path / "no.json"))


def test_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "dc.json").write_text(json.dumps({"computeType": "Local", "port": 1}))

    assert from_file(str(tmp_path / "dc.json")) == LocalDeployment(port=1)


@pytest.mark.parametrize(
    "config",
    [
        LocalDeployment(port=1, tags={"a": "b"}),
        AciDeployment(auth_enabled=True, description="d"),
        AksDeployment(num_replicas=2, auth_enabled=False),
        AksDeployment(autoscale_enabled=True, autoscale_max_replicas=4),
        AksEndpointDeployment(version_name="a"),
        IotDeployment(device_id="d", external_modules=[MODULE]),
    ],
    ids=lambda config: config.compute_type,
)
def test_record_gives_the_same_configuration_back(config: Any) -> None:
    assert from_record(json.loads(json.dumps(record_of(config)))) == config


def test_record_has_no_secret() -> None:
    config = AciDeployment(primary_key="hush-hush-hush-1", secondary_key="hush-hush-hush-2")

    assert "hush" not in json.dumps(record_of(config)) + repr(config)


def test_every_field_has_a_row() -> None:
    for kind in COMPUTE_TYPES.values():
        assert set(rows_of(kind)) == {one.name for one in fields(kind)}
