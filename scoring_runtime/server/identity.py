"""The identifiers of a request: what the client sent, what comes back, and when they are too long."""

from __future__ import annotations

import os

from scoring_runtime.errors import HeaderTooLong

__all__ = ["identify", "merged", "new_id"]

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


def identify(found: dict[bytes, bytes], version: bytes) -> tuple[bytes, HeaderTooLong | None]:
    """The header block that says who a request is, and the refusal if one of its identifiers is too long."""
    trace = found.get(b"traceid")
    block = version if trace is None else b"%sTraceId: %s\r\n" % (version, trace)
    request_id = found.get(b"x-request-id")
    if request_id is None:
        request_id = new_id()
    elif len(request_id) > LIMIT:
        return block, HeaderTooLong(f"x-request-id must not exceed {LIMIT} characters")
    legacy_id = found.get(b"x-ms-request-id", b"")
    client_id = found.get(b"x-ms-client-request-id", b"") or legacy_id
    legacy_id = legacy_id or client_id or request_id
    if len(legacy_id) > LIMIT or len(client_id) > LIMIT:
        error = HeaderTooLong(f"x-ms-request-id and x-ms-client-request-id must not exceed {LIMIT} characters")
        return (b"%sx-request-id: %s\r\n" % (block, request_id) if request_id else block), error
    if request_id:
        block = b"%sx-request-id: %s\r\n" % (block, request_id)
    if legacy_id:
        block = b"%sx-ms-request-id: %s\r\n" % (block, legacy_id)
    if client_id:
        block = b"%sx-ms-client-request-id: %s\r\n" % (block, client_id)
    return block, None


def merged(block: bytes, own_ids: list[tuple[str, str]]) -> bytes:
    """A script's own identifiers stay only where the server has none to put there."""
    lines = b"\r\n" + block
    kept = [(name, value) for name, value in own_ids if b"\r\n%s: " % name.encode() not in lines]
    return block + b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in kept)
