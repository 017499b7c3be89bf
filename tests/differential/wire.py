"""HTTP as bytes on a socket: requests written exactly as given, answers parsed strictly."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 20.0

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One response; `complete` is false where the connection ended before its framing said so."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    version: str = "HTTP/1.1"
    chunks: list[bytes] | None = None
    interim: list[int] = field(default_factory=list)
    complete: bool = True

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class BrokenAnswer(Exception):
    """The peer closed the connection, or spoke something that is not HTTP."""


def request(
    method: str = "POST",
    target: str = "/score",
    body: bytes | str = b"",
    headers: Headers = (),
    *,
    version: str = "HTTP/1.1",
    host: str | None = "scoring.test",
    length: bool = True,
) -> bytes:
    """The bytes of one request. A length is added to whatever has a body, and to every POST."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if length and (content or method == "POST"):
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def json_request(body: bytes | str, target: str = "/score", headers: Headers = (), method: str = "POST") -> bytes:
    return request(method, target, body, [("Content-Type", "application/json"), *headers])


def chunked_request(pieces: Iterable[bytes], headers: Headers = (), target: str = "/score") -> bytes:
    head = request("POST", target, b"", [("Transfer-Encoding", "chunked"), *headers], length=False)
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Reader:
    """Reads lines and exact lengths from a socket."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self.buffer = b""

    def more(self) -> bool:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server did not answer in time")
        self.sock.settimeout(left)
        try:
            piece = self.sock.recv(65536)
        except ConnectionResetError:
            piece = b""
        self.buffer += piece
        return bool(piece)

    def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            if not self.more():
                raise EOFError
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.more():
                raise EOFError
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def rest(self) -> bytes:
        while self.more():
            pass
        taken, self.buffer = self.buffer, b""
        return taken


def read_answer(reader: Reader, *, head_only: bool = False) -> Answer:
    """The next response on the connection, interim ones noted and skipped."""
    interim: list[int] = []
    while True:
        status, version, headers = read_head(reader)
        if status >= 200:
            break
        interim.append(status)
    found = {name.lower(): value for name, value in headers}
    chunks: list[bytes] | None = None
    body = b""
    complete = True
    if head_only or status in (204, 304):
        pass
    elif found.get("transfer-encoding", "").lower() == "chunked":
        chunks = []
        try:
            while size := int(reader.line(), 16):
                chunks.append(reader.exactly(size))
                reader.exactly(2)
            reader.exactly(2)
        except EOFError:
            complete = False
        body = b"".join(chunks)
    elif "content-length" in found:
        try:
            body = reader.exactly(int(found["content-length"]))
        except EOFError:
            body, complete = reader.buffer, False
    else:
        body = reader.rest()
    return Answer(status, headers, body, version, chunks, interim, complete)


def read_head(reader: Reader) -> tuple[int, str, list[tuple[str, str]]]:
    try:
        first = reader.line()
        lines = []
        while line := reader.line():
            lines.append(line)
    except EOFError:
        raise BrokenAnswer(f"closed before the end of the headers: {reader.buffer[:200]!r}") from None
    version, _, rest = first.decode("latin-1").partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise BrokenAnswer(f"not a status line: {first!r}")
    headers = []
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise BrokenAnswer(f"not a header: {line!r}")
        headers.append((name, value.strip()))
    return int(rest[:3]), version, headers


def connect(port: int, timeout: float = TIMEOUT_SECONDS) -> tuple[socket.socket, Reader]:
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, Reader(sock, time.monotonic() + timeout)


def exchange(port: int, raw: bytes, timeout: float = TIMEOUT_SECONDS) -> Answer:
    """Sends one request on its own connection and reads the answer; BrokenAnswer where none comes."""
    sock, reader = connect(port, timeout)
    with sock:
        try:
            sock.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused early: the answer may be there all the same
        return read_answer(reader, head_only=raw.startswith(b"HEAD "))
