"""The identifiers of a request: what the client sent, what comes back, and when they are too long."""

from __future__ import annotations

import os

from scoring_runtime.errors import HeaderTooLong

__all__ = ["Identity", "identify", "new_id"]

LIMIT = 100

_pool: list[bytes] = []


def new_id() -> bytes:
    """A version 4 UUID. Random bytes come 256 ids at a time: one system call each would cost more than the rest."""
    if not _pool:
        text = os.urandom(16 * 256).hex()
        for start in range(0, len(text), 32):
            s = text[start : start + 32]
            variant = "89ab"[int(s[16], 16) & 3]
            _pool.append(f"{s[:8]}-{s[8:12]}-4{s[13:16]}-{variant}{s[17:20]}-{s[20:]}".encode())
    return _pool.pop()


class Identity:
    """The header block to send back, and what goes into logs."""

    __slots__ = ("block", "client_id", "deprecated", "legacy_id", "request_id")

    def __init__(self, request_id: bytes, legacy_id: bytes, client_id: bytes, rest: bytes, deprecated: bool) -> None:
        self.request_id = request_id
        self.legacy_id = legacy_id
        self.client_id = client_id
        self.deprecated = deprecated
        block = rest
        if request_id:
            block = b"%sx-request-id: %s\r\n" % (block, request_id)
        if legacy_id:
            block = b"%sx-ms-request-id: %s\r\n" % (block, legacy_id)
        if client_id:
            block = b"%sx-ms-client-request-id: %s\r\n" % (block, client_id)
        self.block = block

    def merge(self, own_ids: list[tuple[str, str]]) -> bytes:
        """A script's own identifiers stay only where the server has none to put there."""
        taken = {b"x-request-id": self.request_id, b"x-ms-request-id": self.legacy_id}
        taken[b"x-ms-client-request-id"] = self.client_id
        kept = [(n, v) for n, v in own_ids if not taken[n.encode()]]
        return self.block + b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in kept)


def identify(found: dict[bytes, bytes], version: bytes) -> tuple[Identity, HeaderTooLong | None]:
    """The identity of a request from its headers, and the refusal if one of them is too long."""
    trace = found.get(b"traceid")
    rest = version if trace is None else b"%sTraceId: %s\r\n" % (version, trace)
    request_id = found.get(b"x-request-id")
    if request_id is None:
        request_id = new_id()
    elif len(request_id) > LIMIT:
        error = HeaderTooLong(f"x-request-id must not exceed {LIMIT} characters")
        return Identity(b"", b"", b"", rest, False), error
    legacy_id = found.get(b"x-ms-request-id", b"")
    client_id = found.get(b"x-ms-client-request-id", b"")
    deprecated = bool(legacy_id)
    if legacy_id:
        client_id = client_id or legacy_id
    else:
        legacy_id = client_id or request_id
    if len(legacy_id) > LIMIT or len(client_id) > LIMIT:
        error = HeaderTooLong(f"x-ms-request-id and x-ms-client-request-id must not exceed {LIMIT} characters")
        return Identity(request_id, b"", b"", rest, deprecated), error
    return Identity(request_id, legacy_id, client_id, rest, deprecated), None
