"""The blobs of an image, found by following its documents: index, manifests, configurations, layers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scoring_runtime.deploy.images.oci import Descriptor, Document, Platform, is_index
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.blobs import Blobs

__all__ = ["children", "every_blob", "of_platform", "read_document"]


def read_document(data: bytes, name: str) -> Document:
    """Raises PackagingError for what is no JSON object."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise PackagingError(
            f"{name} is no JSON document: {error}. The image is damaged; export or push it anew."
        ) from None
    if not isinstance(document, dict):
        raise PackagingError(f"{name} is no JSON object. The image is damaged; export or push it anew.")
    return document


def children(document: Document) -> list[Descriptor]:
    """What it names: the manifests of an index; the configuration and the layers of a manifest."""
    if is_index(document):
        return descriptors(document.get("manifests", []))
    if "config" not in document:
        raise PackagingError(
            f"Expected an image's manifest or index, got a document with {', '.join(sorted(document)) or 'nothing'} in "
            "it. Images in formats older than 2017 cannot be used: push it anew."
        )
    return descriptors([document["config"], *sequence(document.get("layers", []))])


def descriptors(found: object) -> list[Descriptor]:
    return [Descriptor.of(one if isinstance(one, dict) else {"": one}) for one in sequence(found)]


def sequence(found: object) -> list[object]:
    """Raises PackagingError for what is no list."""
    if not isinstance(found, list):
        raise PackagingError(f"Expected a list of descriptors in an image's document, got {found!r}. Push it anew.")
    return found


def every_blob(blobs: Blobs, descriptor: Descriptor) -> Iterator[Descriptor]:
    """Children before what names them, so that who copies in this order has nothing dangling."""
    document = read_document(blobs.read(descriptor.digest[7:]), descriptor.digest)
    for child in children(document):
        if is_index(document):
            yield from every_blob(blobs, child)
        else:
            yield child
    yield descriptor


def of_platform(index: Document, platform: Platform | None, name: str) -> Descriptor:
    """The manifest for the platform, else for this machine, else the only one. Raises PackagingError."""
    there = {one.platform: one for one in children(index) if one.platform}
    wanted = platform or Platform.here()
    for known, descriptor in there.items():
        if known and (known == wanted or (known.os, known.architecture) == (wanted.os, wanted.architecture)):
            return descriptor
    alone = children(index)
    if len(alone) == 1 and (platform is None or not there):
        return alone[0]
    listed = ", ".join(sorted(map(str, there))) or "none that is named"
    raise PackagingError(f"{name} has no image for {wanted}; there are: {listed}. Name one of these with --platform.")
