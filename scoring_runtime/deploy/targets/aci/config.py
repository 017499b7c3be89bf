"""One container of a service for the engine: the create call, what makes another one necessary, its port. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.aci.container_group import dns_label
from scoring_runtime.deploy.targets.docker_options import create_options
from scoring_runtime.settings import ROWS

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.aci.host import ContainerHost
    from scoring_runtime.deploy.targets.container import Container

__all__ = ["HASH", "SERVICE", "create_config", "digest", "fixed_port", "port_of", "shown"]

SERVICE, REVISION, HASH = "scoring-runtime/service", "scoring-runtime/revision", "scoring-runtime/hash"
Document = dict[str, Any]


def create_config(service: Service, container: Container, host: ContainerHost, port: int | None = None) -> Document:
    """Docker's create call. No secret is in it but those that are variables."""
    config = create_options(container, port, host.address)
    config["HostConfig"] |= {
        "RestartPolicy": {"Name": host.restart_policy},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": f"{host.log_megabytes}m"}},
    }
    environ = {**container.environ, **container.secret_environ}
    return {
        "Image": container.image,
        "Hostname": dns_label(service),
        "Env": [f"{name}={value}" for name, value in sorted(environ.items())],
        "Labels": {SERVICE: service.name, REVISION: str(service.revision)},
        "StopTimeout": container.drain_seconds + 5,
        **config,
    }


def digest(service: Service, container: Container, host: ContainerHost, image_id: str) -> str:
    """Of all that makes another container necessary: neither the revision nor keys, which are put into this one."""
    config = create_config(service, container, host, fixed_port(service, host))
    del config["Labels"]
    parts = [config, image_id, sorted(container.keys), dict(container.tls)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fixed_port(service: Service, host: ContainerHost) -> int | None:
    """The one that the service, or else the host, is given; None: a free one, which the service then keeps."""
    port: int | None = service.deployment.port or host.port
    return port


def port_of(made: Document, container: Container) -> int | None:
    """The host's port, once the engine has chosen one."""
    bindings = (made["NetworkSettings"].get("Ports") or {}).get(f"{container.port}/tcp")
    bindings = bindings or made["HostConfig"].get("PortBindings", {}).get(f"{container.port}/tcp")
    return int(bindings[0]["HostPort"]) if bindings and bindings[0]["HostPort"] else None


def shown(config: Document) -> Document:
    """With stars for variables that are secrets."""
    secret = {row.env for row in ROWS if row.secret}
    environ = [
        line if line.partition("=")[0] not in secret else f"{line.partition('=')[0]}=***" for line in config["Env"]
    ]
    return {**config, "Env": environ}
