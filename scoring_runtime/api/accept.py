"""What a client said about itself: the types it accepts, its credentials, its program, its clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scoring_runtime.api.parse import comma_list, options

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Accept", "Authorization", "UserAgent", "parse_date"]

QUALITY = re.compile(r"[01](\.\d+)?|\.\d+", re.ASCII)


class Accept(list[tuple[str, float]]):
    """(value, quality) pairs, the best first."""

    @classmethod
    def from_header(cls, text: str) -> Accept:
        items = []
        for item in comma_list(text):
            value, parameters = options(item)
            quality = parameters.pop("q", "1").strip()
            if QUALITY.fullmatch(quality) and float(quality) <= 1:
                value += "".join(f"; {name}={one}" for name, one in parameters.items())
                items.append((value, float(quality)))
        return cls(sorted(items, key=lambda item: (specificity(item[0]), item[1]), reverse=True))

    def __getitem__(self, key: Any) -> Any:
        return self.quality(key) if isinstance(key, str) else super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and any(matches(accepted, key) for accepted, _ in self)

    def quality(self, key: str) -> float:
        """How well the value is liked: 0 if it is not accepted."""
        return next((quality for accepted, quality in self if matches(accepted, key)), 0)

    @property
    def best(self) -> str | None:
        return max(self, key=lambda item: item[1])[0] if self else None

    def best_match(self, candidates: Any, default: str | None = None) -> str | None:
        """The candidate that is liked best; the default if none is accepted."""
        best, best_quality = default, 0.0
        for candidate in candidates:
            if self.quality(candidate) > best_quality:
                best, best_quality = candidate, self.quality(candidate)
        return best

    def values(self) -> list[str]:
        return [value for value, _ in self]

    def to_header(self) -> str:
        return ",".join(value if quality == 1 else f"{value};q={quality:g}" for value, quality in self)

    __str__ = to_header

    @property
    def accept_json(self) -> bool:
        return self.quality("application/json") > 0

    @property
    def accept_html(self) -> bool:
        return self.quality("text/html") > 0 or self.quality("application/xhtml+xml") > 0


def specificity(value: str) -> tuple[bool, ...]:
    return tuple(part != "*" for part in re.split(r"[/;]", value))


def matches(accepted: str, value: str) -> bool:
    accepted, value = accepted.lower(), value.lower()
    main, slash, sub = accepted.partition("/")
    return accepted in ("*", "*/*", value) or (slash == "/" and sub == "*" and value.startswith(main + "/"))


class Authorization:
    """The scheme in lower case; `username` and `password`, or `token`, or `parameters`."""

    def __init__(self, kind: str, parameters: dict[str, str] | None = None, token: str | None = None) -> None:
        self.type = kind
        self.parameters = parameters or {}
        self.token = token

    @classmethod
    def from_header(cls, text: str | None) -> Authorization | None:
        if not text:
            return None
        kind, _, rest = text.partition(" ")
        kind, rest = kind.lower(), rest.strip()
        if kind == "basic":
            from base64 import b64decode

            try:
                user, _, password = b64decode(rest, validate=True).decode().partition(":")
            except ValueError:
                return None
            return cls(kind, {"username": user, "password": password})
        if "=" in rest.rstrip("="):
            return cls(kind, options(";".join(["_", *comma_list(rest)]))[1])
        return cls(kind, token=rest)

    @property
    def username(self) -> str | None:
        return self.get("username")  # type: ignore[no-any-return]

    @property
    def password(self) -> str | None:
        return self.get("password")  # type: ignore[no-any-return]

    def get(self, name: str, default: Any = None) -> Any:
        return self.parameters.get(name, default)

    def __getitem__(self, name: str) -> str | None:
        return self.parameters.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self.parameters

    def to_header(self) -> str:
        if self.type == "basic":
            from base64 import b64encode

            return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()
        if self.token is not None:
            return f"{self.type.title()} {self.token}"
        return f"{self.type.title()} " + ", ".join(f'{name}="{value}"' for name, value in self.parameters.items())

    __str__ = to_header

    def __repr__(self) -> str:
        return f"<Authorization {self.type.title()}>"  # without the secret


class UserAgent:
    """The client program. Only its name is known; browser, platform and version are always None."""

    platform = browser = version = language = None

    def __init__(self, string: str) -> None:
        self.string = string

    def to_header(self) -> str:
        return self.string

    __str__ = to_header

    def __bool__(self) -> bool:
        return bool(self.string)

    def __repr__(self) -> str:
        return f"<UserAgent {self.string!r}>"


def parse_date(text: str | None) -> datetime | None:
    """An HTTP date with its zone; None if it is absent or is not one."""
    if text is None:
        return None
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)
