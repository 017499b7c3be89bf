"""The container of a service as every host sees it: image, environment, secret files, port, probes, resources. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scoring_runtime.accelerators import ACCELERATORS, Accelerator, Device, accelerator, parse_options
from scoring_runtime.errors import SettingsError, TargetError
from scoring_runtime.settings import ROWS

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service

__all__ = [
    "ADVISED_MODEL_GB",
    "KEYS_FOLDER",
    "MOST_MODELS",
    "TLS_FOLDER",
    "Container",
    "Probe",
    "container_of",
    "setting",
]

KEYS_FOLDER, TLS_FOLDER = "/var/scoring/keys", "/var/scoring/tls"
MOST_MODELS, ADVISED_MODEL_GB = 1000, 1  # of one image: the limit, and the size that one should have at most


@dataclass(frozen=True)
class Probe:
    """When a host takes the container for started, ready, or dead; in seconds and tries."""

    initial_delay: int = 310
    period: int = 10
    timeout: int = 2
    success_threshold: int = 1
    failure_threshold: int = 3

    @property
    def boot_seconds(self) -> int:
        """How long init() may take before the container is given up."""
        return self.initial_delay + self.period * self.failure_threshold


@dataclass(frozen=True)
class Container:
    """What to run. The values of secrets are in `keys`, `tls` and `secret_environ`, which repr leaves out."""

    name: str
    image: str
    environ: Mapping[str, str]
    port: int
    probe_port: int
    cpu: float
    memory_gb: float
    cpu_limit: float | None = None
    memory_gb_limit: float | None = None
    accelerator: Accelerator = ACCELERATORS["cpu"]
    accelerator_options: Mapping[str, str] = field(default_factory=dict)
    devices: int = 0  # of the accelerator's
    drain_seconds: int = 30  # how long requests may take to finish after SIGTERM
    probe: Probe = field(default_factory=Probe)
    secret_environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)  # file name -> key, below KEYS_FOLDER
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)  # tls.crt and tls.key, below TLS_FOLDER

    @property
    def tls_probe(self) -> bool:
        return bool(self.tls) and self.probe_port == self.port

    @property
    def config_hash(self) -> str:
        """Changes with the configuration, secrets included: a container with another hash has to be replaced."""
        parts = [dict(part) for part in (self.environ, self.secret_environ, self.keys, self.tls)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def container_of(service: Service, *, tls: bool = True) -> Container:
    """The service's container; without `tls` where something before it ends the encryption. Raises TargetError."""
    if len(service.models) > MOST_MODELS:
        raise TargetError(
            f"{service.name}: expected at most {MOST_MODELS} models in one service, got {len(service.models)}. "
            "Put models that are used together into one folder and register that, or make more services."
        )
    deployment = service.deployment
    secrets = service.secrets
    certificate = {"tls.crt": secrets.tls_certificate, "tls.key": secrets.tls_key} if secrets.tls_certificate else {}
    keys = keys_of(service)
    environ = environ_of(service)
    if keys:
        environ["SCORING_KEYS_DIR"] = KEYS_FOLDER
    if certificate and tls:
        environ |= {"SCORING_TLS_CERT": f"{TLS_FOLDER}/tls.crt", "SCORING_TLS_KEY": f"{TLS_FOLDER}/tls.key"}
    ports = {name: setting(service, environ, name) for name in ("port", "health_port", "separate_health")}
    environ["SCORING_PORT"] = str(ports["port"])  # whatever a config.json in the image says
    row, options = accelerator_of(service, environ)
    if row.policy == "require":
        environ.setdefault("SCORING_ACCELERATOR_POLICY", "require")
    hidden = {one.env for one in ROWS if one.secret} & environ.keys()
    return Container(
        name=service.name,
        image=service.image,
        environ={name: environ[name] for name in sorted(environ) if name not in hidden},
        port=ports["port"],
        probe_port=ports["health_port"] if ports["separate_health"] else ports["port"],
        cpu=getattr(deployment, "cpu_cores", 0.1),
        memory_gb=getattr(deployment, "memory_gb", 0.5),
        cpu_limit=getattr(deployment, "cpu_cores_limit", None),
        memory_gb_limit=getattr(deployment, "memory_gb_limit", None),
        accelerator=row,
        accelerator_options=options,
        devices=getattr(deployment, "gpu_cores", 0) or int(row.device_for(options) != Device()),
        drain_seconds=setting(service, environ, "graceful_timeout"),
        probe=probe_of(deployment),
        secret_environ={name: environ[name] for name in sorted(hidden)},
        keys=keys,
        tls=certificate if tls else {},
    )


def keys_of(service: Service) -> dict[str, str]:
    """As files in a folder: a host that mounts them can change them without a restart."""
    secrets = service.secrets
    if service.auth == "key":
        return {"primaryKey": secrets.primary_key, "secondaryKey": secrets.secondary_key}
    return {"tokenKey": secrets.token_key} if service.auth == "token" else {}


def environ_of(service: Service) -> dict[str, str]:
    """What the deployment config says about serving, as settings of the server; what the user set himself wins."""
    deployment = service.deployment
    environ = {"SERVICE_NAME": service.part_of or service.name, "SCORING_AUTH": service.auth}
    if (timeout := getattr(deployment, "scoring_timeout_ms", None)) is not None:
        environ["SCORING_TIMEOUT_MS"] = str(timeout)
    if (wait := getattr(deployment, "max_request_wait_time", None)) is not None:
        environ["SCORING_MAX_QUEUE_WAIT_MS"] = str(wait)
    at_once = getattr(deployment, "replica_max_concurrent_requests", None)
    if at_once is not None and not service.environ.keys() & {"WORKER_COUNT", "SCORING_MAX_CONCURRENT_REQUESTS"}:
        environ["WORKER_COUNT"] = str(at_once)  # processes: a script need not be safe in threads
    if getattr(deployment, "enable_app_insights", None):
        environ["AML_APP_INSIGHTS_ENABLED"] = "true"
    return {**environ, **service.environ}


def setting(service: Service, environ: Mapping[str, str], name: str) -> Any:
    """What the server will make of its environment, for one of its settings."""
    row = next(row for row in ROWS if row.name == name)
    try:
        return row.parse(environ.get(row.env), "the service's environment")
    except SettingsError as error:
        raise TargetError(f"{service.name}: the server would not start. {error}") from None


def accelerator_of(service: Service, environ: Mapping[str, str]) -> tuple[Accelerator, dict[str, str]]:
    """The row that SCORING_ACCELERATOR names, and its options; without one, GPUs are CUDA's."""
    asked = getattr(service.deployment, "gpu_cores", 0)
    try:
        row = accelerator(environ.get("SCORING_ACCELERATOR") or ("cuda" if asked else "cpu"))
        options = row.check(parse_options(environ.get("SCORING_ACCELERATOR_OPTIONS", "")))
    except SettingsError as error:
        raise TargetError(f"{service.name}: {error}") from None
    if row.one_model and len(service.models) > 1:
        raise TargetError(
            f"{service.name}: {row.name} takes exactly one model in a service, got {len(service.models)}: "
            f"{', '.join(service.models)}. Deploy one service for each."
        )
    if not row.autoscale and getattr(service.deployment, "autoscale_enabled", False):
        raise TargetError(
            f"{service.name}: {row.name} is not scaled automatically, as each replica holds a device. "
            "Set autoscale_enabled (autoScaler.autoscaleEnabled) to false and num_replicas to a number."
        )
    return row, options


def probe_of(deployment: Any) -> Probe:
    """From a deployment config that has livenessProbeRequirements; others have the defaults."""
    plain = Probe()
    return Probe(
        initial_delay=getattr(deployment, "initial_delay_seconds", plain.initial_delay),
        period=getattr(deployment, "period_seconds", plain.period),
        timeout=getattr(deployment, "timeout_seconds", plain.timeout),
        success_threshold=getattr(deployment, "success_threshold", plain.success_threshold),
        failure_threshold=getattr(deployment, "failure_threshold", plain.failure_threshold),
    )
