"""Streams the generator that the request names."""

import json

from azureml.contrib.services.aml_response import AMLResponse

CLOSED = []


def pieces():
    yield "first "
    yield b"second "
    yield "dritte ä"


def events():
    for item in ("one", "two", "three"):
        yield f"item: {item}\n\n"


def with_empty_pieces():
    yield ""
    yield "a"
    yield b""
    yield "b"


def nothing():
    return
    yield


def breaks_at_once():
    raise ValueError("no first piece")
    yield


def breaks_later():
    yield "part "
    raise ValueError("no second piece")


def wrong_type():
    yield "part "
    yield 5


def large():
    for _ in range(40):
        yield b"z" * 10_000


def notes_closing():
    try:
        yield "a"
        yield "b"
    finally:
        CLOSED.append("closed")


STREAMS = {
    "text-and-bytes": lambda: AMLResponse(pieces(), 200),
    "events": lambda: AMLResponse(events(), 200, {"Content-Type": "text/event-stream"}),
    "empty-pieces": lambda: AMLResponse(with_empty_pieces(), 200),
    "nothing": lambda: AMLResponse(nothing(), 200),
    "breaks-at-once": lambda: AMLResponse(breaks_at_once(), 200),
    "breaks-later": lambda: AMLResponse(breaks_later(), 200),
    "wrong-type-later": lambda: AMLResponse(wrong_type(), 200),
    "large": lambda: AMLResponse(large(), 200),
    "status-503": lambda: AMLResponse(pieces(), 503),
    "status-201": lambda: AMLResponse(pieces(), 201, {"X-Mine": "1"}),
    "iterator": lambda: AMLResponse(iter(["a", "b"]), 200),
    "map": lambda: AMLResponse(map(str, [1, 2]), 200),
    "closing": lambda: AMLResponse(notes_closing(), 200),
    "closed": lambda: CLOSED,
}


def init():
    pass


def run(data):
    return STREAMS[json.loads(data)]()
