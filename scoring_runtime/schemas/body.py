"""A request body as JSON, as strictly and as leniently as json.loads reads it."""

from __future__ import annotations

import json
from typing import Any

from scoring_runtime.errors import BadInput

__all__ = ["Document", "document_reader", "load"]

#: simdjson keeps buffers of the largest document it has read: larger ones than this get a parser of their own.
KEPT_BYTES = 4 * 1024 * 1024


def load(body: bytes) -> dict[str, Any]:
    """The JSON object in body: UTF-8 (BOM or not), UTF-16, UTF-32; NaN and duplicate keys allowed."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise BadInput("POST body could not be decoded as JSON: it is nested too deeply.") from None
    except ValueError as error:
        if not body:
            raise BadInput("POST body is empty. Expecting a JSON dictionary.") from None
        raise BadInput(f"POST body could not be decoded as JSON: {error}") from None
    return as_object(document)


def as_object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise BadInput("POST body should be a JSON dictionary.")
    return document


#: A simdjson.Object, still in the parser's memory: drop it before the next body is read.
Document = Any


def document_reader() -> Any:
    """read(body) -> Document, or None where only json.loads can tell; None itself without pysimdjson.

    Strings, integers and floats come out as json.loads gives them; what simdjson refuses (NaN, a lone surrogate,
    an integer over 64 bits, 1e400, UTF-16, an error) is json.loads' to accept or to explain.
    """
    try:
        import simdjson
    except ImportError:
        return None
    kept = simdjson.Parser()

    def read(body: bytes) -> Document | None:
        try:
            try:
                document = (kept if len(body) <= KEPT_BYTES else simdjson.Parser()).parse(body)
            except RuntimeError:  # another thread's document is still alive, or an integer has too many digits
                document = simdjson.Parser().parse(body)
        except (ValueError, RuntimeError):
            return None
        if not isinstance(document, simdjson.Object):
            return None
        # Of equal keys json takes the last and simdjson the first.
        return document if len(document) == 1 or len(set(document.keys())) == len(document) else None

    return read
