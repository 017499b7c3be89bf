"""What run() returned, as JSON: the text of json.dumps where that has an answer, and more types where it has none.

plain values        the C encoder of the standard library, called without its wrappers
long lists          orjson, its spaces and exponents then put as json.dumps writes them (25 times faster)
arrays, DataFrames  orjson; json.dumps refuses these, so the spacing is ours
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from json.encoder import JSONEncoder, encode_basestring_ascii
from typing import Any

from scoring_runtime.api.plain import NotPlain, extend, is_array, plain

try:
    from json.encoder import c_make_encoder  # type: ignore[attr-defined]
except ImportError:  # pragma: no cover  # an interpreter without the C module
    c_make_encoder = None

__all__ = ["allow_nan_by_default", "to_json"]

logger = logging.getLogger("azmlinfsrv")

LONG = 16  # elements, below which the C encoder is as fast
WIDE = 32  # keys of a dict that are looked at for long lists

# What orjson spells otherwise than repr(): small numbers without an exponent, exponents without sign or zero. Both
# patterns begin with plain characters, which makes the search as fast as a find().
SMALL = re.compile(rb"0\.0000\d+")
DIGITS = b"0123456789.,-[]"
EXPONENT = re.compile(rb"e([-+]?)(\d+)")

policy = {"allow_nan": False, "warned": False}


class ArrayFound(Exception):
    """The value holds an array, which orjson writes faster than anything else."""


def allow_nan_by_default(allow: bool) -> None:
    """Decide once, at boot, whether NaN and Infinity are written as such where the caller does not say."""
    policy["allow_nan"] = allow


def to_json(value: object, *, allow_nan: bool | None = None, compact: bool = False) -> bytes:
    """The value as JSON text. Without `allow_nan`, NaN and Infinity become null, and the log says so once.

    Raises TypeError for what has no JSON form, and ValueError for what contains itself.
    """
    allow = policy["allow_nan"] if allow_nan is None else allow_nan
    kind = type(value)
    if kind is dict and not compact and len(value) <= WIDE:  # type: ignore[arg-type]
        for item in value.values():  # type: ignore[attr-defined]
            if type(item) is list and len(item) >= LONG:
                return pieces(value, allow)  # type: ignore[arg-type]
    elif kind is list and len(value) >= LONG and not compact:  # type: ignore[arg-type]
        text = numbers(value)
        if text is not None:
            return text
    return general(value, allow, compact)


def pieces(value: dict[Any, Any], allow_nan: bool) -> bytes:
    """A dict some of whose values are long lists, each written by the fastest way that can write it."""
    members = []
    for key, item in value.items():
        if type(key) is not str:
            return general(value, allow_nan, False)
        text = numbers(item) if type(item) is list and len(item) >= LONG else None
        members.append(b"%s: %s" % (encode_basestring_ascii(key).encode(), text or general(item, allow_nan, False)))
    return b"{%s}" % b", ".join(members)


def numbers(value: object) -> bytes | None:
    """Lists of numbers, nested or not, in the spelling of json.dumps; None if there is anything else in them."""
    first = value
    while type(first) is list and first:
        first = first[0]
    if type(first) is not float and type(first) is not int:
        return None
    import orjson

    try:
        text = orjson.dumps(value)
    except TypeError:
        return None  # an integer over 64 bits, or not only numbers
    letters = text.translate(None, DIGITS)
    if letters:
        if b'"' in letters or b"n" in letters or b"{" in letters:
            return None  # strings have commas of their own, and a null may have been a NaN
        text = EXPONENT.sub(signed_exponent, text)
    if b"0.0000" in text:
        text = SMALL.sub(small_number, text)
    return text.replace(b",", b", ")


def signed_exponent(match: re.Match[bytes]) -> bytes:
    return b"e" + (match[1] or b"+") + match[2].zfill(2)


def small_number(match: re.Match[bytes]) -> bytes:
    before = match.string[match.start() - 1 : match.start()]
    return match[0] if before.isdigit() else repr(float(match[0])).encode()  # 10.00001 is not a small number


def general(value: object, allow_nan: bool, compact: bool) -> bytes:
    try:
        return standard(value, allow_nan, compact, with_arrays)
    except ArrayFound:
        return arrays(value, allow_nan, compact)
    except ValueError:
        if allow_nan:
            raise
        # Either it contains itself, and this raises the same again, or there is a NaN.
        try:
            standard(value, True, compact, with_arrays)
        except ArrayFound:
            return arrays(value, allow_nan, compact)
        warn_of_nan()
        return standard(plain(value, nan_is_null=True), True, compact, extend)
    except TypeError:
        # Mostly a key that json.dumps refuses; if it is not, this raises and names the type.
        return standard(plain(value, nan_is_null=not allow_nan), True, compact, extend)


def standard(value: object, allow_nan: bool, compact: bool, default: Callable[[Any], object]) -> bytes:
    item, key = (",", ":") if compact else (", ", ": ")
    if c_make_encoder is None:  # pragma: no cover
        return JSONEncoder(allow_nan=allow_nan, separators=(item, key), default=default).encode(value).encode()
    # A fresh dict of the containers under way: shared, it would keep marks of values that failed.
    encoder = c_make_encoder({}, default, encode_basestring_ascii, None, key, item, False, False, allow_nan)
    return "".join(encoder(value, 0)).encode()


def with_arrays(value: Any) -> object:
    if is_array(value):
        raise ArrayFound
    return extend(value)


def arrays(value: object, allow_nan: bool, compact: bool) -> bytes:
    if allow_nan:
        return standard(plain(value, nan_is_null=False), True, compact, extend)  # orjson writes NaN as null
    import orjson

    try:
        return orjson.dumps(value, default=fragment)
    except TypeError:
        # Keys other than str, integers over 64 bits, lone surrogates.
        return standard(plain(value, nan_is_null=True), True, compact, extend)


def fragment(value: Any) -> object:
    """Arrays of numbers by orjson itself; all others through lists (it writes a missing date as 1970)."""
    if is_array(value) and getattr(getattr(value, "dtype", None), "kind", "") in ("f", "i", "u", "b"):
        numpy = sys.modules.get("numpy")
        if numpy is not None and type(value) is numpy.ndarray and value.ndim:
            import orjson

            if value.dtype.kind == "f" and not policy["warned"] and not numpy.isfinite(value).all():
                warn_of_nan()
            array = numpy.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
            try:
                return orjson.Fragment(orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY))
            except TypeError:
                pass  # long doubles
    try:
        return extend(value)
    except NotPlain as error:
        raise TypeError(str(error)) from None


def warn_of_nan() -> None:
    if not policy["warned"]:
        policy["warned"] = True
        logger.warning(
            "run() returned NaN or Infinity, which JSON cannot write: the client gets null in their place. "
            "This is logged once."
        )
