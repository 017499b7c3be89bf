"""The rules of a manifest that its schemas do not say, or that a device only reports when it is too late."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from scoring_runtime.deploy.targets.iot_edge.chunks import CHUNK, joined

__all__ = ["problems"]

MODULE, ROUTE = re.compile(r"[a-zA-Z0-9_-]{1,128}"), re.compile(r"[^.$# ]+")
VARIABLE = re.compile(r"[^+#$\s.]+")
ROUTE_TEXT = re.compile(
    r"FROM\s+/\S*(\s+WHERE\s+.+)?\s+INTO\s+(\$upstream|BrokeredEndpoint\(\"(.+)\"\))", re.IGNORECASE
)
SOURCE = re.compile(r"FROM\s+/messages/modules/([^/\s]+)/", re.IGNORECASE)
SINK = re.compile(r"/modules/([^/]+)/inputs/[^/]+")
POLICIES = {
    "restartPolicy": ("never", "on-failure", "on-unhealthy", "always"),
    "imagePullPolicy": ("on-create", "never"),
}
MOST_BYTES, MOST_TEXT_BYTES = 32 * 1024, 4 * 1024
PREFIX_MODULES, PREFIX_ROUTES = "properties.desired.modules.", "properties.desired.routes."
Document = dict[str, Any]


def problems(manifest: Document) -> list[str]:
    """A sentence each, with the place; none when all is well."""
    content = manifest["modulesContent"]
    modules, routes, whole = modules_in(content), routes_in(content), "properties.desired" in content["$edgeAgent"]
    found: list[str] = [text for name, twin in content.items() for text in twin_problems(name, twin)]
    for name, module in modules.items():
        found += module_problems(name, module)
    found += port_problems(modules)
    for name, route in routes.items():
        found += route_problems(name, route, set(modules) if whole else None)
    return found


def twin_problems(name: str, twin: Document) -> Iterator[str]:
    """What a hub takes as desired properties: texts of 4 KiB, 32 KiB together."""
    if (size := len(json.dumps(twin, ensure_ascii=False, separators=(",", ":")).encode())) > MOST_BYTES:
        yield f"{name}: its desired properties have {size} bytes, at most {MOST_BYTES} fit"
    for place, text in texts(twin):
        if (size := len(text.encode())) > MOST_TEXT_BYTES:
            yield f"{name}: {place} has {size} bytes, at most {MOST_TEXT_BYTES} fit"


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, str):
        yield place, value


def modules_in(content: Document) -> dict[str, Document]:
    agent = content["$edgeAgent"]
    if "properties.desired" in agent:
        return dict(agent["properties.desired"]["modules"])
    return {key.removeprefix(PREFIX_MODULES): one for key, one in agent.items() if key.startswith(PREFIX_MODULES)}


def routes_in(content: Document) -> dict[str, Any]:
    hub = content["$edgeHub"]
    if "properties.desired" in hub:
        return dict(hub["properties.desired"]["routes"])
    return {key.removeprefix(PREFIX_ROUTES): one for key, one in hub.items() if key.startswith(PREFIX_ROUTES)}


def module_problems(name: str, module: Document) -> Iterator[str]:
    if not MODULE.fullmatch(name):
        yield f"module {name!r}: a name has letters, digits, _ and -, at most 128"
    for variable, holder in module.get("env", {}).items():
        if not VARIABLE.fullmatch(variable):
            yield f"module {name}: the variable {variable!r} cannot have spaces or any of + # $ ."
        if not isinstance(holder["value"], str | int | float | bool):
            yield f"module {name}: the variable {variable} is a {type(holder['value']).__name__}, not a text or number"
    for key, allowed in POLICIES.items():
        if module[key] not in allowed:
            yield f"module {name}: {key}: expected one of {', '.join(allowed)}, got {module[key]!r}"
    order = module.get("startupOrder", 0)
    if type(order) is not int or not 0 <= order < 2**32:
        yield f"module {name}: startupOrder: expected a whole number from 0 to {2**32 - 1}, got {order!r}"
    for key, text in module["settings"].items():
        if key.startswith("createOptions") and len(text) > CHUNK:
            yield f"module {name}: {key} has {len(text)} characters, at most {CHUNK} fit"
    try:
        joined(module["settings"])
    except ValueError as error:
        yield f"module {name}: its createOptions are not a JSON object: {error}"


def port_problems(modules: dict[str, Document]) -> Iterator[str]:
    """Two modules cannot have the same port of the device; the hub has three."""
    taken = {"5671": "edgeHub", "8883": "edgeHub", "443": "edgeHub"}
    for name, module in modules.items():
        try:
            host = joined(module["settings"]).get("HostConfig", {})
        except ValueError:
            continue
        for bindings in host.get("PortBindings", {}).values():
            for port in (binding.get("HostPort") for binding in bindings):
                if port and (other := taken.setdefault(port, name)) != name:
                    yield f"module {name}: the device's port {port} is {other}'s already"


def route_problems(name: str, route: Any, modules: set[str] | None) -> Iterator[str]:
    """`modules` are those of a full manifest; a layer may lead to modules of other layers."""
    if not ROUTE.fullmatch(name):
        yield f"route {name!r}: a name cannot have spaces or any of . $ #"
    if not isinstance(route, str | Mapping):
        yield f"route {name}: expected a text or an object, got {route!r}"
        return
    text = str(route if isinstance(route, str) else route.get("route", ""))
    match = ROUTE_TEXT.fullmatch(text.strip())
    if match is None:
        yield f'route {name}: expected FROM /... [WHERE ...] INTO $upstream or BrokeredEndpoint("..."), got {text!r}'
        return
    if not isinstance(route, str):
        priority, seconds = route.get("priority", 0), route.get("timeToLiveSecs", 0)
        if type(priority) is not int or not 0 <= priority <= 9:
            yield f"route {name}: expected a priority from 0 to 9, got {priority!r}"
        if type(seconds) is not int or seconds < 0:
            yield f"route {name}: expected timeToLiveSecs as a whole number of seconds, got {seconds!r}"
        if more := sorted(route.keys() - {"route", "priority", "timeToLiveSecs"}):
            yield f"route {name}: expected route, priority and timeToLiveSecs, got {more[0]!r}"
    sink = SINK.fullmatch(match[3]) if match[3] else None
    if match[3] and sink is None:
        yield f"route {name}: expected an endpoint /modules/<module>/inputs/<input>, got {match[3]!r}"
    source = SOURCE.match(text.strip())
    ends = [end[1] for end in (source, sink) if end is not None and end[1] != "*"]
    for module in ends:
        if modules is not None and module not in modules:
            yield f"route {name}: the module {module} is not in the manifest"
