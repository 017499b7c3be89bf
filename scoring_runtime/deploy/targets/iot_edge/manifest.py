"""The deployment manifest: all that a device runs, or with `layered` this service's part of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.iot_edge.chunks import split
from scoring_runtime.deploy.targets.iot_edge.modules import Module, modules_of, name_of

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.iot_edge.edge import Edge

__all__ = ["hidden", "manifest", "manifest_text"]

HUB_PORTS = ("5671/tcp", "8883/tcp", "443/tcp")  # AMQP, MQTT and HTTPS
SECRET_WORDS = ("KEY", "PASSWORD", "SECRET", "TOKEN")
Document = dict[str, Any]


def manifest(service: Service, edge: Edge) -> Document:
    """Raises TargetError where the service cannot run so."""
    modules = modules_of(service, edge)
    content = layered(service, modules) if edge.layered else full(service, edge, modules)
    return {"modulesContent": content}


def full(service: Service, edge: Edge, modules: Sequence[Module]) -> Document:
    routes = routes_of(service)
    agent: Document = {
        "schemaVersion": "1.1" if any("startupOrder" in one.document for one in modules) else "1.0",
        "runtime": {
            "type": "docker",
            "settings": {
                "minDockerVersion": edge.min_docker_version,
                "loggingOptions": "",
                "registryCredentials": credentials(service),
            },
        },
        "systemModules": system_modules(edge),
        "modules": {module.name: module.document for module in modules},
    }
    hub: Document = {
        "schemaVersion": "1.0" if all(isinstance(route, str) for route in routes.values()) else "1.1",
        "routes": routes,
        "storeAndForwardConfiguration": {"timeToLiveSecs": edge.time_to_live_seconds},
    }
    if agent["schemaVersion"] == "1.1":
        agent["systemModules"]["edgeHub"]["startupOrder"] = 0
    return {
        "$edgeAgent": {"properties.desired": agent},
        "$edgeHub": {"properties.desired": hub},
        **{module.name: {"properties.desired": module.desired} for module in modules},
    }


def layered(service: Service, modules: Sequence[Module]) -> Document:
    """Keys with dots: what is beside them in lower layers stays."""
    agent: Document = {f"properties.desired.modules.{module.name}": module.document for module in modules}
    for name, login in credentials(service).items():
        agent[f"properties.desired.runtime.settings.registryCredentials.{name}"] = login
    return {
        "$edgeAgent": agent,
        "$edgeHub": {f"properties.desired.routes.{name}": route for name, route in routes_of(service).items()},
        **{module.name: {"properties.desired": module.desired} for module in modules if module.desired},
    }


def routes_of(service: Service) -> Document:
    """As given; without any, what the service puts out goes to the hub in the cloud."""
    name = name_of(service)
    return dict(service.deployment.routes) or {
        f"{name}ToUpstream": f"FROM /messages/modules/{name}/outputs/* INTO $upstream"
    }


def credentials(service: Service) -> Document:
    """Logins of registries, from the config and the service's secrets; a key cannot have dots."""
    given = [(one["location"], one["user"], one["password"]) for one in service.deployment.acr_credentials]
    given += [(address, user, password) for address, (user, password) in service.secrets.registries.items()]
    return {
        address.replace(".", "-").replace(":", "-"): {"username": user, "password": password, "address": address}
        for address, user, password in given
    }


def system_modules(edge: Edge) -> Document:
    bindings = {port: [{"HostPort": port.partition("/")[0]}] for port in HUB_PORTS}
    options = split({"HostConfig": {"PortBindings": bindings}}, "edgeHub")
    images = {name: f"mcr.microsoft.com/azureiotedge-{name}:{edge.runtime_version}" for name in ("agent", "hub")}
    return {
        "edgeAgent": {
            "type": "docker",
            "settings": {"image": images["agent"], "createOptions": "{}"},
            "env": {name: {"value": value} for name, value in edge.agent_environ.items()},
        },
        "edgeHub": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": images["hub"], **options},
            "env": {name: {"value": value} for name, value in edge.hub_environ.items()},
        },
    }


def manifest_text(document: Document) -> str:
    return json.dumps(document, indent=2) + "\n"


def hidden(value: Any, name: str = "") -> Any:
    """The manifest with stars for passwords, keys and tokens, to be shown."""
    if isinstance(value, dict):
        return {key: hidden(inner, name if key == "value" else key) for key, inner in value.items()}
    secret = any(word in name.upper() for word in SECRET_WORDS)
    return "***" if secret and isinstance(value, str) else value
