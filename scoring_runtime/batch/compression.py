"""Compressed tables as the stream of their content: known by the ending of their names, read from the beginning on.

.gz, .bz2 and .xz through the standard library, .zst and .lz4 through Arrow; of a local file or of a URL.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from types import TracebackType
from typing import Any, BinaryIO

from scoring_runtime.batch.sources import COMPRESSED, open_source
from scoring_runtime.errors import BatchInputError

__all__ = ["Content", "ForwardReader", "is_compressed", "plain_name"]

ARROW_NAMES = {".zst": "zstd", ".lz4": "lz4"}
SKIPPED_BYTES = 4 * 1024 * 1024


def is_compressed(path: str) -> bool:
    return path.lower().endswith(COMPRESSED)


def plain_name(path: str) -> str:
    """The name without the ending that says how it is compressed: rows.csv of rows.csv.gz."""
    return os.path.splitext(path)[0] if is_compressed(path) else path


class Content:
    """A table's bytes, decompressed where its name says so. Raises BatchInputError for a damaged file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._source = open_source(path)
        self._file = decompressed(self._source, path)

    def __enter__(self) -> Content:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._source.close()

    def read(self, size: int) -> bytes:
        return self._guarded(self._file.read, size)

    def readline(self) -> bytes:
        return self._guarded(self._file.readline)

    def _guarded(self, read: Any, *arguments: int) -> bytes:
        try:
            return read(*arguments)  # type: ignore[no-any-return]
        except (EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) as error:
            if not is_compressed(self._path):
                raise
            raise BatchInputError(f"{self._path} cannot be decompressed: {error}. Is it whole?") from error


def decompressed(source: BinaryIO, path: str) -> BinaryIO:
    ending = os.path.splitext(path)[1].lower()
    if ending in ARROW_NAMES:
        import pyarrow

        stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(source, "r"), ARROW_NAMES[ending])
        return io.BufferedReader(stream)
    if ending == ".gz":
        return gzip.GzipFile(fileobj=source)  # type: ignore[return-value]
    if ending == ".bz2":
        return bz2.BZ2File(source)  # type: ignore[return-value]
    return lzma.LZMAFile(source) if ending == ".xz" else source  # type: ignore[return-value]


class ForwardReader:
    """Ranges of compressed files, counted in bytes of their content. Going back means beginning again."""

    def __init__(self) -> None:
        self._path = ""
        self._content: Content | None = None
        self._place = 0

    def read(self, path: str, start: int, length: int) -> bytes:
        content = self._at(path, start)
        data = b""
        while len(data) < length:
            more = content.read(length - len(data))
            if not more:
                raise BatchInputError(f"{path} has become shorter than it was when this run was planned.")
            data += more
        self._place += len(data)
        return data

    def close(self) -> None:
        if self._content is not None:
            self._content.close()
        self._content = None

    def _at(self, path: str, start: int) -> Content:
        if self._content is None or self._path != path or self._place > start:
            self.close()
            self._path, self._content, self._place = path, Content(path), 0
        while self._place < start:
            skipped = len(self._content.read(min(SKIPPED_BYTES, start - self._place)))
            if not skipped:
                break  # the read that follows says so
            self._place += skipped
        return self._content
