"""The documents of an image (OCI image format 1.1) as plain values: descriptors, configuration, manifest, index."""

from __future__ import annotations

import hashlib
import json
import platform as machine
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scoring_runtime.errors import PackagingError

__all__ = [
    "CONFIG",
    "DOCKER_INDEX",
    "DOCKER_MANIFEST",
    "INDEX",
    "LAYER",
    "MANIFEST",
    "Descriptor",
    "Document",
    "Platform",
    "digest_of",
    "encoded",
    "index_document",
    "is_index",
    "is_layer",
    "manifest_document",
]

Document = dict[str, Any]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

# Docker's layers are the same bytes under another name: an image of ours has the OCI name for all of them.
OCI_NAMES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.container.image.v1+json": CONFIG,
}
LAYER_NAMES = {LAYER, "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+zstd"}

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True)
class Platform:
    """Written as `linux/amd64` or `linux/arm/v7`."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        if not re.fullmatch(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?", text):
            raise PackagingError(
                f"A platform is written as os/architecture, like linux/amd64 or linux/arm64, got {text!r}."
            )
        os, architecture, variant = (*text.split("/"), "")[:3]
        architecture = MACHINES.get(architecture, architecture)
        return cls(os, architecture, "" if (architecture, variant) == ("arm64", "v8") else variant)

    @classmethod
    def here(cls) -> Platform:
        name = machine.machine()
        return cls(architecture=MACHINES.get(name, name))

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Platform:
        """From a configuration, or from the platform of a descriptor."""
        os, architecture = document.get("os") or "linux", document.get("architecture") or "amd64"
        return cls.parse("/".join(part for part in (os, architecture, document.get("variant")) if part))

    def document(self) -> Document:
        parts = {"os": self.os, "architecture": self.architecture, "variant": self.variant}
        return {key: value for key, value in parts.items() if value}


@dataclass(frozen=True)
class Descriptor:
    """What a document says of a blob."""

    media_type: str
    digest: str  # sha256:<hex>
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Descriptor:
        """From a manifest or an index, of which nothing is believed before it is checked."""
        digest, size = document.get("digest"), document.get("size")
        if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest) or not isinstance(size, int):
            raise PackagingError(f"Expected a descriptor with a sha256 digest and a size, got {dict(document)}.")
        media_type = str(document.get("mediaType", ""))
        place = document.get("platform")
        known = isinstance(place, dict) and place.get("architecture") not in (None, "unknown")
        return cls(
            OCI_NAMES.get(media_type, media_type),
            digest,
            size,
            document.get("annotations") or {},
            Platform.of(place) if known and place else None,
            document.get("artifactType", ""),
        )

    @classmethod
    def to(cls, media_type: str, data: bytes, platform: Platform | None = None) -> Descriptor:
        return cls(media_type, digest_of(data), len(data), platform=platform)

    def document(self) -> Document:
        result: Document = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            result["artifactType"] = self.artifact_type
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        if self.platform:
            result["platform"] = self.platform.document()
        return result


def encoded(document: Mapping[str, Any]) -> bytes:
    """One way of writing a document, so that the same document has the same digest."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest_document(
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str] | None = None,
    artifact_type: str = "",
    subject: Descriptor | None = None,
) -> Document:
    document: Document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.document(),
        "layers": [layer.document() for layer in layers],
    }
    if artifact_type:
        document["artifactType"] = artifact_type
    if subject:
        document["subject"] = subject.document()
    if annotations:
        document["annotations"] = dict(annotations)
    return document


def index_document(manifests: Iterable[Descriptor]) -> Document:
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [one.document() for one in manifests]}


def is_index(document: Mapping[str, Any]) -> bool:
    return document.get("mediaType") in (INDEX, DOCKER_INDEX) or "manifests" in document


def is_layer(descriptor: Descriptor) -> bool:
    return descriptor.media_type in LAYER_NAMES
