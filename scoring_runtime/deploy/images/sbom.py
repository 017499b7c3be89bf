"""What is in an image, as a CycloneDX 1.6 document: packages with their hashes, models with their files, the base."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from scoring_runtime.deploy.images.oci import Document

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.lock import Lock, LockedPackage
    from scoring_runtime.deploy.environments.packaging import PackagedModel

__all__ = ["SBOM_TYPE", "sbom"]

SBOM_TYPE = "application/vnd.cyclonedx+json"


def sbom(
    title: str, lock: Lock | None, models: tuple[PackagedModel, ...], base_name: str, base_digest: str, seconds: int
) -> bytes:
    """Equal inputs give equal bytes; the number that must be unique derives from the content."""
    components = [
        *([base(base_name, base_digest)] if base_digest else []),
        *(library(package) for package in (lock.packages if lock else ())),
        *(model_of(model) for model in models),
    ]
    document: Document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "container", "name": title, "bom-ref": "image"},
        },
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": [str(one["bom-ref"]) for one in components]}],
    }
    content = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    document["serialNumber"] = uuid.UUID(bytes=content[:16], version=4).urn
    return json.dumps(document, indent=1, sort_keys=True).encode()


def base(name: str, digest: str) -> Document:
    return {
        "type": "container",
        "bom-ref": "base",
        "name": name or "base",
        "version": digest,
        "hashes": [sha256(digest[7:])],
    }


def library(package: LockedPackage) -> Document:
    purl = f"pkg:pypi/{package.name.lower()}@{package.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "hashes": [sha256(package.sha256)],
    }


def model_of(model: PackagedModel) -> Document:
    result: Document = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.id}",
        "name": model.name,
        "version": str(model.version),
    }
    files = [
        {"type": "file", "name": file.path, "hashes": [sha256(file.sha256)]} for file in model.files if file.sha256
    ]
    return {**result, "components": files} if files else result


def sha256(content: str) -> Document:
    return {"alg": "SHA-256", "content": content}
