"""Found files become blobs: large ones one after the other, small ones several at a time, all seen not to change."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.models.model_files import FoundFile, FoundFiles, Progress, stamp
from scoring_runtime.deploy.workspaces.disk import check_space, named_disk_errors
from scoring_runtime.errors import FilesChanged, ModelError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.blobs import Adding, Blob, Told

__all__ = ["Known", "stored"]

SMALL = 1 << 20  # bytes
THREADS = 8  # a small file costs a sync, and file systems do several syncs as one
Known = Mapping[int, Collection[str]]  # size -> hashes of blobs of this size, which a file may well be equal to


class Count:
    """Bytes of all threads."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress = total, progress
        self.done = 0
        self.lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self.lock:
            self.done += count
            if self.progress is not None:
                self.progress(self.done, self.total)


def stored(found: FoundFiles, adding: Adding, progress: Progress | None, known: Known) -> list[dict[str, Any]]:
    """The `files` of a record. What is known is not copied again. Raises FilesChanged, ModelError and DiskFull."""
    count = Count(found.size, progress)
    with named_disk_errors(adding.folder, found.size):
        check_space(adding.folder, sum(file.size for file in found.files if file.size not in known))
        small = [file for file in found.files if file.size < SMALL]
        large = [file for file in found.files if file.size >= SMALL]
        blobs = dict(zip(small, together(small, adding, count, known), strict=True))
        blobs.update((file, store(file, adding, count, known)) for file in large)
        adding.sync()
    return [
        {
            "path": file.path,
            "sha256": blobs[file].sha256,
            "size": file.size,
            "mode": 0o755 if file.executable else 0o644,
        }
        for file in found.files
    ]


def together(files: Sequence[FoundFile], adding: Adding, told: Told, known: Known) -> list[Blob]:
    """The first error, or Ctrl-C, leaves undone what has not begun."""
    with ThreadPoolExecutor(THREADS, "store") as threads:
        try:
            return list(threads.map(lambda file: store(file, adding, told, known), files))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def store(file: FoundFile, adding: Adding, told: Told, known: Known) -> Blob:
    try:
        source = open(file.source, "rb", buffering=0)
    except OSError as error:
        raise ModelError(f"{file.source} cannot be read: {error.strerror}. Check its permissions.") from None
    with source:
        before = stamp(os.fstat(source.fileno()))
        blob = before == file.stamp and file.size in known and adding.find(source, known[file.size], told)
        blob = blob or adding.add(source, told, file.size)
        after = stamp(os.fstat(source.fileno()))
    if not before == after == file.stamp or blob.size != file.size:
        raise FilesChanged(file.source)
    return blob
