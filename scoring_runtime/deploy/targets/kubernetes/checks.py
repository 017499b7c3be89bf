"""What the official schemas do not say and a cluster refuses, or worse, accepts: references, names, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

__all__ = ["key_of", "problems", "quantity", "refused_changes"]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")  # others the API refuses, or the kubelet leaves out
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
SUFFIXES: dict[str, Decimal] = {"m": Decimal("0.001")}
SUFFIXES |= {name: Decimal(1000**power) for power, name in enumerate(("", "k", "M", "G", "T"))}
SUFFIXES |= {name: Decimal(1024**power) for power, name in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)}
Document = dict[str, Any]


def problems(documents: Sequence[Document]) -> list[str]:
    """A sentence each, with the place; none when all is well."""
    found = [*names(documents), *repeated(documents)]
    for document in documents:
        if document["kind"] == "Deployment":
            found += [*pods(document, documents), *replicas(document, documents)]
        if document["kind"] == "ConfigMap":
            found += variables(document)
        if document["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            found += selects_pods(document, documents)
        if document["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            found += scales(document, documents)
        if document["kind"] in ("Ingress", "HTTPRoute"):
            found += leads_to_services(document, documents)
    return found


def place(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def key_of(document: Document) -> tuple[str, str, str]:
    """Two objects with the same key are the same object of a namespace."""
    return document["apiVersion"].rpartition("/")[0], document["kind"], document["metadata"]["name"]


def of_kind(documents: Sequence[Document], kind: str) -> dict[str, Document]:
    """By name; Knative's Service is not Kubernetes'."""
    core = ("v1", "apps/v1")
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind and one["apiVersion"] in core}


def names(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        name = document["metadata"]["name"]
        if len(name) > 63 or not NAME.fullmatch(name):
            yield f"{place(document)}: a name is at most 63 of a-z, 0-9 and -, and - neither first nor last"
        for label, value in document["metadata"].get("labels", {}).items():
            if len(value) > 63 or not LABEL_VALUE.fullmatch(value):
                yield f"{place(document)}: the label {label} cannot have the value {value!r}"


def repeated(documents: Sequence[Document]) -> Iterator[str]:
    seen = set()
    for document in documents:
        if key_of(document) in seen:
            yield f"{place(document)}: is there twice"
        seen.add(key_of(document))


def variables(document: Document) -> Iterator[str]:
    """A ConfigMap of ours is an environment."""
    for name in document["data"]:
        if not VARIABLE.fullmatch(name):
            yield f"{place(document)}: {name!r} cannot be the name of a variable"


def pods(document: Document, documents: Sequence[Document]) -> Iterator[str]:
    where = place(document)
    wanted = document["spec"]["selector"]["matchLabels"]
    template = document["spec"]["template"]
    if not wanted.items() <= template["metadata"]["labels"].items():
        yield f"{where}: its selector {wanted} does not match its pods' labels"
    spec = template["spec"]
    if spec["serviceAccountName"] not in of_kind(documents, "ServiceAccount"):
        yield f"{where}: the service account {spec['serviceAccountName']} is not among the objects"
    for container in spec["containers"]:
        yield from ports(where, container)
        yield from amounts(where, container.get("resources", {}))
        yield from references(where, container, spec, documents)


def ports(where: str, container: Document) -> Iterator[str]:
    declared = [port["name"] for port in container["ports"]]
    for name in declared:
        if len(name) > 15:
            yield f"{where}: the port name {name} is longer than 15"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        port = container.get(probe, {}).get("httpGet", {}).get("port")
        if isinstance(port, str) and port not in declared:
            yield f"{where}: {probe} asks the port {port}, which the container does not have"


def amounts(where: str, resources: Document) -> Iterator[str]:
    for kind, table in resources.items():
        for name, text in table.items():
            if quantity(text) is None:
                yield f"{where}: {kind}.{name}: {text!r} is not a quantity"
    limits = resources.get("limits", {})
    for name, text in resources.get("requests", {}).items():
        low, high = quantity(text), quantity(limits.get(name, text))
        if low is not None and high is not None and high < low:
            yield f"{where}: limits.{name} {limits[name]} is less than the request {text}"


def quantity(text: str) -> Decimal | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m|k|[KMGT]i|[MGT]|)", text)
    return Decimal(match[1]) * SUFFIXES[match[2]] if match else None


def references(where: str, container: Document, spec: Document, documents: Sequence[Document]) -> Iterator[str]:
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"{where}: it mounts {mount['name']}, which is no volume of the pod"
    wanted = [("Secret", one["secret"]["secretName"]) for one in spec.get("volumes", []) if "secret" in one]
    wanted += [("Secret", one["name"]) for one in spec.get("imagePullSecrets", [])]
    for source in container.get("envFrom", []):
        kind = "ConfigMap" if "configMapRef" in source else "Secret"
        wanted.append((kind, next(iter(source.values()))["name"]))
    for kind, name in wanted:
        if name not in of_kind(documents, kind):
            yield f"{where}: the {kind} {name} is not among the objects"


def replicas(document: Document, documents: Sequence[Document]) -> Iterator[str]:
    name = document["metadata"]["name"]
    scalers = [one for one in documents if "scaleTargetRef" in one.get("spec", {})]
    mine = [one for one in scalers if one["spec"]["scaleTargetRef"]["name"] == name]
    if mine and "replicas" in document["spec"]:
        yield f"{place(document)}: it sets replicas, which belong to {place(mine[0])}"
    if not mine and "replicas" not in document["spec"]:
        yield f"{place(document)}: neither it nor an autoscaler says how many replicas"
    if len(mine) > 1:
        yield f"{place(document)}: {len(mine)} autoscalers fight over it"


def selects_pods(document: Document, documents: Sequence[Document]) -> Iterator[str]:
    spec = document["spec"]
    selector = spec.get("selector") or spec.get("podSelector") or {}
    if document["apiVersion"] not in ("v1", "policy/v1", "networking.k8s.io/v1"):
        return
    wanted = selector.get("matchLabels", selector)
    matching = [
        one
        for one in of_kind(documents, "Deployment").values()
        if wanted.items() <= one["spec"]["template"]["metadata"]["labels"].items()
    ]
    if not matching:
        yield f"{place(document)}: its selector {wanted} matches no pods"
        return
    containers = matching[0]["spec"]["template"]["spec"]["containers"]
    names = {port["name"] for container in containers for port in container["ports"]}
    for port in spec.get("ports", []):
        if isinstance(port.get("targetPort"), str) and port["targetPort"] not in names:
            yield f"{place(document)}: its port leads to {port['targetPort']}, which the pods do not have"


def scales(document: Document, documents: Sequence[Document]) -> Iterator[str]:
    spec = document["spec"]
    name = spec["scaleTargetRef"]["name"]
    if name not in of_kind(documents, "Deployment"):
        yield f"{place(document)}: it scales the Deployment {name}, which is not among the objects"
    low = spec.get("minReplicas", spec.get("minReplicaCount", 1))
    high = spec.get("maxReplicas", spec.get("maxReplicaCount", low))
    if low > high:
        yield f"{place(document)}: at least {low} replicas are more than at most {high}"


def leads_to_services(document: Document, documents: Sequence[Document]) -> Iterator[str]:
    """Only what belongs to this service: other versions of an endpoint are applied on their own."""
    services = of_kind(documents, "Service")
    for name, port in backends(document):
        if name in services:
            ports = services[name]["spec"]["ports"]
            if port not in {one["name"] for one in ports} | {one["port"] for one in ports}:
                yield f"{place(document)}: the Service {name} has no port {port}"


def backends(document: Document) -> Iterator[tuple[str, int | str]]:
    for rule in document["spec"]["rules"]:
        for backend in rule.get("backendRefs", []):
            yield backend["name"], backend["port"]
        for path in rule.get("http", {}).get("paths", []):
            service = path["backend"]["service"]
            yield service["name"], next(iter(service["port"].values()))


IMMUTABLE = {
    "Deployment": ("spec", "selector"),
    "Secret": ("type",),
}


def refused_changes(live: Document, wanted: Document) -> list[str]:
    """What an update of the live object would be refused for."""
    path = IMMUTABLE.get(wanted["kind"])
    if path is None:
        return []
    before, after = live, wanted
    for name in path:
        before, after = before.get(name, {}), after.get(name, {})
    if before == after:
        return []
    return [f"{place(wanted)}: {'.'.join(path)} cannot change, from {before} to {after}; delete the object first"]
