"""A stand-in for a cluster's API over HTTP: it keeps objects, and refuses what a real one refuses.

Schemas are the official ones; server-side apply keeps who manages which field, and selectors cannot change.
It runs no pods: tests put their statuses, as kubelet and controllers would.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import kubernetes_validate
import yaml

from scoring_runtime.deploy.targets.kubernetes.kinds import KINDS, OTHERS

Document = dict[str, Any]
PLURALS = {(version, plural): kind for (version, kind), plural in {**KINDS, **OTHERS}.items()}


class Refused(Exception):
    def __init__(self, code: int, message: str, causes: list[Document] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.causes = causes or []


class Cluster:
    """What the API server knows."""

    def __init__(self, version: str = "1.33") -> None:
        self.version = version
        self.namespaces = {"ml"}
        self.objects: dict[tuple[str, str, str, str], Document] = {}  # version, plural, namespace, name
        self.managers: dict[tuple[str, str, str, str], dict[str, set[str]]] = {}  # manager -> leaves
        self.tokens = {"token"}
        self.forbidden: set[tuple[str, str]] = set()  # method, plural
        self.full: set[str] = set()  # plurals of which a quota allows no more
        self.missing: set[str] = set()  # groups whose controllers are not installed
        self.logs: dict[tuple[str, bool], str] = {}
        self.unreachable: set[str] = set()  # pods on nodes whose kubelet does not answer
        self.requests: list[str] = []
        self.changes = 0
        self.rolls_out = False  # whether every Deployment is there at once
        self.busy: list[int] = []  # what the next requests are answered, before they are looked at
        self.cuts = 0  # how many more connections are closed without an answer

    def put(self, document: Document, namespace: str = "ml") -> None:
        plural = {**KINDS, **OTHERS}[document["apiVersion"], document["kind"]]
        self.objects[document["apiVersion"], plural, namespace, document["metadata"]["name"]] = document

    def get(self, kind: str, name: str, namespace: str = "ml") -> Document | None:
        for (_, _, place, known), document in self.objects.items():
            if (document["kind"], place, known) == (kind, namespace, name):
                return document
        return None

    @property
    def names(self) -> list[str]:
        return sorted(f"{document['kind']} {key[3]}" for key, document in self.objects.items())

    def apply(self, key: tuple[str, str, str, str], wanted: Document, manager: str, force: bool, dry: bool) -> Document:
        _, plural, namespace, name = key
        if wanted["metadata"]["name"] != name or wanted["metadata"].get("namespace", namespace) != namespace:
            raise Refused(400, "the name of the object does not match the name on the URL")
        live = self.objects.get(key)
        made = {name: value for name, value in (live or {}).items() if name != "status"}
        if message := complaint(json.dumps(merge(copy.deepcopy(made), wanted)), self.version):
            raise Refused(422, f"{wanted['kind']} {name} is invalid: {message}")
        if live is not None and plural == "deployments" and selector_of(wanted, live) != selector_of(live):
            raise Refused(422, f'Deployment.apps "{name}" is invalid: spec.selector: field is immutable')
        mine, owners = (
            dict(leaves(wanted)),
            self.managers.setdefault(key, {}) if not dry else self.managers.get(key, {}),
        )
        for other, paths in owners.items():
            taken = [path for path in mine if other != manager and path in paths and value_at(live, path) != mine[path]]
            if taken and not force:
                text = f'conflict with "{other}"'
                causes = [{"field": path.replace("/", "."), "message": text} for path in taken]
                raise Refused(409, f"Apply failed with {len(taken)} conflict: {text}: {taken[0]}", causes)
        result = merge(copy.deepcopy(live or {}), wanted)
        for path in owners.get(manager, set()) - mine.keys():
            if not any(path in paths for other, paths in owners.items() if other != manager):
                remove(result, path)
        if plural == "deployments":
            result["spec"].setdefault("replicas", 1)  # also where the last one who said a number says it no more
        if dry:
            return result
        for other, paths in owners.items():
            if other != manager and force:
                paths -= {path for path in mine if path in paths and value_at(live, path) != mine[path]}
        self.managers.setdefault(key, {})[manager] = set(mine)
        result["metadata"]["managedFields"] = [
            {"manager": other, "operation": "Apply", "fieldsV1": fields(paths)} for other, paths in owners.items()
        ]
        if result != live:
            self.changes += 1
            result["metadata"]["generation"] = result["metadata"].get("generation", 0) + 1
            self.objects[key] = result
        if self.rolls_out and plural == "deployments":
            ready = result["spec"].get("replicas", 1)
            counts = dict.fromkeys(("readyReplicas", "updatedReplicas", "availableReplicas"), ready)
            self.objects[key]["status"] = {"observedGeneration": result["metadata"]["generation"], **counts}
        return self.objects[key]

    def scale(self, name: str, replicas: int, manager: str = "kube-controller-manager", namespace: str = "ml") -> None:
        """As an autoscaler does it, or `kubectl scale`: an update, which takes the field from whoever had it."""
        key = ("apps/v1", "deployments", namespace, name)
        self.objects[key]["spec"]["replicas"] = replicas
        for paths in self.managers[key].values():
            paths.discard("/spec/replicas")
        self.managers[key].setdefault(manager, set()).add("/spec/replicas")
        self.objects[key]["metadata"]["managedFields"] = [
            {"manager": other, "fieldsV1": fields(paths)} for other, paths in self.managers[key].items()
        ]


def selector_of(document: Document, other: Document | None = None) -> Any:
    return document["spec"].get("selector", (other or {}).get("spec", {}).get("selector"))


def fields(paths: set[str]) -> Document:
    """As managedFields has them."""
    result: Document = {}
    for path in sorted(paths):
        inner = result
        for name in path.split("/")[1:]:
            inner = inner.setdefault(f"f:{name.replace('~1', '/')}", {})
    return result


@cache
def complaint(document: str, version: str) -> str:
    """Of the official schemas; empty for an object that fits, or of a kind that has none there."""
    try:
        kubernetes_validate.validate(json.loads(document), version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return ""
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A list is one leaf, which is coarser than the real merge by keys."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{path}/{name.replace('/', '~1')}")
    else:
        yield path, value


def value_at(document: Any, path: str) -> Any:
    for name in path.split("/")[1:]:
        document = (document or {}).get(name.replace("~1", "/"))
    return document


def remove(document: Any, path: str) -> None:
    *parents, last = path.split("/")[1:]
    for name in parents:
        document = document.get(name.replace("~1", "/"), {})
    document.pop(last.replace("~1", "/"), None)


def merge(into: Any, wanted: Any) -> Any:
    if not isinstance(into, dict) or not isinstance(wanted, dict):
        return copy.deepcopy(wanted)
    for name, value in wanted.items():
        into[name] = merge(into.get(name), value)
    return into


class Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def log_message(self, *arguments: object) -> None:
        pass

    def serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        if self.cluster.cuts:
            self.cluster.cuts -= 1
            self.close_connection = True
            self.connection.close()
            return
        if self.cluster.busy:
            self.answer(
                self.cluster.busy.pop(0), "the server is currently unable to handle the request", ("Retry-After", "0")
            )
            return
        try:
            if self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.cluster.tokens:
                raise Refused(401, "Unauthorized")
            self.answer(200, self.result(unquote(split.path), query, body))
        except Refused as refused:
            reason = {409: "Conflict", 403: "Forbidden", 404: "NotFound", 401: "Unauthorized"}.get(
                refused.code, "Invalid"
            )
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason}
            details = {"details": {"causes": refused.causes}} if refused.causes else {}
            self.answer(
                refused.code, {**status, **details, "metadata": {}, "message": str(refused), "code": refused.code}
            )

    def do_GET(self) -> None:
        self.serve()

    def do_PATCH(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def answer(self, code: int, value: Any, *headers: tuple[str, str]) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(data)

    def result(self, path: str, query: dict[str, str], body: bytes) -> Any:
        parts = path.strip("/").split("/")
        if "namespaces" not in parts:
            return self.discovery(parts)
        at = parts.index("namespaces")
        version, namespace, rest = "/".join(parts[1:at]), parts[at + 1], parts[at + 2 :]
        if not rest:
            if (self.command, "namespaces") in self.cluster.forbidden:
                raise Refused(403, "namespaces is forbidden")
            if namespace not in self.cluster.namespaces:
                raise Refused(404, f'namespaces "{namespace}" not found')
            return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        self.cluster.requests.append(f"{self.command} {rest[0]}")
        if self.command == "PATCH" and rest[0] in self.cluster.full:
            raise Refused(403, f'{rest[0]} "{rest[1]}" is forbidden: exceeded quota: team, requested: {rest[0]}=1')
        if (self.command, rest[0]) in self.cluster.forbidden:
            raise Refused(403, f'{rest[0]} is forbidden: User "me" cannot {self.command} in "{namespace}"')
        if (version, rest[0]) not in PLURALS or version.partition("/")[0] in self.cluster.missing:
            raise Refused(404, "the server could not find the requested resource")
        if namespace not in self.cluster.namespaces:
            raise Refused(404, f'namespaces "{namespace}" not found')
        return self.of_objects(version, rest, namespace, query, body)

    def of_objects(self, version: str, rest: list[str], namespace: str, query: dict[str, str], body: bytes) -> Any:
        kind, objects = PLURALS[version, rest[0]], self.cluster.objects
        if len(rest) == 1:
            found = [one for key, one in objects.items() if key[:3] == (version, rest[0], namespace)]
            wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
            items = [one for one in found if wanted.items() <= one["metadata"].get("labels", {}).items()]
            return {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": items}
        key = (version, rest[0], namespace, rest[1])
        if self.command == "PATCH":
            if "apply-patch" not in self.headers["Content-Type"]:
                raise Refused(415, "only server-side apply is known here")
            force, dry = query.get("force") == "true", query.get("dryRun") == "All"
            return self.cluster.apply(key, yaml.safe_load(body), query["fieldManager"], force, dry)
        if key not in objects:
            raise Refused(404, f'{rest[0]} "{rest[1]}" not found')
        if rest[2:] == ["log"] and rest[1] in self.cluster.unreachable:
            raise Refused(500, "Get https://10.0.0.2:10250/containerLogs: dial tcp: i/o timeout")
        if rest[2:] == ["log"]:
            text = self.cluster.logs.get((rest[1], query.get("previous") == "true"))
            if text is None:
                raise Refused(400, f'container "{query["container"]}" in pod "{rest[1]}" is waiting to start')
            return "".join(text.splitlines(keepends=True)[-int(query["tailLines"]) :])
        if self.command == "DELETE":
            self.cluster.changes += 1
            del objects[key]
        return objects.get(key, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def discovery(self, parts: list[str]) -> Any:
        """What kubectl asks before it applies."""
        versions = sorted({version for version, _ in PLURALS})
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        if parts == ["apis"]:
            groups = [
                {"name": one.partition("/")[0], "versions": [{"groupVersion": one, "version": one.partition("/")[2]}]}
                for one in versions
                if "/" in one
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        version = "/".join(parts[1:])
        if version not in versions:
            raise Refused(404, "the server could not find the requested resource")
        verbs = ["get", "list", "patch", "delete", "create"]
        resources = [
            {"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
            for (known, plural), kind in PLURALS.items()
            if known == version
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


@contextmanager
def running_cluster(folder: Path, version: str = "1.33") -> Iterator[tuple[Cluster, str]]:
    """The cluster, and the path of a kubeconfig for it."""
    cluster = Cluster(version)
    handler = type("Handler", (Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "token"}}],
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        "current-context": "test",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield cluster, str(path)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
