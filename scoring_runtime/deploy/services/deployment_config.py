"""How a service runs on each kind of host: the SDK's argument names as fields, its defaults, and every rule.

Each field has one row: default, key path in deploymentconfig.json, rule. None stands for "not given".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scoring_runtime.deploy.services.config_rules import (
    ANY_TEXT,
    AT_LEAST_0,
    AT_LEAST_1,
    BOOL,
    KEY,
    LIST,
    NUMBER,
    OBJECT,
    STRINGS,
    TEXT,
    checked,
    matching,
    row,
    whole,
)
from scoring_runtime.errors import ConfigError

__all__ = [
    "AciDeployment",
    "AksDeployment",
    "AksEndpointDeployment",
    "Deployment",
    "IotDeployment",
    "LocalDeployment",
]

NAMESPACE = matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "lower-case letters, digits and -, at most 63")
PERCENT = whole(1, 100)
LATER: Any = None  # the default depends on other fields; __post_init__ fills it in


@dataclass(frozen=True)
class Deployment:
    """What every host's configuration has; use one of its subclasses."""

    compute_type: ClassVar[str] = ""

    def __post_init__(self) -> None:
        checked(self)


@dataclass(frozen=True)
class LocalDeployment(Deployment):
    """A process on this machine, on 127.0.0.1. Without a port: a free one, which the service then keeps.

    The SDK's has only the port; keys and limits are ours, and off unless they are given.
    """

    compute_type: ClassVar[str] = "local"

    port: int | None = row(None, "port", whole(1, 65535))
    tags: Mapping[str, str] = row({}, "", STRINGS)
    properties: Mapping[str, str] = row({}, "", STRINGS)
    description: str = row("", "", ANY_TEXT)
    auth_enabled: bool = row(False, "authEnabled", BOOL)
    token_auth_enabled: bool = row(False, "tokenAuthEnabled", BOOL)
    primary_key: str | None = row(None, "keys.primaryKey", KEY, secret=True)
    secondary_key: str | None = row(None, "keys.secondaryKey", KEY, secret=True)
    cpu_cores: float | None = row(None, "containerResourceRequirements.cpu", NUMBER)
    memory_gb: float | None = row(None, "containerResourceRequirements.memoryInGB", NUMBER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth_enabled and self.token_auth_enabled:
            raise ConfigError("token_auth_enabled", True, "false, as auth_enabled is true", "Choose keys or tokens.")


@dataclass(frozen=True)
class AciDeployment(Deployment):
    """One container, without scaling."""

    compute_type: ClassVar[str] = "aci"

    cpu_cores: float = row(0.1, "containerResourceRequirements.cpu", NUMBER)
    memory_gb: float = row(0.5, "containerResourceRequirements.memoryInGB", NUMBER)
    tags: Mapping[str, str] = row({}, "", STRINGS)
    properties: Mapping[str, str] = row({}, "", STRINGS)
    description: str = row("", "", ANY_TEXT)
    location: str | None = row(None, "location", TEXT)
    auth_enabled: bool = row(False, "authEnabled", BOOL)
    ssl_enabled: bool = row(False, "sslEnabled", BOOL)
    enable_app_insights: bool = row(False, "appInsightsEnabled", BOOL)
    ssl_cert_pem_file: str | None = row(None, "sslCertificate", TEXT)
    ssl_key_pem_file: str | None = row(None, "sslKey", TEXT)
    ssl_cname: str | None = row(None, "cname", TEXT)
    dns_name_label: str | None = row(None, "dnsNameLabel", TEXT)
    primary_key: str | None = row(None, "keys.primaryKey", KEY, secret=True)
    secondary_key: str | None = row(None, "keys.secondaryKey", KEY, secret=True)
    collect_model_data: bool = row(False, "", BOOL)
    cmk_vault_base_url: str | None = row(None, "vaultBaseUrl", TEXT)
    cmk_key_name: str | None = row(None, "keyName", TEXT)
    cmk_key_version: str | None = row(None, "keyVersion", TEXT)
    vnet_name: str | None = row(None, "vnetName", TEXT)
    subnet_name: str | None = row(None, "subnetName", TEXT)
    compute_target_name: str | None = row(None, "computeTargetName", TEXT)  # ours: an attached container engine
    port: int | None = row(None, "port", whole(1, 65535))  # ours: of the engine's machine

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ssl_enabled:
            require(self, "ssl_enabled is true", "ssl_cert_pem_file", "ssl_key_pem_file", "ssl_cname")
        together(self, "cmk_vault_base_url", "cmk_key_name", "cmk_key_version")
        together(self, "vnet_name", "subnet_name")


@dataclass(frozen=True)
class AksDeployment(Deployment):
    """Replicas on a Kubernetes cluster, with keys and an autoscaler unless told otherwise."""

    compute_type: ClassVar[str] = "aks"

    autoscale_enabled: bool = row(LATER, "autoScaler.autoscaleEnabled", BOOL)
    autoscale_min_replicas: int = row(LATER, "autoScaler.minReplicas", AT_LEAST_1)  # these four: None when not scaled
    autoscale_max_replicas: int = row(LATER, "autoScaler.maxReplicas", AT_LEAST_1)
    autoscale_refresh_seconds: int = row(LATER, "autoScaler.refreshPeriodInSeconds", AT_LEAST_1)
    autoscale_target_utilization: int = row(LATER, "autoScaler.targetUtilization", PERCENT)
    collect_model_data: bool = row(False, "dataCollection.storageEnabled", BOOL)
    auth_enabled: bool = row(LATER, "authEnabled", BOOL)
    cpu_cores: float = row(0.1, "containerResourceRequirements.cpu", NUMBER)
    memory_gb: float = row(0.5, "containerResourceRequirements.memoryInGB", NUMBER)
    enable_app_insights: bool = row(False, "appInsightsEnabled", BOOL)
    scoring_timeout_ms: int = row(60_000, "scoringTimeoutMs", AT_LEAST_1)
    replica_max_concurrent_requests: int = row(1, "maxConcurrentRequestsPerContainer", AT_LEAST_1)
    max_request_wait_time: int = row(500, "maxQueueWaitMs", AT_LEAST_1)
    num_replicas: int | None = row(None, "numReplicas", AT_LEAST_1)
    primary_key: str | None = row(None, "keys.primaryKey", KEY, secret=True)
    secondary_key: str | None = row(None, "keys.secondaryKey", KEY, secret=True)
    tags: Mapping[str, str] = row({}, "", STRINGS)
    properties: Mapping[str, str] = row({}, "", STRINGS)
    description: str = row("", "", ANY_TEXT)
    gpu_cores: int = row(0, "gpuCores", AT_LEAST_0)
    period_seconds: int = row(10, "livenessProbeRequirements.periodSeconds", AT_LEAST_1)
    initial_delay_seconds: int = row(310, "livenessProbeRequirements.initialDelaySeconds", AT_LEAST_1)
    timeout_seconds: int = row(2, "livenessProbeRequirements.timeoutSeconds", AT_LEAST_1)
    success_threshold: int = row(1, "livenessProbeRequirements.successThreshold", AT_LEAST_1)
    failure_threshold: int = row(3, "livenessProbeRequirements.failureThreshold", AT_LEAST_1)
    namespace: str | None = row(None, "namespace", NAMESPACE)
    token_auth_enabled: bool = row(False, "tokenAuthEnabled", BOOL)
    compute_target_name: str | None = row(None, "computeTargetName", TEXT)
    cpu_cores_limit: float | None = row(None, "containerResourceRequirements.cpuLimit", NUMBER)
    memory_gb_limit: float | None = row(None, "containerResourceRequirements.memoryInGBLimit", NUMBER)
    blobfuse_enabled: bool | None = row(None, "", BOOL)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settle_autoscaler()
        self.settle_auth()
        for request, limit in (("cpu_cores", "cpu_cores_limit"), ("memory_gb", "memory_gb_limit")):
            if getattr(self, limit) is not None and getattr(self, limit) < getattr(self, request):
                asked = getattr(self, request)
                raise ConfigError(limit, getattr(self, limit), f"at least {request}, which is {asked}", "Raise it.")

    def settle_autoscaler(self) -> None:
        defaults = {
            "autoscale_min_replicas": 1,
            "autoscale_max_replicas": 10,
            "autoscale_refresh_seconds": 1,
            "autoscale_target_utilization": 70,
        }
        given = [name for name in defaults if getattr(self, name) is not None]
        enabled: bool | None = self.autoscale_enabled
        if given and not enabled:
            fix = "Set autoscale_enabled (autoScaler.autoscaleEnabled) to true, or leave this out."
            raise ConfigError(given[0], getattr(self, given[0]), "nothing, as autoscale_enabled is not true", fix)
        if enabled is None:
            object.__setattr__(self, "autoscale_enabled", self.num_replicas is None)
        elif enabled and self.num_replicas is not None:
            expected = "nothing, as autoscale_enabled is true"
            fix = "Leave it out, or set autoscale_enabled (autoScaler.autoscaleEnabled) to false."
            raise ConfigError("num_replicas", self.num_replicas, expected, fix)
        elif not enabled and self.num_replicas is None:
            raise ConfigError("num_replicas", None, "a number, as autoscale_enabled is false", "Say how many replicas.")
        if not self.autoscale_enabled:
            return
        for name in defaults.keys() - given:
            object.__setattr__(self, name, defaults[name])
        if self.autoscale_min_replicas > self.autoscale_max_replicas:
            expected = f"at most autoscale_max_replicas, which is {self.autoscale_max_replicas}"
            raise ConfigError("autoscale_min_replicas", self.autoscale_min_replicas, expected, "Raise the maximum.")

    def settle_auth(self) -> None:
        """Keys unless tokens are asked for; both at once is an error, as it always was."""
        enabled: bool | None = self.auth_enabled
        if enabled is None:
            object.__setattr__(self, "auth_enabled", not self.token_auth_enabled)
        elif enabled and self.token_auth_enabled:
            fix = "Set auth_enabled (authEnabled) to false for tokens."
            raise ConfigError("token_auth_enabled", True, "false, as auth_enabled is true", fix)


@dataclass(frozen=True)
class AksEndpointDeployment(AksDeployment):
    """One version of an endpoint, with its share of the traffic."""

    compute_type: ClassVar[str] = "aksendpoint"

    version_name: str | None = row(None, "versionName", TEXT)
    traffic_percentile: int | None = row(None, "trafficPercentile", whole(0, 100))


@dataclass(frozen=True)
class IotDeployment(Deployment):
    """A module of an IoT Edge device, with the modules and routes around it."""

    compute_type: ClassVar[str] = "iot"

    device_id: str = row("", "deviceId", TEXT)
    routes: Mapping[str, Any] = row({}, "routes", OBJECT)
    aml_module: Mapping[str, Any] = row({}, "amlModule", OBJECT)
    external_modules: Sequence[Mapping[str, Any]] = row([], "externalModules", LIST)
    acr_credentials: Sequence[Mapping[str, str]] = row([], "acrCredentials", LIST, secret=True)
    tags: Mapping[str, str] = row({}, "", STRINGS)
    properties: Mapping[str, str] = row({}, "", STRINGS)
    description: str = row("", "", ANY_TEXT)

    def __post_init__(self) -> None:
        super().__post_init__()
        for at, module in enumerate(self.external_modules):
            if not TEXT.holds(module.get("moduleName")) or not TEXT.holds(module.get("imageLocation")):
                expected = "an object with moduleName and imageLocation"
                raise ConfigError(f"external_modules[{at}]", dict(module), expected)
        for at, credentials in enumerate(self.acr_credentials):
            if not all(TEXT.holds(credentials.get(name)) for name in ("location", "user", "password")):
                raise ConfigError(f"acr_credentials[{at}]", "***", "an object with location, user and password")


def require(config: Deployment, why: str, *names: str) -> None:
    for name in names:
        if not getattr(config, name):
            raise ConfigError(name, getattr(config, name), f"a value, as {why}", "Give it.")


def together(config: Deployment, *names: str) -> None:
    """All of them, or none."""
    given = [name for name in names if getattr(config, name) is not None]
    missing = [name for name in names if name not in given]
    if given and missing:
        raise ConfigError(missing[0], None, f"a value, as {given[0]} is given", f"Give {', '.join(names)}, or none.")
