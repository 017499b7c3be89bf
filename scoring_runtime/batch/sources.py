"""The input files: found through folders, globs and URLs, listed in one fixed order, and read by byte range.

A path with `://` goes through fsspec (extra `scoring-runtime[batch-remote]`), everything else through open().
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from scoring_runtime.errors import BatchInputError

__all__ = [
    "COMPRESSED",
    "Source",
    "absolute",
    "download",
    "filesystem",
    "find",
    "is_remote",
    "kind_of",
    "open_source",
    "read_range",
    "without_glob",
]

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")


@dataclass(frozen=True)
class Source:
    """One input file, and by what a later run knows that it is unchanged."""

    path: str
    size: int
    stamp: str

    def to_json(self) -> list[Any]:
        return [self.path, self.size, self.stamp]


def find(patterns: Iterable[str]) -> list[Source]:
    """Every file that the patterns name, each once: patterns in the order given, the files of each sorted."""
    found: dict[str, Source] = {}
    for pattern in patterns:
        matches = list(remote(pattern) if is_remote(pattern) else local(pattern))
        if not matches:
            raise BatchInputError(
                f"No input file matches {pattern!r}. Name a file, a folder, a glob (quoted) or a URL."
            )
        for source in matches:
            found.setdefault(source.path, source)
    return list(found.values())


def has_magic(path: str) -> bool:
    return any(character in path for character in "*?[")


def without_glob(pattern: str) -> str:
    """The folder, or file, below which everything lies that the pattern can match."""
    parts = pattern.split("/")
    plain = next((number for number, part in enumerate(parts) if has_magic(part)), len(parts))
    return "/".join(parts[:plain]) or ("/" if pattern.startswith("/") else ".")


def absolute(path: str) -> str:
    return path.rstrip("/") if is_remote(path) else os.path.abspath(path)


def is_remote(path: str) -> bool:
    return "://" in path


def local(pattern: str) -> Iterator[Source]:
    paths = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
    for path in paths:
        for file in walk(path) if os.path.isdir(path) else [path]:
            try:
                status = os.stat(file)
            except OSError as error:
                raise BatchInputError(f"{file} cannot be read: {error.strerror}. Mend it, or leave it out.") from None
            yield Source(os.path.abspath(file), status.st_size, str(status.st_mtime_ns))


def walk(folder: str) -> Iterator[str]:
    """Files below a folder, hidden ones and markers such as _SUCCESS left out."""
    for root, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        yield from (os.path.join(root, name) for name in sorted(names) if not name.startswith((".", "_")))


def unreadable(error: OSError) -> None:
    raise BatchInputError(f"The folder {error.filename} cannot be read: {error.strerror}.")


def remote(pattern: str) -> Iterator[Source]:
    files, place = filesystem(pattern)
    for path in sorted(files.glob(place)) if has_magic(place) else [place] if files.exists(place) else []:
        for each in sorted(files.find(path)) if files.isdir(path) else [path]:
            information = files.info(each)
            stamp = next((str(information[key]) for key in STAMPS if information.get(key)), "")
            yield Source(files.unstrip_protocol(each), int(information["size"]), stamp)


# What file systems call the thing that changes when a file's content does, the surest first.
STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")


def filesystem(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and what the URL is called there."""
    try:
        import fsspec
    except ImportError:
        raise BatchInputError(
            f"{url} is a URL, which needs fsspec: pip install 'scoring-runtime[batch-remote]'"
        ) from None
    try:
        return fsspec.core.url_to_fs(url, use_listings_cache=False)  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise BatchInputError(f"{url} cannot be opened: {error}") from None


def open_source(path: str) -> BinaryIO:
    if not is_remote(path):
        return open(path, "rb")
    import fsspec

    return fsspec.open(path, "rb").open()  # type: ignore[no-any-return]


def read_range(path: str, start: int, length: int) -> bytes:
    with open_source(path) as file:
        file.seek(start)
        data = file.read(length)
    if len(data) < length:
        raise BatchInputError(f"{path} has become shorter than it was when this run was planned.")
    return data


def download(path: str, folder: str) -> str:
    """The path of a local copy, for scripts that open files by name; a local file is its own.

    Each copy lies in a folder of its own, as files of several folders often have the same names.
    """
    if not is_remote(path):
        return path
    target = os.path.join(tempfile.mkdtemp(dir=folder), os.path.basename(path))
    with open_source(path) as source, open(target, "wb") as copy:
        shutil.copyfileobj(source, copy)
    return target


def kind_of(sources: list[Source], asked: str) -> str:
    """What the script gets: the format asked for, else the one that every file's name says, else files."""
    if asked != "auto":
        return asked
    kinds = {kind_by_name(source.path) for source in sources}
    return kinds.pop() if len(kinds) == 1 else "files"


def kind_by_name(path: str) -> str:
    name = path.lower()
    if name.endswith(COMPRESSED):  # Parquet and Arrow compress inside, and cannot be read from the beginning on
        kind = KINDS.get(os.path.splitext(os.path.splitext(name)[0])[1], "files")
        return kind if kind in ("csv", "jsonl") else "files"
    return KINDS.get(os.path.splitext(name)[1], "files")
