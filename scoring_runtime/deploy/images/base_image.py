"""What an image is built on: a layout, an archive or a root file system on disk, or an image in a registry."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, cast

from scoring_runtime.deploy.images.image_graph import children
from scoring_runtime.deploy.images.image_sources import (
    Access,
    LayoutSource,
    RegistrySource,
    Source,
    take_blob,
    take_manifest,
)
from scoring_runtime.deploy.images.interpreter import Interpreter, find_interpreter
from scoring_runtime.deploy.images.layer_cache import key_of, remembered_layer, stamp
from scoring_runtime.deploy.images.layers import Layer, write_stream
from scoring_runtime.deploy.images.layout import FolderFiles, TarFiles
from scoring_runtime.deploy.images.oci import Document, Platform, digest_of
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.deploy.images.transfer import Places
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.blobs import Adding
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Base", "kind_of", "take_base"]

CHUNK = 1 << 20
MAGICS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file)),
    b"BZ": lambda file: cast("IO[bytes]", bz2.BZ2File(file)),
    b"\xfd7": lambda file: cast("IO[bytes]", lzma.LZMAFile(file)),
}


@dataclass(frozen=True)
class Base:
    """Its layers lie in the workspace's blobs."""

    platform: Platform
    layers: tuple[Layer, ...]
    interpreter: Interpreter
    digest: str  # of its manifest, or of the tar file
    name: str = ""  # of an image in a registry, for the label
    config: Document = field(default_factory=dict)


def kind_of(text: str) -> str:
    """layout, archive, docker-archive, rootfs or registry. Raises PackagingError for a file that is none of these."""
    path = text.rpartition(":")[0] if not os.path.exists(text) and ":" in text else text
    if os.path.isdir(path):
        if os.path.isfile(os.path.join(path, "oci-layout")):
            return "layout"
        raise PackagingError(
            f"{path} is a folder without an oci-layout file. A root file system is given as a tar file: "
            f"tar -C {path} -cf rootfs.tar ."
        )
    if os.path.isfile(text):
        with closing(TarFiles(text)) as files:
            if files.has("index.json") and files.has("oci-layout"):
                return "archive"
            return "docker-archive" if files.has("manifest.json") else "rootfs"
    if text.endswith(".tar") or text.startswith((".", "/")):
        raise PackagingError(f"{text}: there is no such file (looked in {os.getcwd()}).")
    return "registry"


def take_base(
    workspace: Workspace,
    adding: Adding,
    text: str,
    platform: Platform | None,
    access: Access,
    meter: Callable[[int], None],
) -> Base:
    """Its layers into the workspace, and what is known of it. Raises PackagingError, RegistryError, DiskFull."""
    kind = kind_of(text)
    if kind == "registry":
        reference = Reference.parse(text)
        source = RegistrySource(reference, access)
        base = of_source(workspace, adding, source, platform, meter, str(reference))
        Places(workspace, reference.registry).saw((layer.digest for layer in base.layers), reference.repository)
        return base
    if kind == "layout":
        folder, _, tag = (text, "", "") if os.path.isdir(text) else text.rpartition(":")
        return of_source(workspace, adding, LayoutSource(FolderFiles(folder), tag), platform, meter)
    if kind == "archive":
        with closing(TarFiles(text)) as files:
            return of_source(workspace, adding, LayoutSource(files), platform, meter)
    if kind == "docker-archive":
        with closing(TarFiles(text)) as files:
            return of_docker_archive(workspace, adding, files, platform)
    return of_rootfs(workspace, adding, text, platform)


def of_source(
    workspace: Workspace,
    adding: Adding,
    source: Source,
    platform: Platform | None,
    meter: Callable[[int], None],
    name: str = "",
) -> Base:
    manifest, data = take_manifest(source, platform)
    config_at, *descriptors = children(manifest)
    for one in (config_at, *descriptors):
        take_blob(adding, source, one, meter)
    config = json.loads(workspace.blobs.read(config_at.digest[7:]))
    diff_ids = config.get("rootfs", {}).get("diff_ids", [])
    if len(diff_ids) != len(descriptors):
        raise PackagingError(f"{source.name}: {len(descriptors)} layers, and {len(diff_ids)} diff_ids. It is damaged.")
    layers = tuple(
        Layer(one.digest, one.size, diff_id, one.media_type) for one, diff_id in zip(descriptors, diff_ids, strict=True)
    )
    return with_interpreter(workspace, layers, platform, digest_of(data), source.name, name, config)


def of_docker_archive(workspace: Workspace, adding: Adding, files: TarFiles, platform: Platform | None) -> Base:
    with files.open("manifest.json") as file:
        manifests: list[dict[str, Any]] = json.load(file)
    if len(manifests) != 1:
        raise PackagingError(f"{files.where} holds {len(manifests)} images, and a base is one. Save it alone.")
    with files.open(manifests[0]["Config"]) as file:
        data = file.read()
    layers = tuple(
        remembered_layer(
            workspace,
            key_of("docker-archive", stamp(files.where), path),
            lambda path=path: write_stream(adding, plain(files.open(path)), 0),  # type: ignore[misc]
        )[0]
        for path in manifests[0]["Layers"]
    )
    config = json.loads(data)
    if [layer.diff_id for layer in layers] != config.get("rootfs", {}).get("diff_ids"):
        raise PackagingError(f"{files.where}: its layers are not those of its configuration. Save the image anew.")
    return with_interpreter(workspace, layers, platform, digest_of(data), files.where, "", config)


def of_rootfs(workspace: Workspace, adding: Adding, path: str, platform: Platform | None) -> Base:
    """One layer: the tar file as it is, compressed anew."""
    with open(path, "rb") as file:
        layer, _ = remembered_layer(
            workspace,
            key_of("rootfs", stamp(path)),
            lambda: write_stream(adding, plain(file), os.path.getsize(path)),
        )
    return with_interpreter(workspace, (layer,), platform, layer.diff_id, path, "", {})


def plain(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes in it, without the compression that its first bytes tell of."""
    head = file.read(2)
    file.seek(0)
    stream = MAGICS[head](file) if head in MAGICS else file
    try:
        while chunk := stream.read(CHUNK):
            yield chunk
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise PackagingError(f"A compressed file of the base is damaged: {error}. Fetch it anew.") from None


def with_interpreter(
    workspace: Workspace,
    layers: tuple[Layer, ...],
    platform: Platform | None,
    digest: str,
    where: str,
    name: str,
    config: Document,
) -> Base:
    """Raises PackagingError if there is no Python in it, or if it is made for other machines."""
    interpreter = find_interpreter(workspace, layers, where)
    made_for = Platform.of(config) if config else Platform(architecture=interpreter.architecture)
    wanted = platform or made_for
    if (wanted.os, wanted.architecture) != (made_for.os, made_for.architecture):
        raise PackagingError(f"The base {where} is made for {made_for}, and the image for {wanted}. Name another base.")
    return Base(made_for, layers, interpreter, digest, name, config)
