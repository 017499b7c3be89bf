"""One Set-Cookie header, as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

__all__ = ["http_date", "set_cookie"]

UNQUOTED = re.compile(r"[\w!#$%&'()*+\-./:<=>?@\[\]^`{|}~]*", re.ASCII)
SLASHED = re.compile(rb"[\x00-\x19\",;\\\x7f-\xff]")


def set_cookie(
    key: str,
    value: str = "",
    max_age: timedelta | int | None = None,
    expires: str | datetime | float | None = None,
    path: str | None = "/",
    domain: str | None = None,
    secure: bool = False,
    httponly: bool = False,
    samesite: str | None = None,
    partitioned: bool = False,
) -> str:
    """The value of the header. A max_age is sent as a date too, for clients that know no ages."""
    seconds = max_age if max_age is None or isinstance(max_age, int) else int(max_age.total_seconds())
    if expires is None and seconds is not None:
        import time

        expires = time.time() + seconds
    if samesite is not None:
        samesite = samesite.title()
        if samesite not in ("Strict", "Lax", "None"):
            raise ValueError(f"samesite: expected 'Strict', 'Lax' or 'None', got {samesite!r}.")
    parts = [f"{key}={quoted(value)}"]
    if domain:
        parts.append(f"Domain={domain.partition(':')[0].lstrip('.').encode('idna').decode()}")
    if expires is not None:
        parts.append(f"Expires={expires if isinstance(expires, str) else http_date(expires)}")
    if seconds is not None:
        parts.append(f"Max-Age={seconds}")
    parts += [word for word, wanted in (("Secure", secure or partitioned), ("HttpOnly", httponly)) if wanted]
    if path is not None:
        from urllib.parse import quote

        path_text = quote(path, safe="%!$&'()*+,/:=@")
        parts.append(f"Path={path_text}")
    if samesite is not None:
        parts.append(f"SameSite={samesite}")
    if partitioned:
        parts.append("Partitioned")
    return "; ".join(parts)


def quoted(value: str) -> str:
    if UNQUOTED.fullmatch(value):
        return value
    return f'"{SLASHED.sub(slashed, value.encode()).decode("ascii")}"'


def slashed(match: re.Match[bytes]) -> bytes:
    return b"\\" + match[0] if match[0] in (b'"', b"\\") else b"\\%03o" % match[0][0]


def http_date(moment: datetime | float) -> str:
    """A timestamp or a datetime (UTC if it names no zone) as HTTP writes it."""
    from datetime import datetime, timezone
    from email.utils import format_datetime

    if isinstance(moment, datetime):
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
        return format_datetime(zoned.astimezone(timezone.utc), usegmt=True)
    return format_datetime(datetime.fromtimestamp(moment, timezone.utc), usegmt=True)
