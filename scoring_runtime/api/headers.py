"""Header fields: those of a request as scripts see them, and those of a response as scripts set them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

__all__ = ["BadRequestKeyError", "Headers", "RequestHeaders", "headers_dict"]

MISSING: Any = object()


class BadRequestKeyError(KeyError):
    """A parameter, form field, file or header that the request does not have."""

    code = 400


TITLES: dict[bytes, str] = {}  # b"content-type" -> "Content-Type"; "" for names that are dropped
TITLES_LIMIT = 2000


def title(name: bytes) -> str:
    # A name with an underscore could pass itself off as the one with a dash, so it is dropped.
    text = "" if b"_" in name else name.decode("latin-1").title()
    if len(TITLES) < TITLES_LIMIT:
        TITLES[name] = text
    return text


def headers_dict(raw_headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """A fresh dict of the headers: Title-Case names, repeated ones joined by a comma, values as latin-1.

    Names with an underscore are left out, and so are an empty Content-Type and Content-Length.
    """
    result: dict[str, str] = {}
    known = TITLES.get
    for name, value in raw_headers:
        key = known(name)
        if key is None:
            key = title(name)
        if key in result:
            if key == "Content-Type":  # never joined: the last one counts
                result[key] = value.decode("latin-1")
            else:
                result[key] += "," + value.decode("latin-1")
        elif key:
            result[key] = value.decode("latin-1")
    for key in ("Content-Type", "Content-Length"):
        if key in result and not result[key]:
            del result[key]
    return result


class RequestHeaders:
    """The headers of a request: read without regard to case, iterated as (Name, value) pairs."""

    def __init__(self, raw_headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.titled = headers_dict(raw_headers)
        self.by_name = {name.lower(): value for name, value in self.titled.items()}

    def __getitem__(self, key: str) -> str:
        value = self.by_name.get(key.lower().replace("_", "-")) if isinstance(key, str) else None
        if value is None:
            raise BadRequestKeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower().replace("_", "-") in self.by_name

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.titled.items())

    def __len__(self) -> int:
        return len(self.titled)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequestHeaders) and other.by_name == self.by_name

    __hash__ = None  # type: ignore[assignment]

    def get(self, key: str, default: Any = None, type: Callable[[str], Any] | None = None) -> Any:
        value = self.by_name.get(key.lower().replace("_", "-"))
        if value is None:
            return default
        if type is None:
            return value
        try:
            return type(value)
        except (ValueError, TypeError):
            return default

    def getlist(self, key: str, type: Callable[[str], Any] | None = None) -> list[Any]:
        """A list of the joined value, or an empty one."""
        value = self.get(key, None, type)
        return [] if value is None else [value]

    get_all = getlist

    def keys(self, lower: bool = False) -> Iterator[str]:
        return iter(self.by_name if lower else self.titled)

    def values(self) -> Iterator[str]:
        return iter(self.titled.values())

    def items(self, lower: bool = False) -> Iterator[tuple[str, str]]:
        return iter((self.by_name if lower else self.titled).items())

    def to_wsgi_list(self) -> list[tuple[str, str]]:
        return list(self)

    def refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("The headers of a request are read-only; dict(request.headers) makes a copy.")

    __setitem__ = __delitem__ = add = add_header = set = remove = pop = popitem = refuse
    setdefault = extend = update = clear = refuse

    def __str__(self) -> str:
        return "\r\n".join([*(f"{name}: {value}" for name, value in self), "\r\n"])

    def __repr__(self) -> str:
        return f"EnvironHeaders({list(self)!r})"


class Headers:
    """An ordered list of (name, value) pairs with the methods of a dict; a name may occur more than once."""

    def __init__(self, defaults: Any = None) -> None:
        self.fields: list[tuple[str, str]] = []
        if defaults is not None:
            self.extend(defaults)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int):
            return self.fields[key]
        if isinstance(key, slice):
            return type(self)(self.fields[key])
        values = self.getlist(key)
        if not values:
            raise BadRequestKeyError(key)
        return values[0]

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: Any) -> None:
        if isinstance(key, str):
            self.remove(key)
        else:
            del self.fields[key]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and any(name.lower() == key.lower() for name, _ in self.fields)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and lowered(other.fields) == lowered(self.fields)

    __hash__ = None  # type: ignore[assignment]

    def get(self, key: str, default: Any = None, type: Callable[[str], Any] | None = None) -> Any:
        values = self.getlist(key, type)
        return values[0] if values else default

    def getlist(self, key: str, type: Callable[[str], Any] | None = None) -> list[Any]:
        wanted = key.lower()
        values = [value for name, value in self.fields if name.lower() == wanted]
        if type is None:
            return values
        result = []
        for value in values:
            try:
                result.append(type(value))
            except (ValueError, TypeError):
                pass
        return result

    get_all = getlist

    def keys(self, lower: bool = False) -> Iterator[str]:
        return (name.lower() if lower else name for name, _ in self.fields)

    def values(self) -> Iterator[str]:
        return (value for _, value in self.fields)

    def items(self, lower: bool = False) -> Iterator[tuple[str, str]]:
        return ((name.lower() if lower else name, value) for name, value in self.fields)

    def to_wsgi_list(self) -> list[tuple[str, str]]:
        return list(self.fields)

    def copy(self) -> Headers:
        return type(self)(self.fields)

    __copy__ = copy

    def add(self, key: str, value: Any, /, **parameters: Any) -> None:
        """One more field; `parameters` are appended as in Content-Disposition: attachment; filename=..."""
        self.fields.append((key, field_value(value, parameters)))

    add_header = add

    def set(self, key: str, value: Any, /, **parameters: Any) -> None:
        """Put the field in the place of the first one of that name, and remove the others."""
        text = field_value(value, parameters)
        wanted = key.lower()
        kept: list[tuple[str, str]] = []
        placed = False
        for field in self.fields:
            if field[0].lower() != wanted:
                kept.append(field)
            elif not placed:
                kept.append((key, text))
                placed = True
        if not placed:
            kept.append((key, text))
        self.fields[:] = kept

    def setlist(self, key: str, values: Iterable[Any]) -> None:
        self.remove(key)
        for value in values:
            self.add(key, value)

    def setdefault(self, key: str, default: Any) -> str:
        if key not in self:
            self.set(key, default)
        return self[key]  # type: ignore[no-any-return]

    def extend(self, source: Any = None, /, **fields: Any) -> None:
        """Add fields, beside those of the same names."""
        for key, value in (*fields_of(source), *fields_of(fields)):
            self.add(key, value)

    def update(self, source: Any = None, /, **fields: Any) -> None:
        """Set fields, in the place of those of the same names."""
        replaced: set[str] = set()
        for key, value in (*fields_of(source), *fields_of(fields)):
            (self.add if key.lower() in replaced else self.set)(key, value)
            replaced.add(key.lower())

    def remove(self, key: str) -> None:
        wanted = key.lower()
        self.fields[:] = [field for field in self.fields if field[0].lower() != wanted]

    def pop(self, key: Any = None, default: Any = MISSING) -> Any:
        if key is None or isinstance(key, int):
            return self.fields.pop(-1 if key is None else key)
        if key not in self and default is not MISSING:
            return default
        value = self[key]
        self.remove(key)
        return value

    def popitem(self) -> tuple[str, str]:
        return self.fields.pop()

    def clear(self) -> None:
        self.fields.clear()

    def __str__(self) -> str:
        return "\r\n".join([*(f"{name}: {value}" for name, value in self.fields), "\r\n"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fields!r})"


def fields_of(source: Any) -> list[tuple[str, Any]]:
    if source is None:
        return []
    if isinstance(source, (Headers, RequestHeaders)):
        return list(source)
    if hasattr(source, "lists"):  # a MultiDict
        return [(key, value) for key, values in source.lists() for value in values]
    if not isinstance(source, Mapping):
        return list(source)
    result: list[tuple[str, Any]] = []
    for key, value in source.items():
        result.extend((key, one) for one in (value if isinstance(value, (list, tuple, set)) else [value]))
    return result


def field_value(value: Any, parameters: Mapping[str, Any]) -> str:
    text = value if isinstance(value, str) else str(value)
    for name, one in parameters.items():
        if one is not None:
            text += f"; {name.replace('_', '-')}={parameter(str(one))}"
    if "\n" in text or "\r" in text:
        raise ValueError(f"A header value cannot contain a line break, got {text!r}.")
    return text


def parameter(text: str) -> str:
    if text and text.replace("-", "").replace(".", "").replace("_", "").isalnum() and text.isascii():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def lowered(fields: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(name.lower(), value) for name, value in fields}
