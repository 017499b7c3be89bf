"""The keys of v2 deployment and endpoint YAML, each with its rule; those that no host here needs are named as such."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scoring_runtime.deploy.environments.config_keys import NO_EFFECT
from scoring_runtime.deploy.services.config_rules import (
    ANY_TEXT,
    AT_LEAST_1,
    BOOL,
    OBJECT,
    STRINGS,
    TEXT,
    Rule,
    matching,
    one_of,
    whole,
)

__all__ = ["DEPLOYMENT", "ENDPOINT", "quantity"]

NAME = matching(r"[a-zA-Z][-a-zA-Z0-9]{1,30}[a-zA-Z0-9]", "3 to 32 letters, digits and -, a letter first")
UNITS = {"": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|Ki|Mi|Gi|Ti)?")


def quantity(value: Any) -> float:
    """A Kubernetes quantity as a number; ValueError."""
    found = QUANTITY.fullmatch(str(value))
    if found is None or isinstance(value, bool):
        raise ValueError(value)
    return float(found[1]) * UNITS[found[2] or ""]


def is_quantity(value: Any) -> bool:
    try:
        return quantity(value) > 0
    except ValueError:
        return False


def is_environ(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str | int | float | bool) for one in value.values())


def are_shares(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= 100 for one in value.values()
    )


AMOUNT = Rule('a quantity such as "0.5", "500m" or "1Gi"', is_quantity)
SHARES = Rule("whole numbers from 0 to 100, by deployment", are_shares)
TEXT_OR_OBJECT = Rule("a text or an object", lambda value: isinstance(value, str) or OBJECT.holds(value))
AMOUNTS = {"cpu": AMOUNT, "memory": AMOUNT, "nvidia.com/gpu": AMOUNT}
PROBE = {
    "period": AT_LEAST_1,
    "initial_delay": AT_LEAST_1,
    "timeout": AT_LEAST_1,
    "success_threshold": AT_LEAST_1,
    "failure_threshold": AT_LEAST_1,
}

DEPLOYMENT: dict[str, Any] = {
    "$schema": NO_EFFECT,
    "name": NAME,
    "endpoint_name": NAME,
    "type": one_of("managed", "kubernetes"),
    "description": ANY_TEXT,
    "tags": STRINGS,
    "properties": STRINGS,
    "model": TEXT_OR_OBJECT,
    "code_configuration": {"code": TEXT_OR_OBJECT, "scoring_script": TEXT},
    "environment": TEXT_OR_OBJECT,
    "environment_variables": Rule("an object of texts and numbers", is_environ),
    "app_insights_enabled": BOOL,
    "instance_count": AT_LEAST_1,
    "instance_type": NO_EFFECT,
    "model_mount_path": NO_EFFECT,
    "request_settings": {
        "request_timeout_ms": AT_LEAST_1,
        "max_concurrent_requests_per_instance": AT_LEAST_1,
        "max_queue_wait_ms": AT_LEAST_1,
    },
    "liveness_probe": PROBE,
    "readiness_probe": PROBE,
    "scale_settings": {
        "type": one_of("default", "target_utilization"),
        "min_instances": AT_LEAST_1,
        "max_instances": AT_LEAST_1,
        "target_utilization_percentage": whole(1, 100),
        "polling_interval": AT_LEAST_1,
    },
    "data_collector": NO_EFFECT,
    "egress_public_network_access": NO_EFFECT,
    "private_network_connection": NO_EFFECT,
    "package_model": NO_EFFECT,
    "resources": {"requests": AMOUNTS, "limits": AMOUNTS},
}
ENDPOINT: dict[str, Any] = {
    "$schema": NO_EFFECT,
    "name": NAME,
    "auth_mode": one_of("key", "aml_token", "aad_token"),
    "traffic": SHARES,
    "mirror_traffic": NO_EFFECT,
    "public_network_access": NO_EFFECT,
    "identity": NO_EFFECT,
    "tags": STRINGS,
    "properties": STRINGS,
    "description": ANY_TEXT,
    "compute": TEXT,
}
