"""What v2 YAML says about the host: `kubernetes` is a cluster, `managed` is this machine, as for `az --local`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoring_runtime.deploy.services.deployment_config import AksDeployment, Deployment, LocalDeployment
from scoring_runtime.deploy.services.v2_keys import quantity
from scoring_runtime.errors import ConfigError

__all__ = ["environ_of", "host_of", "idle_keys"]

PROBE_FIELDS = {
    "period": "period_seconds",
    "initial_delay": "initial_delay_seconds",
    "timeout": "timeout_seconds",
    "success_threshold": "success_threshold",
    "failure_threshold": "failure_threshold",
}
PROBE_DEFAULTS = {"period": 10, "initial_delay": 10, "timeout": 2, "success_threshold": 1, "failure_threshold": 30}
GB = 2.0**30
LIMITS = {"cpu_cores_limit": "resources.limits.cpu", "memory_gb_limit": "resources.limits.memory"}
USED = {"model": ("path",), "environment": ("name", "image", "conda_file", "build")}  # of what is written inline


def host_of(document: Mapping[str, Any], endpoint: Mapping[str, Any], file: str) -> Deployment:
    """Raises ConfigError."""
    mode = endpoint.get("auth_mode")
    labels: dict[str, Any] = {
        "tags": {**endpoint.get("tags", {}), **document.get("tags", {})},
        "properties": {**endpoint.get("properties", {}), **document.get("properties", {})},
        "description": document.get("description") or endpoint.get("description") or "",
        "auth_enabled": mode == "key",
        "token_auth_enabled": mode in ("aml_token", "aad_token"),
    }
    scaling = scaling_of(document, file)
    if document.get("type", "managed") == "managed":
        return LocalDeployment(**labels)
    if mode is None:
        labels["auth_enabled"] = True
    try:
        return AksDeployment(
            **labels,
            **scaling,
            **requests_of(document),
            **probe_of(document),
            **resources_of(document),
            enable_app_insights=document.get("app_insights_enabled", False),
            compute_target_name=str(endpoint["compute"]).removeprefix("azureml:") if "compute" in endpoint else None,
        )
    except ConfigError as error:
        raise error.within(file, LIMITS.get(error.key, error.key)) from None


def idle_keys(document: Mapping[str, Any], endpoint: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is understood and changes nothing on the host that is meant: of the deployment, of the endpoint."""
    managed = document.get("type", "managed") == "managed"
    scaled = (document.get("scale_settings") or {}).get("type") == "target_utilization"
    idle = ["readiness_probe"]
    if managed:
        idle += ["liveness_probe", "resources", *(["scale_settings"] if scaled else [])]
    if scaled or (managed and document.get("instance_count") != 1):
        idle.append("instance_count")
    found = [key for key in idle if key in document]
    for group, used in USED.items():
        inline = document.get(group)
        if isinstance(inline, Mapping):
            found += [f"{group}.{key}" for key, value in inline.items() if key not in used and value != "custom_model"]
    return found, [key for key in ("traffic", *(["compute"] if managed else [])) if key in endpoint]


def scaling_of(document: Mapping[str, Any], file: str) -> dict[str, Any]:
    scale = document.get("scale_settings") or {}
    if scale.get("type") != "target_utilization":
        return {"num_replicas": document.get("instance_count", 1)}
    low, high = scale.get("min_instances", 1), scale.get("max_instances", 1)
    if low > high:
        key, expected = "scale_settings.min_instances", f"at most max_instances, which is {high}"
        raise ConfigError(key, low, expected, "Raise the maximum.", file)
    return {
        "autoscale_enabled": True,
        "autoscale_min_replicas": low,
        "autoscale_max_replicas": high,
        "autoscale_target_utilization": scale.get("target_utilization_percentage", 70),
        "autoscale_refresh_seconds": scale.get("polling_interval", 1),
    }


def requests_of(document: Mapping[str, Any]) -> dict[str, Any]:
    settings = document.get("request_settings") or {}
    return {
        "scoring_timeout_ms": settings.get("request_timeout_ms", 5000),
        "replica_max_concurrent_requests": settings.get("max_concurrent_requests_per_instance", 1),
        "max_request_wait_time": settings.get("max_queue_wait_ms", 500),
    }


def probe_of(document: Mapping[str, Any]) -> dict[str, Any]:
    given = {**PROBE_DEFAULTS, **(document.get("liveness_probe") or {})}
    return {PROBE_FIELDS[name]: value for name, value in given.items()}


def resources_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Where only limits are given, they are what is requested too, as on Kubernetes."""
    resources = document.get("resources") or {}
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    found = {
        "cpu_cores": quantity(requests["cpu"]) if "cpu" in requests else None,
        "memory_gb": quantity(requests["memory"]) / GB if "memory" in requests else None,
        "cpu_cores_limit": quantity(limits["cpu"]) if "cpu" in limits else None,
        "memory_gb_limit": quantity(limits["memory"]) / GB if "memory" in limits else None,
        "gpu_cores": int(quantity(requests["nvidia.com/gpu"])) if "nvidia.com/gpu" in requests else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def environ_of(document: Mapping[str, Any]) -> dict[str, str]:
    """For the server: the user's variables over what request_settings mean for it."""
    settings = document.get("request_settings") or {}
    environ = {"SCORING_TIMEOUT_MS": str(settings.get("request_timeout_ms", 5000))}
    if "max_concurrent_requests_per_instance" in settings:
        environ["WORKER_COUNT"] = str(settings["max_concurrent_requests_per_instance"])
    if "max_queue_wait_ms" in settings:
        environ["SCORING_MAX_QUEUE_WAIT_MS"] = str(settings["max_queue_wait_ms"])
    if document.get("app_insights_enabled"):
        environ["AML_APP_INSIGHTS_ENABLED"] = "true"
    own = document.get("environment_variables") or {}
    return {**environ, **{name: text_of(value) for name, value in own.items()}}


def text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
