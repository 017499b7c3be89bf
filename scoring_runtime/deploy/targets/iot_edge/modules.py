"""The modules of a manifest: the service itself, and the others that were given with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.container import container_of
from scoring_runtime.deploy.targets.docker_options import create_options, merged
from scoring_runtime.deploy.targets.iot_edge.chunks import split
from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.container import Container
    from scoring_runtime.deploy.targets.iot_edge.edge import Edge

__all__ = ["KEY_VARIABLES", "Module", "modules_of", "name_of", "takes_messages"]

KEY_VARIABLES = {"primaryKey": "SCORING_PRIMARY_KEY", "secondaryKey": "SCORING_SECONDARY_KEY"}
# The server with its messages beside it; the image has to have scoring-runtime[iot].
MESSAGES_COMMAND = {"Entrypoint": ["scoring-iot"], "Cmd": ["--", "scoring-serve"]}
Document = dict[str, Any]


class Module:
    """A name, what the agent is told, and the settings that the module reads from its own twin."""

    def __init__(self, name: str, document: Document, desired: Document) -> None:
        self.name = name
        self.document = document
        self.desired = desired


def name_of(service: Service) -> str:
    return str(service.deployment.aml_module.get("moduleName") or service.name)


def modules_of(service: Service, edge: Edge) -> list[Module]:
    """The service first. Raises TargetError."""
    given = service.deployment.aml_module
    container = container_of(service)
    if container.tls:
        raise TargetError(
            f"{service.name}: a manifest has no place for a certificate. Put it on the device, mount it with "
            "createOptions (HostConfig.Binds), and name it with SCORING_TLS_CERT and SCORING_TLS_KEY."
        )
    options = create_options(container, edge.host_port or container.port, limits=False)
    wanted = parsed(given.get("createOptions"), name_of(service))
    if takes_messages(service) and "Entrypoint" not in wanted:
        options |= MESSAGES_COMMAND
    options = merged(options, wanted)
    environ = {**module_environ(container), **(given.get("environmentVariables") or {})}
    own = Module(
        name_of(service),
        document(edge, container.image, environ, split(options, name_of(service)), edge.startup_order),
        dict(given.get("propertiesDesired") or {}),
    )
    modules = [own, *(external(one, edge) for one in service.deployment.external_modules)]
    names = [module.name for module in modules]
    if twice := [name for name in names if names.count(name) > 1]:
        raise TargetError(f"{service.name}: two modules are named {twice[0]!r}; give each its own moduleName.")
    return modules


def takes_messages(service: Service) -> bool:
    """Whether a route leads into the module; without one it is called over HTTP only."""
    into = f"/modules/{name_of(service)}/inputs/".lower()
    routes = service.deployment.routes.values()
    return any(into in str(one.get("route") if isinstance(one, Mapping) else one).lower() for one in routes)


def module_environ(container: Container) -> Document:
    """Keys are variables here: a manifest is a secret as soon as there are some."""
    environ = {**container.environ, **container.secret_environ}
    environ.pop("SCORING_KEYS_DIR", None)
    unknown = [name for name in container.keys if name not in KEY_VARIABLES]
    if unknown:
        raise TargetError(
            f"{container.name}: tokens are not for IoT Edge, as no one on the device signs them. Use keys, or no auth."
        )
    return {**environ, **{KEY_VARIABLES[name]: value for name, value in container.keys.items()}}


def external(given: Mapping[str, Any], edge: Edge) -> Module:
    name = str(given["moduleName"])
    options = parsed(given.get("createOptions"), name)
    order = given.get("startupOrder")
    return Module(
        name,
        document(edge, given["imageLocation"], given.get("environmentVariables") or {}, split(options, name), order),
        dict(given.get("propertiesDesired") or {}),
    )


def document(
    edge: Edge, image: str, environ: Mapping[str, Any], options: Mapping[str, str], order: int | None
) -> Document:
    result: Document = {
        "version": "1.0",
        "type": "docker",
        "status": "running",
        "restartPolicy": edge.restart_policy,
        "imagePullPolicy": edge.image_pull_policy,
        "settings": {"image": image, **options},
        "env": {name: {"value": environ[name]} for name in sorted(environ)},
    }
    return result if order is None else {**result, "startupOrder": order}


def parsed(options: Any, module: str) -> Document:
    """An object, or its JSON text; a published template has a comma too many."""
    if not options:
        return {}
    if isinstance(options, Mapping):
        return dict(options)
    try:
        result = json.loads(options)
    except ValueError:
        try:
            result = json.loads(re.sub(r",\s*([}\]])", r"\1", options))
        except ValueError as error:
            raise TargetError(f"{module}: createOptions: expected a JSON object, got {options!r}: {error}.") from None
    if not isinstance(result, dict):
        raise TargetError(f"{module}: createOptions: expected a JSON object, got {options!r}.")
    return result
