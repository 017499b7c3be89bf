"""A service as it is recorded: one document a revision, and its secrets in files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scoring_runtime.deploy.services.deployment_file import from_record, record_of

__all__ = ["Secrets", "Service", "Version", "document_of", "service_of"]


@dataclass(frozen=True)
class Secrets:
    """Kept in files of mode 0600, never in the record; repr shows none of them."""

    primary_key: str = field(default="", repr=False)
    secondary_key: str = field(default="", repr=False)
    token_key: str = field(default="", repr=False)
    tls_certificate: str = field(default="", repr=False)  # PEM text
    tls_key: str = field(default="", repr=False)
    registries: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)  # address -> user, password


@dataclass(frozen=True)
class Version:
    """One version of an endpoint, as the endpoint knows it."""

    service: str  # what it is called as a service
    traffic: int = 0  # percent; what nobody is given goes to the default one
    is_default: bool = False
    is_control: bool = False  # that the others are compared with


@dataclass(frozen=True)
class Service:
    """One revision of a service; an update or a rollback makes another one."""

    name: str
    compute_type: str  # local, aci, aks, iot: the key of the table of targets
    revision: int
    deployment: Any  # a LocalDeployment, AciDeployment, ... of deployment_config.py
    image: str = ""  # "name:1" in the workspace, or a reference that the host can pull
    models: tuple[str, ...] = ()  # "name:version"
    inference: Mapping[str, Any] = field(default_factory=dict)  # an inferenceconfig.json
    environ: Mapping[str, str] = field(default_factory=dict)  # for the server: Settings.to_environ() and the user's own
    auth: str = "none"  # none, key, token
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    created: str = ""  # ISO 8601, UTC
    updated: str = ""
    part_of: str = ""  # the endpoint that it is a version of
    versions: Mapping[str, Version] = field(default_factory=dict)  # of an endpoint, when it has been given several
    app: int = 0  # the revision whose files it runs; of a rollback an older one than its own
    secrets: Secrets = field(default_factory=Secrets, repr=False, compare=False)


PLAIN = ("name", "compute_type", "revision", "image", "auth", "description", "created", "updated", "app", "part_of")


def document_of(service: Service) -> dict[str, Any]:
    """Its record. No secret is in it."""
    return {
        **{name: getattr(service, name) for name in PLAIN},
        "deployment": record_of(service.deployment),
        "models": list(service.models),
        "inference": dict(service.inference),
        "environ": dict(service.environ),
        "tags": dict(service.tags),
        "properties": dict(service.properties),
        "versions": {name: asdict(version) for name, version in service.versions.items()},
    }


def service_of(document: Mapping[str, Any], secrets: Secrets) -> Service:
    return Service(
        **{name: document[name] for name in PLAIN if name in document},
        deployment=from_record(document["deployment"]),
        models=tuple(document.get("models", ())),
        inference=document.get("inference", {}),
        environ=document.get("environ", {}),
        tags=document.get("tags", {}),
        properties=document.get("properties", {}),
        versions={name: Version(**version) for name, version in document.get("versions", {}).items()},
        secrets=secrets,
    )
