"""Response headers as attributes, and as they go out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["HeaderProperty", "wire_fields"]

# The server writes these itself, whatever a script says.
OF_THE_CONNECTION = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "server",
        "date",
    )
)
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(r"[ \t\x21-\x7e\x80-\xff]*")
DATES = ("Last-Modified", "Expires")


class HeaderProperty:
    """A header as an attribute of the response; None removes it."""

    def __init__(self, header: str) -> None:
        self.header = header

    def __get__(self, response: Any, owner: type) -> Any:
        return self if response is None else response.headers.get(self.header)

    def __set__(self, response: Any, value: Any) -> None:
        if value is None:
            response.headers.remove(self.header)
        else:
            response.headers[self.header] = header_text(value, self.header in DATES)


def header_text(value: Any, is_date: bool) -> str:
    if hasattr(value, "utctimetuple") or (is_date and isinstance(value, (int, float))):
        from scoring_runtime.api.cookie import http_date

        return http_date(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(str, value))
    return str(value)


def wire_fields(fields: Iterable[tuple[str, Any]], sized: bool) -> list[tuple[str, str]]:
    """The fields that a script may set; without Content-Length where the body itself says it."""
    result = []
    for name, value in fields:
        lower = name.lower()
        if lower in OF_THE_CONNECTION or (sized and lower == "content-length"):
            continue
        text = str(value)
        if not NAME.fullmatch(name) or not VALUE.fullmatch(text):
            raise ValueError(f"Response header {name!r}: HTTP cannot carry this name or value: {text!r}.")
        result.append((name, text))
    return result
