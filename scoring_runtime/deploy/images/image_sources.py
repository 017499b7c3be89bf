"""Where an image may come from, all alike: a layout, an archive, a registry. Blobs are checked as they come."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from scoring_runtime.deploy.images.credentials import Credentials
from scoring_runtime.deploy.images.distribution import Repository
from scoring_runtime.deploy.images.image_graph import of_platform, read_document
from scoring_runtime.deploy.images.layout import Files
from scoring_runtime.deploy.images.oci import INDEX, MANIFEST, Descriptor, Document, Platform, is_index
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.deploy.workspaces.disk import room_for
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.blobs import Adding

__all__ = ["Access", "LayoutSource", "RegistrySource", "Source", "take_blob", "take_manifest"]

CHUNK = 1 << 20
MANIFEST_BYTES = 4 << 20


@dataclass(frozen=True)
class Access:
    """How to speak to registries. Without credentials those of docker and podman are used."""

    credentials: Credentials | None = None
    insecure: bool = False
    ca_file: str | None = None

    def repository(self, reference: Reference) -> Repository:
        return Repository(reference, self.credentials, self.insecure, self.ca_file)


class Source(Protocol):
    """An image that is not in the workspace yet."""

    name: str
    parallel: bool  # whether several blobs may be fetched at once

    def root(self) -> tuple[bytes, str]:
        """The index or manifest that stands for the image, and its media type."""
        ...

    def document(self, descriptor: Descriptor) -> bytes: ...

    def fetch(self, descriptor: Descriptor, sink: Any, meter: Callable[[int], None]) -> None:
        """Write the blob. Raises if it is not what the descriptor says."""
        ...


class RegistrySource:
    parallel = True

    def __init__(self, reference: Reference, access: Access) -> None:
        self.name = str(reference)
        self.reference = reference
        self.repository = access.repository(reference)

    def root(self) -> tuple[bytes, str]:
        return self.repository.manifest()

    def document(self, descriptor: Descriptor) -> bytes:
        return self.repository.manifest(descriptor.digest)[0]

    def fetch(self, descriptor: Descriptor, sink: Any, meter: Callable[[int], None]) -> None:
        self.repository.fetch_blob(descriptor.digest, descriptor.size, sink, meter)


class LayoutSource:
    """An OCI layout, or the part of it that a tag names."""

    parallel = False  # a tar file has one position

    def __init__(self, files: Files, tag: str = "") -> None:
        self.name = files.where + (f":{tag}" if tag else "")
        self.files = files
        self.tag = tag

    def root(self) -> tuple[bytes, str]:
        with self.files.open("index.json") as file:
            data = file.read(MANIFEST_BYTES)
        index = read_document(data, f"{self.name}: index.json")
        entries = index.get("manifests", [])
        tags = {one.get("annotations", {}).get("org.opencontainers.image.ref.name", ""): one for one in entries}
        if self.tag:
            if self.tag not in tags:
                raise PackagingError(f"{self.files.where} has no {self.tag}; there are: {', '.join(sorted(tags))}.")
            entries = [tags[self.tag]]
        if len(entries) != 1:
            if any(one.get("platform") for one in entries):
                return data, INDEX
            raise PackagingError(
                f"{self.name} holds {len(entries)} images: {', '.join(sorted(tags))}. Name one: {self.files.where}:TAG"
            )
        descriptor = Descriptor.of(entries[0])
        return self.document(descriptor), descriptor.media_type or MANIFEST

    def document(self, descriptor: Descriptor) -> bytes:
        with self.open(descriptor) as file:
            data = file.read(MANIFEST_BYTES)
        check(self.name, descriptor, len(data), hashlib.sha256(data).hexdigest())
        return data

    def open(self, descriptor: Descriptor) -> IO[bytes]:
        return self.files.open(f"blobs/sha256/{descriptor.digest[7:]}")

    def fetch(self, descriptor: Descriptor, sink: Any, meter: Callable[[int], None]) -> None:
        hashed, size = hashlib.sha256(), 0
        with self.open(descriptor) as file:
            while chunk := file.read(CHUNK):
                sink.write(chunk)
                hashed.update(chunk)
                size += len(chunk)
                meter(len(chunk))
        check(self.name, descriptor, size, hashed.hexdigest())


def check(name: str, descriptor: Descriptor, size: int, sha256: str) -> None:
    if (size, f"sha256:{sha256}") != (descriptor.size, descriptor.digest):
        raise PackagingError(
            f"{name}: expected blob {descriptor.digest} of {descriptor.size} bytes, got {size} with sha256:{sha256}. "
            "The image is damaged; export it anew."
        )


def take_blob(adding: Adding, source: Source, descriptor: Descriptor, meter: Callable[[int], None]) -> bool:
    """Into the workspace, unless it is there; whether it was not."""
    target = adding.blobs.path(descriptor.digest[7:])
    if os.path.exists(target) and os.path.getsize(target) == descriptor.size:
        return False
    path = os.path.join(adding.folder, uuid.uuid4().hex[:12])
    try:
        with room_for(adding.blobs.storage.where, descriptor.size), open(path, "w+b") as sink:
            source.fetch(descriptor, sink, meter)
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(path, target)
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return True


def take_manifest(source: Source, platform: Platform | None) -> tuple[Document, bytes]:
    """The manifest for one platform, chosen out of an index if the source has several."""
    data, _ = source.root()
    document = read_document(data, source.name)
    while is_index(document):
        data = source.document(of_platform(document, platform, source.name))
        document = read_document(data, source.name)
    return document, data
