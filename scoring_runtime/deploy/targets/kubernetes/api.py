"""The API of a cluster, reached as a kubeconfig says: read, apply on the server's side, delete, logs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster
from scoring_runtime.deploy.targets.kubernetes.kinds import place_of
from scoring_runtime.deploy.targets.kubernetes.labels import MANAGER
from scoring_runtime.errors import TargetError

__all__ = ["Api", "Conflict", "Forbidden"]

SECONDS = 30
TRIES = 5
BUSY = (429, 502, 503, 504)
LONGEST_SECONDS = 10.0
APPLY = {"Content-Type": "application/apply-patch+yaml"}  # JSON is YAML
Document = dict[str, Any]


class Api:
    """One namespace of one cluster. Raises TargetError for whatever the cluster refuses."""

    def __init__(self, cluster: Cluster, namespace: str = "") -> None:
        try:
            from lightkube import KubeConfig
            from lightkube.config.client_adapter import Client, ConnectionParams
            from lightkube.core.exceptions import ConfigError
        except ImportError:
            raise TargetError("To talk to a cluster: pip install 'scoring-runtime[kubernetes]'") from None
        self.config_error = ConfigError
        try:
            config = chosen(KubeConfig, cluster)
            self.http: Any = Client(config, ConnectionParams(trust_env=True))
        except (ConfigError, KeyError, OSError, ValueError) as error:
            raise TargetError(
                f"The kubeconfig {cluster.kubeconfig or '(KUBECONFIG)'} with the context "
                f"{cluster.context or '(the current one)'} cannot be used: {error}. See: kubectl config get-contexts"
            ) from None
        self.library: Any = sys.modules[type(self.http).__module__.partition(".")[0]]  # httpx, or what took its place
        self.server = str(config.cluster.server)
        self.namespace = namespace or cluster.namespace or config.namespace
        self.force = cluster.force

    def close(self) -> None:
        self.http.close()

    def call(
        self, method: str, path: str, what: str, query: Mapping[str, Any] | None = None, body: Document | None = None
    ) -> Any:
        """The answer. None for 404 of a GET or DELETE: it is not there, or the cluster does not know its kind."""
        answer = self.ask(method, path, query, body)
        for _ in range(TRIES - 1):  # whatever is asked here may be asked twice
            seconds = busy_seconds(answer)
            if seconds is None:
                break
            time.sleep(seconds)
            answer = self.ask(method, path, query, body)
        if answer.status_code == 404 and method in ("GET", "DELETE"):
            return None
        if answer.status_code >= 400:
            raise refusal(self, what, answer)
        return answer

    def ask(self, method: str, path: str, query: Mapping[str, Any] | None, body: Document | None) -> Any:
        content = None if body is None else json.dumps(body)
        headers = APPLY if method == "PATCH" else {}
        try:
            return self.http.request(
                method, path, params=dict(query or {}), content=content, headers=headers, timeout=SECONDS
            )
        except self.config_error as error:
            raise TargetError(f"The login to {self.server} failed: {error}.") from None
        except self.library.HTTPError as error:
            raise TargetError(
                f"The cluster at {self.server} does not answer ({error or type(error).__name__}). "
                "Try: kubectl cluster-info"
            ) from None

    def read(self, version: str, kind: str, name: str) -> Document | None:
        path = place_of(version, kind, self.namespace, name)
        answer = self.call("GET", path, f"read {kind} {name}")
        return None if answer is None else dict(answer.json())

    def list(self, version: str, kind: str, labels: str = "", fields: str = "") -> list[Document]:
        query = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
        answer = self.call("GET", place_of(version, kind, self.namespace), f"list {kind}s", query)
        return (
            [] if answer is None else [{"apiVersion": version, "kind": kind, **one} for one in answer.json()["items"]]
        )

    def apply(self, document: Document, dry_run: bool = False, force: bool = False, manager: str = MANAGER) -> Document:
        """As we want it, whatever is there; fields of other managers stay theirs. What the cluster made of it."""
        name = document["metadata"]["name"]
        query = {"fieldManager": manager, "force": str(force or self.force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        place = place_of(document["apiVersion"], document["kind"], self.namespace, name)
        return dict(self.call("PATCH", place, f"apply {document['kind']} {name}", query, document).json())

    def delete(self, document: Document) -> None:
        """Also one that is gone already."""
        name = document["metadata"]["name"]
        place = place_of(document["apiVersion"], document["kind"], self.namespace, name)
        self.call("DELETE", place, f"delete {document['kind']} {name}", {"propagationPolicy": "Background"})

    def logs(self, pod: str, container: str, lines: int, previous: bool = False) -> str:
        """Empty where there is none yet."""
        query = {"container": container, "tailLines": lines, "previous": str(previous).lower()}
        path = place_of("v1", "Pod", self.namespace, pod) + "/log"
        try:
            answer = self.call("GET", path, f"read the log of {pod}", query)
        except Waiting:
            return ""
        return "" if answer is None else str(answer.text)

    def needs_namespace(self) -> None:
        """Who may not look at namespaces finds out when applying."""
        try:
            answer = self.call("GET", f"/api/v1/namespaces/{self.namespace}", f"read the namespace {self.namespace}")
        except Forbidden:
            return
        if answer is None:
            raise TargetError(
                f"The cluster at {self.server} has no namespace {self.namespace!r}. "
                f"Make it: kubectl create namespace {self.namespace}"
            )


class Forbidden(TargetError):
    """403: the right is missing."""


class Conflict(TargetError):
    """409: fields are managed by others."""

    def __init__(self, message: str, causes: Mapping[str, str]) -> None:
        super().__init__(message)
        self.causes = causes  # field -> who has it, in the server's words


class Waiting(TargetError):
    """400: there is no container yet that could have a log."""


def busy_seconds(answer: Any) -> float | None:
    """When to ask again, of an API server that is overloaded, restarting, or changing its leader; else None."""
    after = answer.headers.get("Retry-After", "")
    if answer.status_code not in BUSY and not (answer.status_code >= 500 and after):
        return None
    return min(float(after), LONGEST_SECONDS) if after.isdigit() else 1.0


def refusal(api: Api, what: str, answer: Any) -> TargetError:
    """The server's message, with what to do for those that have a usual cause."""
    try:
        said = answer.json()
        message = str(said["message"])
    except (ValueError, KeyError, TypeError):
        said, message = {}, str(answer.text)[:500]
    text = f"The cluster at {api.server} could not {what}: {message}"
    if answer.status_code == 401:
        return TargetError(f"{text}. The login has expired or is wrong: log in again, then: kubectl auth whoami")
    if answer.status_code == 403 and "exceeded quota" in message:
        return TargetError(f"OutOfQuota: {text}. See: kubectl describe quota --namespace {api.namespace}")
    if answer.status_code == 403:
        return Forbidden(f"{text}. See: kubectl auth can-i --list --namespace {api.namespace}")
    if answer.status_code == 409:
        causes = (said.get("details") or {}).get("causes") or []
        return Conflict(
            f"{text}. Another one manages these fields; let go of them there, or attach with force=True.",
            {str(one.get("field")): str(one.get("message")) for one in causes},
        )
    if answer.status_code == 404:
        return TargetError(f"{text}. The cluster does not know this kind: its controller is not installed.")
    return Waiting(text) if answer.status_code == 400 else TargetError(text)


def chosen(kube_config: Any, cluster: Cluster) -> Any:
    """The context of the kubeconfig, or in a pod its service account."""
    path = cluster.kubeconfig or os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0]
    default = os.path.expanduser("~/.kube/config")
    if not path and not os.path.exists(default):
        return kube_config.from_service_account().get(cluster.context or None)
    return kube_config.from_file(path or default).get(cluster.context or None)
