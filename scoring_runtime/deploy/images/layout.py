"""Images in files: OCI layouts as folder or tar file, and the tar files of `docker save`, read and written.

A docker archive of ours is an OCI archive with a manifest.json for docker beside it, as Docker itself writes since 25.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tarfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from scoring_runtime.deploy.images.image_graph import every_blob, read_document
from scoring_runtime.deploy.images.oci import Descriptor, Document, encoded, index_document, is_index
from scoring_runtime.deploy.workspaces.disk import room_for
from scoring_runtime.durable import sync_folder, write_file
from scoring_runtime.errors import DiskFull, PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.blobs import Blobs

__all__ = ["Files", "FolderFiles", "TarFiles", "write_archive", "write_layout"]

LAYOUT = encoded({"imageLayoutVersion": "1.0.0"})
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"


class Files(Protocol):
    """A folder, or a tar file as if it were one."""

    where: str

    def has(self, path: str) -> bool: ...

    def open(self, path: str) -> IO[bytes]: ...


class FolderFiles:
    def __init__(self, folder: str) -> None:
        self.where = folder

    def has(self, path: str) -> bool:
        return os.path.isfile(os.path.join(self.where, path))

    def open(self, path: str) -> IO[bytes]:
        try:
            return open(os.path.join(self.where, path), "rb")
        except FileNotFoundError:
            raise PackagingError(f"{self.where} is not a whole image: {path} is missing. Export it anew.") from None


class TarFiles:
    """Close it when done. Looks only at the first few hundred names: an image has no more."""

    MOST = 1000

    def __init__(self, path: str) -> None:
        self.where = path
        try:
            self.tar = tarfile.open(path, "r:*")
            self.members: dict[str, tarfile.TarInfo] = {}
            for member in self.tar:
                self.members[os.path.normpath(member.name)] = member
                if len(self.members) > self.MOST:
                    break
        except (tarfile.TarError, EOFError, OSError) as error:
            raise PackagingError(
                f"{path} is no tar file that can be read: {error}. Expected an OCI archive, a docker archive "
                "(docker save), or the tar file of a root file system, perhaps compressed with gzip, bzip2 or xz."
            ) from None

    def has(self, path: str) -> bool:
        return path in self.members

    def open(self, path: str) -> IO[bytes]:
        member = self.members.get(os.path.normpath(path))
        file = self.tar.extractfile(member) if member else None
        if file is None:
            raise PackagingError(f"{self.where} is not a whole image: {path} is missing. Export it anew.")
        return file

    def close(self) -> None:
        self.tar.close()


# writing


def entry_of(descriptor: Descriptor, name: str) -> Document:
    annotations = {REF_NAME: name.rpartition(":")[2] or name, IMAGE_NAME: name} if name else {}
    return {**descriptor.document(), **({"annotations": annotations} if annotations else {})}


def index_of(descriptor: Descriptor, name: str) -> bytes:
    return encoded({**index_document([]), "manifests": [entry_of(descriptor, name)]})


def write_layout(blobs: Blobs, descriptor: Descriptor, folder: str, name: str = "") -> None:
    """A folder that any tool of containers reads. Blobs that are there are kept, so that layouts can be added to.

    index.json is written last: until then the image is not there.
    """
    if os.path.isdir(folder) and os.listdir(folder) and not os.path.exists(os.path.join(folder, "oci-layout")):
        raise PackagingError(f"{folder} holds other files than an OCI layout. Name another folder, or empty it.")
    store = os.path.join(folder, "blobs", "sha256")
    with named_place(folder):
        os.makedirs(store, exist_ok=True)
    for one in every_blob(blobs, descriptor):
        target = os.path.join(store, one.digest[7:])
        if not os.path.exists(target):
            with room_for(folder, one.size):
                copy_or_link(blobs, one.digest[7:], target)
    with named_place(folder):
        sync_folder(store)
        write_file(os.path.join(folder, "oci-layout"), LAYOUT)
    index = os.path.join(folder, "index.json")
    others: list[Document] = []
    if os.path.exists(index):
        with FolderFiles(folder).open("index.json") as file:
            others = read_document(file.read(), index).get("manifests", [])
    entry = entry_of(descriptor, name)
    kept = [one for one in others if one.get("annotations") != entry.get("annotations")]
    with named_place(folder):
        write_file(index, encoded({**index_document([]), "manifests": [*kept, entry]}))


def copy_or_link(blobs: Blobs, sha256: str, target: str) -> None:
    """Blobs never change, so that a second name is as good as a copy. Raises BlobCorrupt."""
    for _ in blobs.chunks(sha256):
        pass
    source = blobs.path(sha256)
    try:
        os.link(source, target)
    except OSError:  # another file system
        temporary = f"{target}.{uuid.uuid4().hex[:12]}"
        try:
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)


def write_archive(blobs: Blobs, descriptor: Descriptor, path: str, name: str = "", for_docker: bool = False) -> None:
    """A tar file, there whole or not at all; equal images give equal files."""
    found = list(every_blob(blobs, descriptor))
    documents = {"oci-layout": LAYOUT, "index.json": index_of(descriptor, name)}
    if for_docker:
        documents["manifest.json"] = docker_manifest(blobs, descriptor, name)
    temporary = f"{path}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        needed = sum(one.size for one in found)
        with room_for(path, needed), open_tar(temporary, path) as tar:
            for one in sorted({blob.digest[7:]: blob for blob in found}.values(), key=lambda blob: blob.digest):
                with closing(Whole(blobs, one.digest[7:])) as file:
                    tar.addfile(member(f"blobs/sha256/{one.digest[7:]}", one.size), cast("IO[bytes]", file))
                    file.finish()
            for title, content in documents.items():
                tar.addfile(member(title, len(content)), io.BytesIO(content))
        with named_place(path):
            os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def open_tar(temporary: str, path: str) -> tarfile.TarFile:
    with named_place(path):
        return tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT)


@contextmanager
def named_place(path: str) -> Iterator[None]:
    """Raises PackagingError where nothing can be written, DiskFull on a disk that is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path, 0) from None
        raise PackagingError(f"{path} cannot be written: {error.strerror}. Name another place.") from None


class Whole:
    """A blob as tarfile reads one; finish() raises BlobCorrupt if it was not what it should be."""

    def __init__(self, blobs: Blobs, sha256: str) -> None:
        self.chunks = blobs.chunks(sha256)
        self.rest = b""

    def read(self, size: int) -> bytes:
        while len(self.rest) < size and (chunk := next(self.chunks, b"")):
            self.rest += chunk
        result, self.rest = self.rest[:size], self.rest[size:]
        return result

    def finish(self) -> None:
        for _ in self.chunks:
            pass

    def close(self) -> None:
        self.chunks.close()


def member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


def docker_manifest(blobs: Blobs, descriptor: Descriptor, name: str) -> bytes:
    manifests = manifests_of(blobs, descriptor)
    if len(manifests) > 1:
        raise PackagingError(
            "A docker archive holds one platform, and this image has several. Name one with --platform, or export an "
            "OCI archive."
        )
    rows = [
        {
            "Config": blob_path(manifest["config"]),
            "RepoTags": [name] if name else None,
            "Layers": [blob_path(layer) for layer in manifest["layers"]],
        }
        for manifest in manifests
    ]
    return encoded_list(rows)


def manifests_of(blobs: Blobs, descriptor: Descriptor) -> Sequence[Document]:
    document = read_document(blobs.read(descriptor.digest[7:]), descriptor.digest)
    if not is_index(document):
        return [document]
    return [one for entry in document["manifests"] for one in manifests_of(blobs, Descriptor.of(entry))]


def blob_path(document: Document) -> str:
    return "blobs/" + str(document["digest"]).replace(":", "/")


def encoded_list(rows: Iterable[Any]) -> bytes:
    return json.dumps(list(rows), separators=(",", ":")).encode()
