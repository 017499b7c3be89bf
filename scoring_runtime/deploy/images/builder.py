"""Builds an image directly: the base's layers, ours above them, the documents that join them. Needs no daemon."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.lock import Lock, lock
from scoring_runtime.deploy.images.base_image import Base, take_base
from scoring_runtime.deploy.images.container_config import container_config
from scoring_runtime.deploy.images.credentials import Credentials
from scoring_runtime.deploy.images.image_sources import Access
from scoring_runtime.deploy.images.kept_bases import keep_base
from scoring_runtime.deploy.images.layer_cache import remembered_layer
from scoring_runtime.deploy.images.layers import Layer, epoch, write_layer
from scoring_runtime.deploy.images.oci import (
    CONFIG,
    INDEX,
    MANIFEST,
    Descriptor,
    Document,
    Platform,
    encoded,
    index_document,
    manifest_document,
)
from scoring_runtime.deploy.images.recipes import Recipe, recipes
from scoring_runtime.deploy.images.sbom import sbom
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.packaging import BuildContext
    from scoring_runtime.deploy.workspaces.blobs import Adding
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["BuildOrder", "Built", "build", "default_base"]

Progress = Callable[[str], None]
DEFAULT_BASES = {"cpu": "docker.io/library/python:{python}-slim"}


@dataclass(frozen=True)
class BuildOrder:
    """What is wanted."""

    title: str
    context: BuildContext
    base: str = ""  # empty: the context's, else the default of its variant
    bases: Mapping[str, str] = field(default_factory=dict)  # platform -> base, where they differ
    platforms: tuple[Platform, ...] = ()  # none: that of the base
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class Built:
    """A manifest, or an index of several, in the workspace's blobs."""

    descriptor: Descriptor
    platforms: tuple[Descriptor, ...]
    layers: tuple[str, ...]  # digests, of all platforms
    bases: tuple[Base, ...]
    size: int  # of these layers
    made_bytes: int  # of those that were not there before


def default_base(context: BuildContext) -> str:
    """SCORING_BASE_IMAGE, else the official Python. Raises PackagingError for a variant that has none."""
    named = os.environ.get("SCORING_BASE_IMAGE") or DEFAULT_BASES.get(context.variant)
    if named is None:
        raise PackagingError(
            f"There is no default base for the variant {context.variant}. Build that of base_images/{context.variant}, "
            "then name it with --base (or base_image), or set SCORING_BASE_IMAGE."
        )
    return named.replace("{python}", context.requirements.likely_python)


def build(workspace: Workspace, adding: Adding, order: BuildOrder, progress: Progress) -> Built:
    """All platforms that are wanted. Raises DeployError; what was made until then is taken up by the next build."""
    context = order.context
    if context.needs_dockerfile:
        raise PackagingError(
            "This image needs a Dockerfile (conda packages, a Dockerfile of its own, or more steps), which is not "
            "built directly. Use --engine docker, podman or buildah, or Model.package(generate_dockerfile=True)."
        )
    strays = sorted(order.bases.keys() - set(map(str, order.platforms)))
    if strays:
        raise PackagingError(
            f"A base is named for {', '.join(strays)}, which is not built: --platform names "
            f"{', '.join(map(str, order.platforms)) or 'none'}. Name both alike, such as linux/arm64."
        )
    seconds = epoch()
    made: list[Layer] = []
    layers: dict[str, int] = {}
    manifests: list[Descriptor] = []
    bases: list[Base] = []
    for platform in order.platforms or (None,):
        base = based(workspace, adding, order, platform, progress)
        keep_base(workspace, base)
        packages = locked(workspace, context, base, progress)
        about = description(order.title, packages, context, base, seconds)
        ours = [
            (one.name, written(workspace, adding, one, seconds, made, progress))
            for one in recipes(workspace, context, packages, base.interpreter, about, seconds)
        ]
        config = encoded(container_config(base, context, ours, order.title, packages is not None, seconds))
        manifest = joined(base, ours, config, order.title)
        store(adding, config)
        store(adding, manifest)
        manifests.append(Descriptor.to(MANIFEST, manifest, base.platform))
        layers |= {layer.digest: layer.size for layer in (*base.layers, *(layer for _, layer in ours))}
        bases.append(base)
    adding.sync()
    descriptor = manifests[0]
    if len(manifests) > 1:
        index = encoded(index_document(manifests))
        store(adding, index)
        descriptor = Descriptor.to(INDEX, index)
    return Built(
        descriptor,
        tuple(manifests),
        tuple(layers),
        tuple(bases),
        sum(layers.values()),
        sum(layer.size for layer in made),
    )


def based(
    workspace: Workspace, adding: Adding, order: BuildOrder, platform: Platform | None, progress: Progress
) -> Base:
    context = order.context
    text = order.bases.get(str(platform)) or order.base or context.base_image or default_base(context)
    progress(f"base {text}" + (f" for {platform}" if platform else ""))
    access = order.access
    if access.credentials is None and context.base_registry.get("username") and text == context.base_image:
        login = Credentials(context.base_registry["username"], context.base_registry.get("password", ""))
        access = Access(login, access.insecure, access.ca_file)
    told = Told(progress, "fetched")
    base = take_base(workspace, adding, text, platform, access, told)
    required = context.requirements
    if required.pip and base.interpreter.musl:
        raise PackagingError(
            f"The base {text} has the C library musl (Alpine), and packages are installed for glibc here. Name a base "
            f"of another distribution, such as python:{base.interpreter.version}-slim."
        )
    wanted = (required.python,) if required.python else required.pythons
    if wanted and base.interpreter.version not in wanted:
        raise PackagingError(
            f"The environment asks for Python {' or '.join(wanted)}, and the base {text} has "
            f"{base.interpreter.version}. Name a base with Python {required.likely_python}, or "
            f"python={base.interpreter.version} in the environment."
        )
    return base


class Told:
    """Says how many bytes have come, every few megabytes."""

    STEP = 16 << 20

    def __init__(self, progress: Progress, what: str) -> None:
        self.progress = progress
        self.what = what
        self.done = 0

    def __call__(self, amount: int) -> None:
        before, self.done = self.done, self.done + amount
        if before // self.STEP != self.done // self.STEP:
            self.progress(f"{self.what} {self.done / 1e6:.0f} MB")


def locked(workspace: Workspace, context: BuildContext, base: Base, progress: Progress) -> Lock | None:
    """What to install; nothing if the base has it all."""
    if not context.requirements.pip:
        return None
    progress(f"packages for Python {base.interpreter.version} on {base.platform}")
    return lock(workspace, context.requirements, base.interpreter.version, str(base.platform))


def description(title: str, packages: Lock | None, context: BuildContext, base: Base, seconds: int) -> dict[str, bytes]:
    """What lies in /opt/scoring-runtime/share."""
    result = {"sbom.cdx.json": sbom(title, packages, context.models, base.name, base.digest, seconds)}
    if packages is not None:
        result["lock.json"] = packages.to_json().encode()
        result["requirements.txt"] = packages.requirements().encode()
    return result


def written(
    workspace: Workspace, adding: Adding, recipe: Recipe, seconds: int, made: list[Layer], progress: Progress
) -> Layer:
    """The layer, made if it is not there."""

    def make() -> Layer:
        progress(f"layer: {recipe.name} ({recipe.detail})")
        scratch = os.path.join(adding.folder, uuid.uuid4().hex[:12])
        os.mkdir(scratch)
        try:
            return write_layer(adding, recipe.entries(scratch), seconds)
        finally:
            shutil.rmtree(scratch)

    if not recipe.key:
        layer, is_new = make(), True
    else:
        layer, is_new = remembered_layer(workspace, recipe.key, make)
    if is_new:
        made.append(layer)
    progress(f"{'wrote' if is_new else 'kept'} {recipe.name}: {layer.size:,} bytes, {layer.digest[:19]}")
    return layer


def joined(base: Base, ours: Sequence[tuple[str, Layer]], config: bytes, title: str) -> bytes:
    """The manifest."""
    layers = [layer.descriptor for layer in base.layers]
    layers += [layer.descriptor for _, layer in ours]
    annotations: Document = {"org.opencontainers.image.title": title}
    if base.name:
        annotations["org.opencontainers.image.base.name"] = base.name
        annotations["org.opencontainers.image.base.digest"] = base.digest
    return encoded(manifest_document(Descriptor.to(CONFIG, config), layers, annotations))


def store(adding: Adding, data: bytes) -> None:
    adding.add(io.BytesIO(data))
