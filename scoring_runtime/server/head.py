"""The head of a request as the front reads it: once, also for those after it on its connection that begin alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoring_runtime.server import wire

if TYPE_CHECKING:
    from scoring_runtime.server.connection import Connection

__all__ = ["Head"]

END = b"\r\n\r\n"
LEARNED_BYTES = 4096


class Head:
    """Target, headers and framing, and what follows from them alone. Nothing in it changes."""

    __slots__ = (
        *("agent", "cors", "found", "headers", "keep_alive", "length", "method", "path", "query", "referer", "shared"),
        *("target", "text", "total_bytes", "version"),
    )

    def __init__(
        self, protocol: Connection, method: str, path: str, query: bytes, version: str, found: dict[bytes, bytes]
    ) -> None:
        parser = protocol.parser
        cors = protocol.front.cors
        self.method = method
        self.path = path
        self.query = query
        self.version = version
        self.headers = protocol.headers
        self.found = found
        self.length = int(found.get(b"content-length", 0))
        self.keep_alive = version != "1.0" and parser.should_keep_alive() and not parser.should_upgrade()
        self.cors = cors.block(found, method) if cors else b""
        # for log lines
        self.target = f"{path}?{query.decode('latin-1')}" if query else path
        self.referer = found[b"referer"].decode("latin-1") if b"referer" in found else "-"
        self.agent = found[b"user-agent"].decode("latin-1") if b"user-agent" in found else "-"
        # what the worker gets of it
        self.shared = wire.pack((method, path, query, self.headers, protocol.client, protocol.scheme, version))
        # to know it again
        self.text = b""
        self.total_bytes = -1

    def learn(self, data: bytes) -> bool:
        """From bytes that began with a request and ended with this one; False if they may be more than its own."""
        found = self.found
        size = len(data) - self.length
        if (
            not self.keep_alive
            or self.method not in ("GET", "POST")  # OPTIONS may be a preflight, which no key can open
            or self.length > wire.INLINE_BYTES
            or size > LEARNED_BYTES
            or b"transfer-encoding" in found
            or b"expect" in found
            or data.find(END) + len(END) != size
        ):
            return False
        self.text = data[:size]
        self.total_bytes = len(data)
        return True

    def begins(self, data: bytes) -> bool:
        """Whether that is one whole request with this head: the parser would find in it what it found before."""
        return len(data) == self.total_bytes and data.startswith(self.text)
