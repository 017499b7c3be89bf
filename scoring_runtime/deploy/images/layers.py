"""Layers that depend on nothing but their files: sorted, owned by root, dated alike, hashed as they are written."""

from __future__ import annotations

import hashlib
import os
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.app_root import chunks
from scoring_runtime.deploy.images.compression import GzipWriter
from scoring_runtime.deploy.images.oci import LAYER, Descriptor
from scoring_runtime.deploy.workspaces.disk import room_for
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.packaging import File
    from scoring_runtime.deploy.workspaces.blobs import Adding

__all__ = ["Entry", "Layer", "entries_below", "epoch", "find_in_layer", "write_layer", "write_stream"]

BLOCK = 512
CHUNK = 1 << 20
EPOCH = 315532800  # 1980-01-01, the earliest that zip files can say
LATEST = 253402300799  # the end of the year 9999, the latest that documents can say


@dataclass(frozen=True)
class Layer:
    """A layer that lies in the workspace's blobs."""

    digest: str
    size: int  # of the blob
    diff_id: str  # the digest of what is in it, uncompressed
    media_type: str = LAYER

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


@dataclass(frozen=True, order=True)
class Entry:
    """A file, a symbolic link, or an empty folder in a layer. Other folders come of themselves."""

    path: str  # from the root, without a slash before it
    size: int = 0
    mode: int = 0o644
    link: str = ""
    folder: bool = False
    read: Callable[[], Iterable[bytes]] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_bytes(cls, path: str, content: bytes, mode: int = 0o644) -> Entry:
        return cls(path, len(content), mode, read=lambda: [content])

    @classmethod
    def of_link(cls, path: str, target: str) -> Entry:
        return cls(path, 0, 0o777, target)

    @classmethod
    def of_folder(cls, path: str) -> Entry:
        return cls(path, mode=0o755, folder=True)

    @classmethod
    def of_file(cls, file: File, home: str) -> Entry:
        """One of the app root. Reading it raises PackagingError if it is not what was listed."""
        return cls(f"{home.strip('/')}/{file.path}", file.size, file.mode, read=lambda: chunks(file))


def epoch(environ: Mapping[str, str] = os.environ) -> int:
    """The date of everything: SOURCE_DATE_EPOCH, as reproducible builds have it, else one for all."""
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (text.isascii() and text.isdigit() and int(text) <= LATEST):
        raise PackagingError(
            f"SOURCE_DATE_EPOCH: expected seconds since 1970, {LATEST} at most, got {text!r}. Unset it, or correct it."
        )
    return int(text) if text else EPOCH


def entries_below(folder: str, home: str) -> Iterator[Entry]:
    """All that is below a folder of ours, which nobody else changes."""
    for place, _, names in os.walk(folder):
        for name in names:
            source = os.path.join(place, name)
            path = f"{home.strip('/')}/{os.path.relpath(source, folder).replace(os.sep, '/')}"
            if os.path.islink(source):
                yield Entry.of_link(path, os.readlink(source))
            else:
                status = os.stat(source)
                mode = 0o755 if status.st_mode & 0o111 else 0o644
                yield Entry(path, status.st_size, mode, read=lambda source=source: file_chunks(source))  # type: ignore[misc]


def file_chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def write_layer(adding: Adding, entries: Iterable[Entry], seconds: int) -> Layer:
    """Write them as a blob. Raises PackagingError and DiskFull; then there is none."""
    with_folders = {f"{entry.path}": entry for entry in entries}
    return write_stream(adding, tar_of(with_folders, seconds), sum(entry.size for entry in with_folders.values()))


def tar_of(entries: Mapping[str, Entry], seconds: int) -> Iterator[bytes]:
    """The bytes of a tar file: each folder before what is in it."""
    for path in sorted({*entries, *folders_of(entries)}):
        entry = entries.get(path)
        yield header(path, entry, seconds)
        if entry is not None and entry.read is not None:
            yield from entry.read()
            yield bytes(-entry.size % BLOCK)
    yield bytes(2 * BLOCK)


def folders_of(paths: Iterable[str]) -> set[str]:
    """But for those in the root, which every base has, perhaps as a link."""
    parts = (path.split("/") for path in paths)
    return {"/".join(names[:depth]) for names in parts for depth in range(2, len(names))}


def header(path: str, entry: Entry | None, seconds: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.mtime = seconds
    info.uname = info.gname = "root"
    if entry is None or entry.folder:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif entry.link:
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, entry.link
    else:
        info.size, info.mode = entry.size, entry.mode
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def write_stream(adding: Adding, pieces: Iterable[bytes], expected: int) -> Layer:
    """Compress and hash in one pass, with a few blocks in memory."""
    path = os.path.join(adding.folder, uuid.uuid4().hex[:12])
    inside, outside = hashlib.sha256(), Hashed(path)
    writer = GzipWriter(outside)
    try:
        with room_for(adding.blobs.storage.where, expected):
            for piece in pieces:
                inside.update(piece)
                writer.write(piece)
            writer.close()
            outside.close()
            os.replace(path, adding.blobs.path(outside.hash.hexdigest()))
    finally:
        writer.abandon()
        outside.abandon()
    return Layer(f"sha256:{outside.hash.hexdigest()}", outside.size, f"sha256:{inside.hexdigest()}")


def find_in_layer(path: str, name: str) -> bytes | None:
    """The contents of one file in a layer's blob."""
    with tarfile.open(path, "r|*") as tar:
        for member in tar:
            if member.name == name:
                file = tar.extractfile(member)
                return file.read() if file else None
    return None


class Hashed:
    """A new file that knows its hash; gone unless it is moved away."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: Any = open(path, "wb", buffering=CHUNK)
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> None:
        self.file.write(data)
        self.hash.update(data)
        self.size += len(data)

    def close(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def abandon(self) -> None:
        try:
            self.file.close()
        except OSError:  # what is buffered does not fit either
            pass
        if os.path.exists(self.path):
            os.unlink(self.path)
