"""ConfigMap and Secrets: the environment of the server, its keys, its certificate, and what pulls its image."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.kubernetes.labels import metadata, named

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.container import Container
    from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster

__all__ = ["config_documents", "hidden"]

Document = dict[str, Any]


def config_documents(service: Service, cluster: Cluster, container: Container) -> list[Document]:
    """Only those with something in them."""
    result = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(service, cluster, named(service.name, "environment")),
            "data": {"HOME": "/tmp", **container.environ},  # the one place that can be written
        }
    ]
    certificate = {"tls.crt": service.secrets.tls_certificate, "tls.key": service.secrets.tls_key}
    secrets = (
        ("environment", "Opaque", container.secret_environ),
        ("keys", "Opaque", container.keys),
        ("tls", "kubernetes.io/tls", certificate if service.secrets.tls_certificate else {}),
        ("registry", "kubernetes.io/dockerconfigjson", registry(service)),
    )
    for suffix, kind, data in secrets:
        if data:
            result.append(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": metadata(service, cluster, named(service.name, suffix)),
                    "type": kind,
                    "data": {name: base64.b64encode(text.encode()).decode() for name, text in sorted(data.items())},
                }
            )
    return result


def registry(service: Service) -> dict[str, str]:
    """A docker config that logs in to each registry."""
    logins = {
        address: {
            "username": user,
            "password": password,
            "auth": base64.b64encode(f"{user}:{password}".encode()).decode(),
        }
        for address, (user, password) in sorted(service.secrets.registries.items())
    }
    return {".dockerconfigjson": json.dumps({"auths": logins}, sort_keys=True)} if logins else {}


def hidden(document: Document) -> Document:
    """The document with stars for the values of a Secret, to be shown."""
    if document["kind"] != "Secret":
        return document
    return {**document, "data": dict.fromkeys(document["data"], "***")}
