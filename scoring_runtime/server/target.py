"""What a request is for: its target in any of its forms, and the headers that the front itself looks at."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

__all__ = ["normal_target", "split_target", "wanted_headers"]

LOOKED_AT = frozenset(
    b"x-request-id x-ms-request-id x-ms-client-request-id traceid host content-length transfer-encoding expect origin "
    b"access-control-request-method access-control-request-headers referer user-agent authorization".split()
)


def wanted_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that the front looks at; repeated ones joined, as the reference's are."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in LOOKED_AT:
            found[name] = value if name not in found else b"%s,%s" % (found[name], value)
    return found


def split_target(target: bytes) -> tuple[str, bytes]:
    """Path, percent-decoded, and query of a request target in any of its forms."""
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") and b"://" in path:  # absolute form
        rest = path.partition(b"://")[2]
        path = b"/" + rest.partition(b"/")[2]
    path = b"/" + path.lstrip(b"/")
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "replace"), query.partition(b"#")[0]


def normal_target(path: str, query: bytes) -> bytes:
    """A target that uvicorn's URL parser takes, of which the ASGI way sees the same path."""
    encoded = quote(path, safe="/:@!$&'()*+,;=-._~").encode()
    return b"%s?%s" % (encoded, query) if query else encoded
