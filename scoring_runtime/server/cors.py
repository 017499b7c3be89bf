"""Cross-origin requests: which origins may call, and the answer to a browser's preflight."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["Cors"]

METHODS = ("GET", "POST")
REGEX_CHARACTERS = set("*\\]?$^[(")


class Cors:
    """AML_CORS_ORIGINS as one question: the header block for this request?"""

    def __init__(self, origins: str | None) -> None:
        self.origins = [o.strip() for o in (origins or "").split(",") if o.strip()]
        self.everyone = "*" in self.origins
        self.matchers = [matcher(o) for o in self.origins]
        self.listed = len(self.origins) > 1 or any(REGEX_CHARACTERS & set(o) for o in self.origins)

    def __bool__(self) -> bool:
        return bool(self.origins)

    def block(self, found: dict[bytes, bytes], method: str) -> bytes:
        """Header lines for an answer; empty without an Origin, or for one that is not listed."""
        origin = found.get(b"origin")
        if self.everyone:
            lines = b"Access-Control-Allow-Origin: *\r\n"
        elif origin is None:
            return b""
        elif any(match(origin.decode("latin-1")) for match in self.matchers):
            lines = b"Access-Control-Allow-Origin: %s\r\n" % origin
            if self.listed:
                lines += b"Vary: Origin\r\n"
        else:
            return b""
        if method == "OPTIONS":
            lines += self.preflight(found)
        return lines

    def preflight(self, found: dict[bytes, bytes]) -> bytes:
        asked = found.get(b"access-control-request-method", b"").strip().upper().decode("latin-1")
        if asked not in METHODS:
            return b""
        lines = b"Access-Control-Allow-Methods: %s\r\n" % ", ".join(METHODS).encode()
        headers = found.get(b"access-control-request-headers", b"").decode("latin-1")
        names = sorted(name for name in (h.strip() for h in headers.split(",")) if name)
        if names:
            lines += b"Access-Control-Allow-Headers: %s\r\n" % ", ".join(names).encode("latin-1")
        return lines


def matcher(origin: str) -> Callable[[str], object]:
    if REGEX_CHARACTERS & set(origin):
        try:
            return re.compile(origin, re.IGNORECASE).match
        except re.error:
            pass  # no expression after all
    lower = origin.lower()
    return lambda other: other.lower() == lower
