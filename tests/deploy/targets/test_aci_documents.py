"""The container group of a service: valid by Azure's schema as a template, with secrets as parameters, and as YAML."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from scoring_runtime.deploy.services.service import Secrets, Service
from scoring_runtime.deploy.targets.aci.container_group import (
    advice,
    arm_template,
    arm_text,
    container_group,
    dns_label,
    group_yaml,
    hidden,
)
from scoring_runtime.deploy.targets.aci.host import ContainerHost
from scoring_runtime.errors import TargetError
from tests.deploy.targets.schemas import schema
from tests.deploy.targets.services import TLS, aci, assert_golden

HOST = ContainerHost(resource_group="ml", subscription="0000")
PRIVATE = Secrets(
    primary_key="first-key",
    secondary_key="second-key",
    tls_certificate=TLS.tls_certificate,
    tls_key=TLS.tls_key,
    registries={"registry.example": ("puller", "registry-password")},
)
VAULT = {"cmk_vault_base_url": "https://v.vault.azure.net", "cmk_key_name": "k", "cmk_key_version": "1"}

CASES: dict[str, Callable[[], Service]] = {
    "plain": lambda: aci(),
    "whole": lambda: aci(
        secrets=PRIVATE,
        environ={"AML_APP_INSIGHTS_KEY": "telemetry"},
        cpu_cores=1.5,
        memory_gb=2,
        location="westeurope",
    ),
    "network": lambda: aci(vnet_name="net", subnet_name="sub", **VAULT),
}


def template_errors(template: dict[str, Any]) -> list[str]:
    document = schema("arm-container-instance-2025-09-01.json")
    common = Resource.from_contents(schema("arm-common-definitions.json"), default_specification=DRAFT4)
    address = "https://schema.management.azure.com/schemas/common/definitions.json"
    registry: Any = Registry().with_resource(address, common)
    wanted = {**document["resourceDefinitions"]["containerGroups"], "definitions": document["definitions"]}
    validator = jsonschema.Draft4Validator(wanted, registry=registry)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(template["resources"][0])]


@pytest.mark.parametrize("case", CASES)
def test_the_template_is_valid_by_azures_schema(case: str) -> None:
    assert template_errors(arm_template(container_group(CASES[case](), HOST))) == []


def test_the_schema_would_notice_a_mistake() -> None:
    template = arm_template(container_group(aci(), HOST))
    template["resources"][0]["properties"]["osType"] = "BeOS"

    assert len(template_errors(template)) == 1


@pytest.mark.parametrize("case", CASES)
def test_documents_are_those_that_were_reviewed(case: str) -> None:
    group = container_group(CASES[case](), HOST)

    assert_golden(f"aci/{case}.yaml", group_yaml(group))
    assert yaml.safe_load(group_yaml(group)) == group
    if case == "whole":
        assert_golden(f"aci/{case}.json", arm_text(arm_template(group)))


def test_no_secret_is_in_a_template_or_in_what_is_shown() -> None:
    group = container_group(CASES["whole"](), HOST)
    secrets = ("first-key", "registry-password", "telemetry", "Zmlyc3Qta2V5")  # the last one is the first in base64

    template = arm_text(arm_template(group))

    assert not [word for word in secrets if word in template or word in json.dumps(hidden(group))]
    assert [name for name, one in arm_template(group)["parameters"].items() if one["type"] == "secureString"] == [
        "AML_APP_INSIGHTS_KEY_secureValue",
        "keys_secret_primaryKey",
        "keys_secret_secondaryKey",
        "tls_secret_tls_crt",
        "tls_secret_tls_key",
        "registry_example_password",
    ]


def test_the_address_is_named_as_told_or_after_the_service() -> None:
    assert dns_label(aci(dns_name_label="flowers")) == "flowers"
    assert dns_label(aci()) == dns_label(replace(aci(), revision=9)) != dns_label(aci(location="westeurope"))


def test_models_of_more_than_a_gigabyte_are_advised_against() -> None:
    assert advice(aci(), {"iris:1": 2**30}) == []
    assert advice(aci(), {"iris:1": 3 * 2**30, "other:1": 1}) == [
        "The models have 3.0 GB; more than 1 GB is slow to start and often does not fit on this host. "
        "Use Kubernetes (computeType aks), or a smaller model."
    ]


def test_a_restart_policy_is_one_that_engines_have() -> None:
    with pytest.raises(TargetError, match="restart_policy: expected one of always, on-failure, no, got 'sometimes'"):
        ContainerHost(restart_policy="sometimes")
