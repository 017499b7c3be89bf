"""Files by what is in them: `blobs/sha256/<hex>`, each once, and compared with its name when it is read.

blobs/lock              shared by all who add; whoever has it alone may remove what no record names
blobs/adding/<id>/      one for each who is adding, with its unfinished files; what is left of one that was killed
                        tells the next one to look for blobs that no record names
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from scoring_runtime.deploy.workspaces.disk import make_place
from scoring_runtime.deploy.workspaces.locks import free, locked
from scoring_runtime.deploy.workspaces.storage import Storage
from scoring_runtime.durable import make_folder, sync_folder
from scoring_runtime.errors import BlobCorrupt

__all__ = ["Adding", "Blob", "Blobs", "Told"]

CHUNK = (
    256 << 10
)  # bytes; stays in a core's cache between reading, hashing and writing; measured 1.6 times as fast as 1 MB
NAME = re.compile(r"[0-9a-f]{64}\Z")
Told = Callable[[int], None]  # of bytes, as they are copied


@dataclass(frozen=True)
class Blob:
    sha256: str
    size: int


def untold(count: int) -> None:
    """Nobody wants to know."""


class Adding:
    """One who adds, with a folder for what is unfinished. Until its end nothing is taken for garbage."""

    def __init__(self, blobs: Blobs, folder: str) -> None:
        self.blobs = blobs
        self.folder = folder

    def add(self, source: IO[bytes], told: Told = untold, expected: int | None = None) -> Blob:
        """Copy while hashing, until the end or past the expected size: a log that grows has no end.

        Its name is durable after sync(). What was there is replaced: this one is known good.
        """
        digest, size = hashlib.sha256(), 0
        temporary = os.path.join(self.folder, uuid.uuid4().hex[:12])
        with open(temporary, "wb") as file:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
                size += len(chunk)
                told(len(chunk))
                if expected is not None and size > expected:
                    break
            file.flush()
            os.fsync(file.fileno())
        name = digest.hexdigest()
        os.replace(temporary, self.blobs.path(name))
        return Blob(name, size)

    def find(self, source: IO[bytes], candidates: Collection[str], told: Told = untold) -> Blob | None:
        """The one of these blobs that the source is equal to, if it is undamaged; else the source is as it was."""
        digest, size = hashlib.sha256(), 0
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            told(len(chunk))
        name = digest.hexdigest()
        if name in candidates and self.blobs.is_whole(name):
            return Blob(name, size)
        told(-size)
        source.seek(0)
        return None

    def sync(self) -> None:
        """Before a record names them."""
        sync_folder(self.blobs.path())


class Blobs:
    """All blobs of a workspace."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def path(self, *sha256: str) -> str:
        """Its file, unread and so unverified."""
        return self.storage.path("blobs", "sha256", *sha256)

    def open(self, sha256: str) -> IO[bytes]:
        """Raises BlobCorrupt if it is not there; its contents are the caller's to verify."""
        try:
            if not NAME.match(sha256):
                raise FileNotFoundError(sha256)
            return self.storage.open("blobs", "sha256", sha256)
        except FileNotFoundError:
            raise BlobCorrupt(self.storage.where, sha256, "it is missing") from None

    def chunks(self, sha256: str, told: Told = untold) -> Generator[bytes]:
        """Raises BlobCorrupt, when all has been read, if it is not what it was."""
        digest = hashlib.sha256()
        with self.open(sha256) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                told(len(chunk))
                yield chunk
        found = digest.hexdigest()
        if found != sha256:
            raise BlobCorrupt(self.storage.where, sha256, f"its contents now have the hash {found}")

    def is_whole(self, sha256: str) -> bool:
        """There, and what it was: reads all of it."""
        try:
            for _ in self.chunks(sha256):
                pass
        except BlobCorrupt:
            return False
        return True

    def read(self, sha256: str) -> bytes:
        return b"".join(self.chunks(sha256))

    def copy(self, sha256: str, target: str, told: Told = untold) -> None:
        """Write it to a file, which is incomplete or wrong if this raises."""
        with open(target, "wb") as file:
            for chunk in self.chunks(sha256, told):
                file.write(chunk)

    @contextmanager
    def adding(self, removes: bool = False) -> Iterator[Adding]:
        """To add blobs and write the record that names them: until then nobody takes them for garbage.

        With `removes`, to stop naming some, which are garbage at the end. Whatever is killed within, what it left is
        removed when the next one enters. Not to be entered again within; do not hold the workspace's lock on entering.
        """
        home, lock = self.storage.path("blobs", "adding"), self.storage.path("blobs", "lock")
        make_place(self.storage.where, self.path())
        make_place(self.storage.where, home)
        if self.storage.listed("blobs", "adding"):
            self.collect()
        folder = os.path.join(home, uuid.uuid4().hex[:12])
        try:
            with locked(lock, shared=True):
                try:
                    make_folder(folder)
                except OSError as error:  # who only removes may do so to make space
                    if not (removes and error.errno in (errno.ENOSPC, errno.EDQUOT)):
                        raise
                yield Adding(self, folder)
                if not removes:
                    shutil.rmtree(folder)
        except BaseException:
            self.collect()
            raise
        if removes:
            self.collect()

    def collect(self) -> list[str] | None:
        """Remove what no record names; the names of the blobs. None if somebody is adding: the next one will do it."""
        from scoring_runtime.deploy.workspaces.garbage import named_blobs

        if not os.path.isdir(self.path()):
            return []
        with free(self.storage.path("blobs", "lock")) as alone:
            if not alone:
                return None
            named = named_blobs(self)
            removed = [name for name in sorted(os.listdir(self.path())) if name not in named]
            for name in removed:
                os.unlink(self.path(name))
            shutil.rmtree(self.storage.path("blobs", "adding"), ignore_errors=True)
            return removed
