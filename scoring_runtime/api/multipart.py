"""Reads forms. Multipart ones as they stream by: fields into memory, files into temporary files that spill to disk.

--boundary CRLF  headers CRLF CRLF  data  CRLF --boundary CRLF  headers ...  CRLF --boundary--
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any, cast

from scoring_runtime.api.datastructures import FileStorage
from scoring_runtime.api.headers import Headers
from scoring_runtime.api.parse import CHARSETS, options, query

__all__ = ["read_form", "read_multipart"]

CHUNK_BYTES = 256 * 1024
IN_MEMORY_BYTES = 500 * 1000  # of one file

BREAK = rb"(?:\r\n|\n|\r)"
BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
FIRST_BREAK = re.compile(BREAK)
CONTINUED = re.compile(BREAK + rb"[ \t]")

Fields = list[tuple[str | None, str]]
Files = list[tuple[str | None, FileStorage]]


def read_form(stream: IO[bytes], mimetype: str, parameters: dict[str, str]) -> tuple[Fields, Files]:
    """The fields and files of a form of either kind; raises ValueError when it is broken."""
    if mimetype == "multipart/form-data":
        boundary = parameters.get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError("The content type names no boundary.")  # nothing is read: the script can still
        return read_multipart(stream, boundary)
    return [*query(stream.read().decode())], []


def read_multipart(stream: IO[bytes], boundary: bytes) -> tuple[Fields, Files]:
    """All fields and files of the body; raises ValueError when it is broken or ends early."""
    fields: Fields = []
    files: Files = []
    reader = Reader(stream, boundary)
    try:
        while reader.next_part():
            headers = part_headers(reader.head())
            disposition = headers.get("content-disposition")
            if disposition is None:
                raise ValueError("A part has no Content-Disposition header.")
            parameters = options(disposition)[1]
            name, filename = parameters.get("name"), parameters.get("filename")
            if filename is None:
                data = b"".join(reader.data())
                fields.append((name, data.decode(charset_of(headers), "replace")))
            else:
                file = spooled()
                files.append((name, FileStorage(file, filename, name, headers=headers)))
                for chunk in reader.data():
                    file.write(chunk)
                file.seek(0)
    except ValueError:
        for _, storage in files:
            storage.close()
        raise
    finally:
        reader.drain()
    return fields, files


def spooled() -> IO[bytes]:
    from tempfile import SpooledTemporaryFile

    return cast("IO[bytes]", SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, mode="rb+"))


class Reader:
    """Cuts the stream at its boundaries; holds back only what could be the beginning of one."""

    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self.stream = stream
        self.mark = b"--" + boundary
        end = rb"%s(--[^\S\r\n]*%s?|[^\S\r\n]*%s)" % (re.escape(self.mark), BREAK, BREAK)
        self.first_boundary = re.compile(BREAK + b"?" + end)
        self.boundary = re.compile(BREAK + end)
        self.buffer = bytearray()
        self.ended = False
        self.started = False
        self.closed = False  # the last boundary was the closing one

    def more(self) -> None:
        """Read on, or say that the body ends too early."""
        if self.ended:
            raise ValueError("The multipart body ends before its closing boundary.")
        chunk = self.stream.read(CHUNK_BYTES)
        self.ended = not chunk
        self.buffer += chunk

    def next_part(self) -> bool:
        if not self.started:
            self.started = True
            for _ in self.until(self.first_boundary):
                pass  # a preamble
        return not self.closed

    def head(self) -> bytes:
        """The header block; the break before the data stays, as it may belong to a boundary."""
        searched = 0
        while (match := BLANK_LINE.search(self.buffer, searched)) is None:
            searched = max(0, len(self.buffer) - 3)
            self.more()
        block = bytes(self.buffer[: match.start()])
        del self.buffer[: (match.start() + match.end()) // 2]
        return block

    def data(self) -> Iterator[bytes]:
        """The data of the part, up to its boundary."""
        begin = FIRST_BREAK.match(self.buffer)
        skip = begin.end() if begin else 0
        for chunk in self.until(self.boundary):
            yield chunk[skip:]
            skip = max(0, skip - len(chunk))

    def until(self, boundary: re.Pattern[bytes]) -> Iterator[bytes]:
        while True:
            match = boundary.search(self.buffer)
            # At the end of what is read, a break may be half of one, and dashes may be yet to come.
            if match is not None and (match.end() < len(self.buffer) or self.ended):
                break
            held = self.held_from()
            if match is None and held:
                chunk = bytes(self.buffer[:held])
                del self.buffer[:held]
                yield chunk
            self.more()
        self.closed = match[1].startswith(b"--")
        chunk = bytes(self.buffer[: match.start()])
        del self.buffer[: match.end()]
        yield chunk

    def held_from(self) -> int:
        """Where a boundary that is not complete yet could begin."""
        begun = self.buffer.rfind(self.mark)
        if begun >= 0 and not self.buffer[begun + len(self.mark) :].strip(b"- \t\x0b\x0c\r\n"):
            return max(0, begun - 2)
        return max(0, len(self.buffer) - len(self.mark) - 2)

    def drain(self) -> None:
        """Read to the end, as whoever asks for the stream afterwards finds it used up."""
        while self.stream.read(CHUNK_BYTES):
            pass


def part_headers(block: bytes) -> Headers:
    headers = Headers()
    for line in CONTINUED.sub(b" ", block).splitlines():
        if line.strip():
            name, _, value = line.decode().partition(":")
            headers.add(name.strip(" \t"), value.strip(" \t"))
    return headers


def charset_of(headers: Any) -> str:
    charset = options(headers.get("content-type", ""))[1].get("charset", "").lower()
    return charset if charset in CHARSETS else "utf-8"
