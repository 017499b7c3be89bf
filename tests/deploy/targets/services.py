"""Services as the verbs hand them to a target, and the documents that are kept to be read in review."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoring_runtime.deploy.services.deployment_config import AciDeployment, AksDeployment, IotDeployment
from scoring_runtime.deploy.services.service import Secrets, Service

GOLDEN = Path(__file__).parent / "golden"
KEYS = Secrets(primary_key="first-key-of-the-service", secondary_key="second-key-of-the-service")
TLS = Secrets(tls_certificate="-----BEGIN CERTIFICATE-----\nMII=\n", tls_key="-----BEGIN PRIVATE KEY-----\nMII=\n")


def aks(*, secrets: Secrets = KEYS, environ: dict[str, str] | None = None, **fields: Any) -> Service:
    return Service(
        name="iris",
        compute_type="aks",
        revision=3,
        deployment=AksDeployment(**fields),
        image="registry.example/iris:7",
        models=("iris:1",),
        environ=environ or {},
        auth="key" if secrets.primary_key else "none",
        secrets=secrets,
        description="Which iris it is.",
        tags={"team": "flowers"},
    )


def aci(*, secrets: Secrets = Secrets(), environ: dict[str, str] | None = None, **fields: Any) -> Service:
    service = aks(secrets=secrets, environ=environ)
    return replace(service, compute_type="aci", deployment=AciDeployment(**fields))


def assert_golden(name: str, text: str) -> None:
    """Equal to the kept document; SCORING_GOLDEN=write keeps what there is now, for review."""
    path = GOLDEN / name
    if os.environ.get("SCORING_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, "if this is right: SCORING_GOLDEN=write pytest tests/deploy/targets"


def iot(*, secrets: Secrets = Secrets(), environ: dict[str, str] | None = None, **fields: Any) -> Service:
    service = aks(secrets=secrets, environ=environ)
    return replace(service, compute_type="iot", deployment=IotDeployment(**{"device_id": "camera-1", **fields}))
