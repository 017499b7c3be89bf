"""Dicts that keep several values for a key, and uploaded files, as scripts know them from Flask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, NoReturn

from scoring_runtime.api.headers import BadRequestKeyError, Headers
from scoring_runtime.api.parse import options

__all__ = ["BadRequestKeyError", "CombinedMultiDict", "FileStorage", "Headers", "ImmutableMultiDict", "MultiDict"]

MISSING: Any = object()


def pairs(source: Any) -> Iterator[tuple[Any, Any]]:
    """Every key with each of its values, from a MultiDict, a mapping (to values or lists of them), or pairs."""
    if isinstance(source, MultiDict):
        yield from source.items(multi=True)
    elif isinstance(source, Mapping):
        for key, value in source.items():
            if isinstance(value, (list, tuple, set)):
                for one in value:
                    yield key, one
            else:
                yield key, value
    else:
        yield from source


class MultiDict(dict[Any, Any]):
    """A dict whose keys may have several values; the plain dict methods see the first one.

    A missing key raises BadRequestKeyError, which is a KeyError.
    """

    def __init__(self, mapping: Any = None) -> None:
        super().__init__()
        if mapping is not None:
            for key, value in pairs(mapping):
                self.values_of(key).append(value)

    def values_of(self, key: Any) -> list[Any]:
        """The list itself, made when it is absent."""
        return dict.setdefault(self, key, [])

    def __getitem__(self, key: Any) -> Any:
        values = dict.get(self, key)
        if not values:
            raise BadRequestKeyError(key)
        return values[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        dict.__setitem__(self, key, [value])

    def __iter__(self) -> Iterator[Any]:
        # Overridden so that dict(multi_dict) asks for first values instead of copying the lists.
        return dict.__iter__(self)

    def __copy__(self) -> MultiDict:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> MultiDict:
        return self.deepcopy(memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.to_dict(flat=False),)

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        both = MultiDict(self)
        both.update(other)
        return both

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.items(multi=True))!r})"

    def get(self, key: Any, default: Any = None, type: Callable[[Any], Any] | None = None) -> Any:
        """The first value, converted by `type`; the default when it is absent or cannot be converted."""
        try:
            value = self[key]
        except KeyError:
            return default
        if type is None:
            return value
        try:
            return type(value)
        except (ValueError, TypeError):
            return default

    def getlist(self, key: Any, type: Callable[[Any], Any] | None = None) -> list[Any]:
        """All values of the key, without those that `type` cannot convert."""
        values = dict.get(self, key, ())
        return list(values) if type is None else converted(values, type)

    def items(self, multi: bool = False) -> Any:
        for key, values in dict.items(self):
            for value in values if multi else values[:1]:
                yield key, value

    def keys(self) -> Any:
        return dict.keys(self)

    def values(self) -> Any:
        for _, value in self.items():
            yield value

    def lists(self) -> Iterator[tuple[Any, list[Any]]]:
        for key, values in dict.items(self):
            yield key, list(values)

    def listvalues(self) -> Iterable[list[Any]]:
        return dict.values(self)

    def to_dict(self, flat: bool = True) -> dict[Any, Any]:
        """A plain dict of first values, or of lists of all values."""
        return dict(self.items()) if flat else dict(self.lists())

    def copy(self) -> MultiDict:
        return type(self)(self)

    def deepcopy(self, memo: Any = None) -> MultiDict:
        from copy import deepcopy

        return type(self)(deepcopy(self.to_dict(flat=False), memo))

    def add(self, key: Any, value: Any) -> None:
        """One more value for the key."""
        self.values_of(key).append(value)

    def setlist(self, key: Any, new_list: Iterable[Any]) -> None:
        dict.__setitem__(self, key, list(new_list))

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def setlistdefault(self, key: Any, default_list: Iterable[Any] | None = None) -> list[Any]:
        if key not in self:
            self.setlist(key, default_list or ())
        return self.values_of(key)

    def update(self, *others: Any, **values: Any) -> None:
        """Unlike dict.update(), adds to the values that a key has."""
        for other in (*others, values):
            for key, value in pairs(other):
                self.values_of(key).append(value)

    def pop(self, key: Any, default: Any = MISSING) -> Any:
        values = dict.pop(self, key, None)
        if values:
            return values[0]
        if default is MISSING:
            raise BadRequestKeyError(key)
        return default

    def poplist(self, key: Any) -> list[Any]:
        return dict.pop(self, key, [])

    def popitem(self) -> tuple[Any, Any]:
        key, values = self.popitemlist()
        if not values:
            raise BadRequestKeyError(key)
        return key, values[0]

    def popitemlist(self) -> tuple[Any, list[Any]]:
        try:
            return dict.popitem(self)
        except KeyError as error:
            raise BadRequestKeyError(error.args[0]) from None


def converted(values: Iterable[Any], convert: Callable[[Any], Any]) -> list[Any]:
    result = []
    for value in values:
        try:
            result.append(convert(value))
        except (ValueError, TypeError):
            pass
    return result


class ImmutableMultiDict(MultiDict):
    """What a request holds: reading only; copy() gives a MultiDict that can be changed."""

    def refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__!r} objects are immutable; copy() gives one that is not.")

    __setitem__ = __delitem__ = __ior__ = add = setlist = setdefault = setlistdefault = refuse
    update = pop = poplist = popitem = popitemlist = clear = refuse

    def copy(self) -> MultiDict:
        return MultiDict(self)

    def __copy__(self) -> ImmutableMultiDict:
        return self

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items(multi=True)))


class CombinedMultiDict(ImmutableMultiDict):
    """Several MultiDicts read as one: the first that has a key gives its value, getlist() asks them all."""

    def __init__(self, dicts: Iterable[MultiDict] = ()) -> None:
        self.dicts = list(dicts)
        super().__init__(pair for source in self.dicts for pair in source.items(multi=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.dicts,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dicts!r})"


class FileStorage:
    """An uploaded file: what its part said about it, and all methods of the file that holds it."""

    def __init__(
        self,
        stream: IO[bytes] | None = None,
        filename: str | None = None,
        name: str | None = None,
        content_type: str | None = None,
        content_length: int | None = None,
        headers: Headers | None = None,
    ) -> None:
        if stream is None:
            from io import BytesIO

            stream = BytesIO()
        self.stream: IO[bytes] = stream
        self.name = name
        self.filename = filename if filename is not None else name_of(stream)
        self.headers = Headers() if headers is None else headers
        if content_type is not None:
            self.headers["Content-Type"] = content_type
        if content_length is not None:
            self.headers["Content-Length"] = str(content_length)

    @property
    def content_type(self) -> str | None:
        return self.headers.get("content-type")  # type: ignore[no-any-return]

    @property
    def content_length(self) -> int:
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() and text.isascii() else 0

    @property
    def mimetype(self) -> str:
        """The content type without its parameters, in lower case."""
        return options(self.content_type or "")[0].lower()

    @property
    def mimetype_params(self) -> dict[str, str]:
        return options(self.content_type or "")[1]

    def save(self, dst: Any, buffer_size: int = 16384) -> None:
        """Write what follows the current position to a path, or to a file that stays open."""
        from shutil import copyfileobj

        if isinstance(dst, str) or hasattr(dst, "__fspath__"):
            with open(dst, "wb") as file:
                copyfileobj(self.stream, file, buffer_size)
        else:
            copyfileobj(self.stream, dst, buffer_size)

    def close(self) -> None:
        try:
            self.stream.close()
        except Exception:
            pass  # the script may have put anything here

    def __enter__(self) -> FileStorage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __bool__(self) -> bool:
        return bool(self.filename)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> Any:
        stream = self.__dict__.get("stream")  # absent while a copy is being made
        try:
            return getattr(stream, name)
        except AttributeError:
            # Before Python 3.11 a spooled file lacks readable(), seekable() and others that its inner file has.
            inner = getattr(stream, "_file", None)
            if inner is None or not hasattr(inner, name):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None
            return getattr(inner, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.filename!r} ({self.content_type!r})>"


def name_of(stream: Any) -> str | None:
    """The file name, unless it is one like <stderr>, or a descriptor."""
    name = getattr(stream, "name", None)
    if isinstance(name, bytes):
        from os import fsdecode

        name = fsdecode(name)
    if not isinstance(name, str) or (name.startswith("<") and name.endswith(">")):
        return None
    return name
