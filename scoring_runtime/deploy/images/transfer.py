"""Images to registries and from them: only blobs that are not there go over the wire, several at once."""

from __future__ import annotations

import io
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoring_runtime.deploy.images.distribution import Repository
from scoring_runtime.deploy.images.image_graph import children, every_blob, of_platform, read_document
from scoring_runtime.deploy.images.image_sources import Source, take_blob
from scoring_runtime.deploy.images.oci import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    Platform,
    digest_of,
    encoded,
    index_document,
    is_index,
)
from scoring_runtime.durable import make_folder, write_file
from scoring_runtime.errors import RegistryError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.blobs import Adding, Blobs
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Places", "Pushed", "attach", "pull", "push"]

AT_ONCE = 3
DOCUMENTS = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
Progress = Callable[[str], None]
EMPTY = b"{}"  # the configuration of what is no image
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Pushed:
    """What went where."""

    sent: int  # blobs, and their bytes
    sent_bytes: int
    mounted: int  # taken from other repositories of the registry
    there: int  # had been there


class Places:
    """Which repository of a registry has a blob, as far as we have seen: from there it can be mounted."""

    def __init__(self, workspace: Workspace, registry: str) -> None:
        name = registry.replace(":", "_").replace("/", "_")
        self.path = workspace.path("cache", "registries", f"{name}.json")
        self.lock = threading.Lock()
        try:
            with open(self.path, "rb") as file:
                self.known: dict[str, str] = json.load(file)
        except (FileNotFoundError, ValueError):
            self.known = {}

    def saw(self, digests: Iterable[str], repository: str) -> None:
        with self.lock:
            self.known |= dict.fromkeys(digests, repository)
            make_folder(os.path.dirname(self.path))
            write_file(self.path, json.dumps(self.known).encode())


class Meter:
    """Adds up what several threads send, and says so every few megabytes."""

    STEP = 16 << 20

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self.progress, self.what, self.total = progress, what, total
        self.done = 0
        self.lock = threading.Lock()

    def __call__(self, amount: int) -> None:
        with self.lock:
            before, self.done = self.done, self.done + amount
            if before // self.STEP != self.done // self.STEP:
                self.progress(f"{self.what} {self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB")


def push(workspace: Workspace, descriptor: Descriptor, repository: Repository, tag: str, progress: Progress) -> Pushed:
    """Blobs first, then manifests, the tag last: who pulls meanwhile sees the old image or the new."""
    blobs = workspace.blobs
    places = Places(workspace, repository.reference.registry)
    graph = list(every_blob(blobs, descriptor))
    manifests = [one for one in graph if one.media_type in DOCUMENTS]
    others = list({one.digest: one for one in graph if one.media_type not in DOCUMENTS}.values())
    meter = Meter(progress, "pushed", sum(one.size for one in others))
    with ThreadPoolExecutor(AT_ONCE, "push") as pool:
        repository.connect()
        outcomes = list(pool.map(lambda one: push_blob(blobs, one, repository, places, meter), others))
    places.saw((one.digest for one in others), repository.reference.repository)
    for one in manifests:
        repository.put_manifest(one.digest, blobs.read(one.digest[7:]), one.media_type)
    repository.put_manifest(tag, blobs.read(descriptor.digest[7:]), descriptor.media_type)
    sent = [one.size for one, outcome in zip(others, outcomes, strict=True) if outcome == "sent"]
    return Pushed(len(sent), sum(sent), outcomes.count("mounted"), outcomes.count("there"))


def push_blob(blobs: Blobs, one: Descriptor, repository: Repository, places: Places, meter: Meter) -> str:
    if repository.has_blob(one.digest, write=True):
        return "there"
    source = places.known.get(one.digest)
    if source and source != repository.reference.repository and repository.mount(one.digest, source):
        return "mounted"
    try:
        repository.upload(one.digest, blobs.path(one.digest[7:]), one.size, meter)
    except (RegistryError, OSError):
        for _ in blobs.chunks(one.digest[7:]):  # if it is damaged, that is why it was refused
            pass
        raise
    return "sent"


def attach(repository: Repository, subject: Descriptor, path: str, artifact_type: str) -> str:
    """A file as an artifact that refers to the image, found by the referrers API or its fallback tag; its digest."""
    with open(path, "rb") as file:
        data = file.read()
    layer, config = Descriptor.to(artifact_type, data), Descriptor.to(EMPTY_TYPE, EMPTY)
    upload_small(repository, config, EMPTY)
    upload_small(repository, layer, data)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": config.document(),
        "layers": [layer.document()],
        "subject": subject.document(),
    }
    manifest = encoded(document)
    mine = Descriptor(MANIFEST, digest_of(manifest), len(manifest), artifact_type=artifact_type)
    repository.put_manifest(mine.digest, manifest, MANIFEST)
    tag = subject.digest.replace(":", "-")
    listed = []
    if repository.manifest_digest(tag):
        listed = children(read_document(repository.manifest(tag)[0], tag))
    if mine.digest not in {one.digest for one in listed}:
        repository.put_manifest(tag, encoded(index_document([*listed, mine])), INDEX)
    return mine.digest


def upload_small(repository: Repository, descriptor: Descriptor, data: bytes) -> None:
    if not repository.has_blob(descriptor.digest, write=True):
        with tempfile.NamedTemporaryFile(prefix="scoring-push-") as file:
            file.write(data)
            file.flush()
            repository.upload(descriptor.digest, file.name, descriptor.size)


def pull(
    adding: Adding, source: Source, platform: Platform | None, progress: Progress
) -> tuple[Descriptor, list[Descriptor]]:
    """The image as it is, all its platforms or the one that is named: what stands for it, and its manifests."""
    data, kind = source.root()
    document = read_document(data, source.name)
    if is_index(document) and platform is not None:
        chosen = of_platform(document, platform, source.name)
        data, kind = source.document(chosen), chosen.media_type
        document = read_document(data, source.name)
    root = Descriptor.to(kind or (INDEX if is_index(document) else MANIFEST), data, platform)
    manifests: list[Descriptor] = []
    wanted: dict[str, Descriptor] = {}
    add_document(adding, data)
    for descriptor, child in walk(adding, source, root, data):
        manifests.append(descriptor)
        wanted |= {one.digest: one for one in child}
    meter = Meter(progress, "pulled", sum(one.size for one in wanted.values()))
    with ThreadPoolExecutor(AT_ONCE if source.parallel else 1, "pull") as pool:
        list(pool.map(lambda one: take_blob(adding, source, one, meter), wanted.values()))
    return root, manifests


def walk(
    adding: Adding, source: Source, descriptor: Descriptor, data: bytes
) -> Iterable[tuple[Descriptor, list[Descriptor]]]:
    """Each manifest with what it names; the documents are stored on the way."""
    document = read_document(data, source.name)
    if not is_index(document):
        yield descriptor, children(document)
        return
    for one in children(document):
        inner = source.document(one)
        add_document(adding, inner)
        yield from walk(adding, source, one, inner)


def add_document(adding: Adding, data: bytes) -> None:
    adding.add(io.BytesIO(data))
