"""Images of a workspace to registries and files, and from there into it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from scoring_runtime.deploy.images.base_image import kind_of
from scoring_runtime.deploy.images.builder import Built
from scoring_runtime.deploy.images.image_graph import children, read_document
from scoring_runtime.deploy.images.image_record import check_image_name, drafted, recorded, succeeded
from scoring_runtime.deploy.images.image_sources import Access, LayoutSource, RegistrySource, Source
from scoring_runtime.deploy.images.layers import find_in_layer
from scoring_runtime.deploy.images.layout import FolderFiles, TarFiles, write_archive, write_layout
from scoring_runtime.deploy.images.oci import MANIFEST, Descriptor, Platform
from scoring_runtime.deploy.images.recipes import PREFIX
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.deploy.images.sbom import SBOM_TYPE
from scoring_runtime.deploy.images.transfer import Pushed, attach, pull, push
from scoring_runtime.deploy.workspaces.disk import room_for
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.records import Document
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["FORMATS", "export_image", "pull_image", "push_image"]

Progress = Callable[[str], None]
FORMATS = ("oci", "oci-archive", "docker-archive")


def push_image(
    workspace: Workspace, record: Document, target: str, access: Access, with_sbom: bool, progress: Progress
) -> tuple[Reference, Pushed]:
    """To `registry/repository:tag`, or with the image's own name and version below `registry/path/`."""
    whole = f"{target}{record['name']}:{record['version']}" if target.endswith("/") else target
    reference = Reference.parse(whole)
    if not reference.tag:
        raise PackagingError(f"{target} names a digest, and a push needs a tag: registry/repository:tag")
    descriptor = descriptor_of(record)
    repository = access.repository(reference)
    pushed = push(workspace, descriptor, repository, reference.tag, progress)
    if with_sbom:
        for one in record["platforms"]:
            manifest = Descriptor(MANIFEST, one["digest"], one["size"])
            with tempfile.NamedTemporaryFile(prefix="scoring-sbom-") as file:
                file.write(sbom_of(workspace, one["digest"]))
                file.flush()
                attach(repository, manifest, file.name, SBOM_TYPE)
        progress("attached the bill of materials")
    location = f"{reference}@{descriptor.digest}"
    records = workspace.records("images")
    records.change(record["name"], record["version"], lambda document: {**document, "location": location})
    return reference, pushed


def sbom_of(workspace: Workspace, digest: str) -> bytes:
    """That lies in the image. Raises PackagingError where it was not built here."""
    manifest = read_document(workspace.blobs.read(digest[7:]), digest)
    for layer in reversed(children(manifest)[1:]):
        found = find_in_layer(workspace.blobs.path(layer.digest[7:]), f"{PREFIX[1:]}/share/sbom.cdx.json")
        if found is not None:
            return found
    raise PackagingError("The image holds no bill of materials, for it was not built directly. Push it without --sbom.")


def descriptor_of(record: Document) -> Descriptor:
    return Descriptor(record["media_type"], record["digest"], record["manifest_size"])


def pull_image(
    workspace: Workspace, text: str, name: str | None, platform: Platform | None, access: Access, progress: Progress
) -> tuple[str, int]:
    """From a registry, a layout or an OCI archive, as the next version of a name; what it is called."""
    workspace.check_writable("Image.pull")
    kind = kind_of(text)
    if kind in ("docker-archive", "rootfs"):
        raise PackagingError(
            f"{text} is a {kind}, which is not an image as it was built; as a base it can be used: --base {text}"
        )
    name = check_image_name(name or name_in(text, kind))
    with (
        room_for(workspace.folder, 1 << 20),
        recorded(workspace, name, drafted([])) as (version, change),
        workspace.blobs.adding() as adding,
        opened(text, kind, access) as source,
    ):
        root, manifests = pull(adding, source, platform, progress)
        if not manifests:
            raise PackagingError(f"{source.name} is an index without an image. Push or export it anew.")
        built = described(workspace, root, manifests)
        adding.sync()
        change({**succeeded(built), "location": source.name if kind == "registry" else None})
    return name, version


def name_in(text: str, kind: str) -> str:
    if kind == "registry":
        return Reference.parse(text).repository.rpartition("/")[2]
    return os.path.basename(text).partition(".")[0].partition(":")[0]


@contextmanager
def opened(text: str, kind: str, access: Access) -> Iterator[Source]:
    if kind == "archive":
        with closing(TarFiles(text)) as files:
            yield LayoutSource(files)
    elif kind == "layout":
        folder, _, tag = (text, "", "") if os.path.isdir(text) else text.rpartition(":")
        yield LayoutSource(FolderFiles(folder), tag)
    else:
        yield RegistrySource(Reference.parse(text), access)


def described(workspace: Workspace, root: Descriptor, manifests: list[Descriptor]) -> Built:
    """As if it had been built here."""
    placed, layers = [], dict[str, int]()
    for one in manifests:
        config, *rest = children(read_document(workspace.blobs.read(one.digest[7:]), one.digest))
        document = read_document(workspace.blobs.read(config.digest[7:]), config.digest)
        known = "architecture" in document
        placed.append(Descriptor(one.media_type, one.digest, one.size, {}, Platform.of(document) if known else None))
        layers |= {layer.digest: layer.size for layer in rest}
    return Built(root, tuple(placed), tuple(layers), (), sum(layers.values()), 0)


def export_image(workspace: Workspace, record: Document, path: str, form: str, platform: Platform | None) -> None:
    """As an OCI layout folder, an OCI archive or a docker archive; of several platforms perhaps one."""
    descriptor = descriptor_of(record)
    if platform is not None:
        found = [one for one in record["platforms"] if one["platform"] == str(platform)]
        if not found:
            there = ", ".join(one["platform"] for one in record["platforms"])
            raise PackagingError(f"The image {record['id']} is not for {platform}; it is for {there}.")
        descriptor = Descriptor(MANIFEST, found[0]["digest"], found[0]["size"], platform=platform)
    name = record["id"]
    if form == "oci":
        write_layout(workspace.blobs, descriptor, path, name)
    else:
        docker = form == "docker-archive"
        write_archive(workspace.blobs, descriptor, path, f"localhost/{name}" if docker else name, docker)
