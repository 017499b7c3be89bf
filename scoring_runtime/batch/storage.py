"""What a run writes, in a folder or at a URL: every file and every object is there whole or not at all.

a folder             written beside its name, synced, renamed, and the folder synced (scoring_runtime.durable)
an object store      one put for each object, which S3, GCS and Azure do in one step
another URL          written beside its name and moved: as atomic as the rename of that file system is
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from scoring_runtime import durable
from scoring_runtime.batch.sources import filesystem, is_remote
from scoring_runtime.durable import sync_folder

__all__ = [
    "created",
    "exists",
    "lines",
    "names",
    "read",
    "read_each",
    "remove",
    "remove_tree",
    "upload",
    "write",
    "write_all",
]

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "memory"}
FETCHED_TOGETHER = 32


def read(path: str) -> bytes | None:
    """The content; None if there is no such file."""
    try:
        if is_remote(path):
            files, place = filesystem(path)
            content: bytes = files.cat_file(place)
            return content
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def read_each(paths: Iterable[str]) -> Iterator[bytes]:
    """The contents in order; of a URL many at a time, because each takes its while."""
    window: list[str] = []
    for path in paths:
        if not is_remote(path):
            with open(path, "rb") as file:
                yield file.read()
            continue
        window.append(path)
        if len(window) == FETCHED_TOGETHER:
            yield from fetch(window)
            window = []
    if window:
        yield from fetch(window)


def fetch(urls: list[str]) -> list[bytes]:
    files = filesystem(urls[0])[0]
    stripped = [files._strip_protocol(url) for url in urls]
    found = files.cat(stripped)
    return [found[path] for path in stripped]


def lines(path: str) -> Iterator[str]:
    if not is_remote(path):
        with open(path, encoding="utf-8") as file:
            yield from file
        return
    files, place = filesystem(path)
    with files.open(place, "r", encoding="utf-8") as file:
        yield from file


def write(path: str, *chunks: bytes) -> None:
    write_all({path: chunks})


def write_all(contents: Mapping[str, Sequence[bytes]]) -> None:
    """Several in about the time of one. If this raises, some may be there and some not."""
    if not is_remote(next(iter(contents))):
        for folder in {os.path.dirname(path) for path in contents}:
            durable.make_folder(folder)
        durable.write_files(contents)
        return
    files = filesystem(next(iter(contents)))[0]
    joined = {files._strip_protocol(path): b"".join(chunks) for path, chunks in contents.items()}
    if is_object_store(files):
        files.pipe(joined)
        return
    for place, content in joined.items():
        put_beside_and_move(files, place, lambda target, content=content: files.pipe_file(target, content))


@contextmanager
def created(path: str) -> Iterator[BinaryIO]:
    """A file to be written piece by piece; it has its name when the block has ended without an error."""
    if is_remote(path):
        files, place = filesystem(path)
        with tempfile.NamedTemporaryFile(prefix="scoring-batch-") as file:
            yield file  # type: ignore[misc]
            file.flush()
            if is_object_store(files):
                files.put_file(file.name, place)
            else:
                put_beside_and_move(files, place, lambda target: files.put_file(file.name, target))
        return
    temporary = f"{path}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def is_object_store(files: Any) -> bool:
    """Whether what is put is there in one step."""
    protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
    return bool(protocols & OBJECT_STORES)


def put_beside_and_move(files: Any, place: str, put: Any) -> None:
    files.makedirs(files._parent(place), exist_ok=True)
    temporary = f"{place}.{uuid.uuid4().hex[:12]}.tmp"
    put(temporary)
    files.mv(temporary, place)


def exists(path: str) -> bool:
    if is_remote(path):
        files, place = filesystem(path)
        return bool(files.exists(place))
    return os.path.exists(path)


def names(folder: str) -> set[str]:
    """The paths of all files below a folder; below a URL, as its file system calls them."""
    if is_remote(folder):
        files, place = filesystem(folder)
        return set(files.find(place))
    return {os.path.join(root, name) for root, _, found in os.walk(folder) for name in found}


def remove(path: str) -> None:
    if is_remote(path):
        files, place = filesystem(path)
        files.rm_file(place)
    else:
        os.unlink(path)


def remove_tree(path: str) -> None:
    """In one step where that is possible, so that a kill leaves nothing half there."""
    if is_remote(path):
        files, place = filesystem(path)
        if files.exists(place):
            files.rm(place, recursive=True)
        return
    if os.path.exists(path):
        gone = f"{path}.{uuid.uuid4().hex[:12]}.old"
        os.replace(path, gone)
        shutil.rmtree(gone)


def upload(folder: str, url: str) -> None:
    """Everything below a folder of this machine, to below a URL."""
    for path in sorted(names(folder)):
        with open(path, "rb") as file:
            write(f"{url}/{os.path.relpath(path, folder)}", file.read())
