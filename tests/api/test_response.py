"""AMLResponse: what a script sees of it, and what goes out."""

import asyncio
import json
import math
import sys
from datetime import datetime
from http import HTTPStatus
from types import ModuleType

import pytest

from scoring_runtime.api.headers import Headers
from scoring_runtime.api.response import AMLResponse, as_response

NOT_FAILED = ("x-ms-run-function-failed", "False")
FAILED = ("x-ms-run-function-failed", "True")
TEXT = ("Content-Type", "text/html; charset=utf-8")
JSON = ("Content-Type", "application/json")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (AMLResponse("é", 200), (200, [TEXT, NOT_FAILED], "é".encode())),
        (AMLResponse(b"\xff", 201), (201, [TEXT, NOT_FAILED], b"\xff")),
        (AMLResponse(bytearray(b"x"), 200), (200, [TEXT, NOT_FAILED], b"x")),
        (AMLResponse(memoryview(b"x"), 200), (200, [TEXT, NOT_FAILED], b"x")),
        (AMLResponse(None, 200), (200, [JSON, NOT_FAILED], b"{}")),
        (AMLResponse(None, None), (200, [JSON, NOT_FAILED], b"{}")),
        (AMLResponse({"é": [1, 2]}, 200, json_str=True), (200, [JSON, NOT_FAILED], b'{"\\u00e9": [1, 2]}')),
        (AMLResponse("x", 200, json_str=True), (200, [JSON, NOT_FAILED], b'"x"')),
        (AMLResponse({"a": 1}, 200), (200, [JSON, NOT_FAILED], b'{"a": 1}')),
        (AMLResponse("x", 200, {}, False, True), (200, [TEXT, FAILED], b"x")),
        (AMLResponse("x", 500), (500, [TEXT, FAILED], b"x")),
        (AMLResponse("x", 600), (600, [TEXT, FAILED], b"x")),
        (AMLResponse("x", 204), (204, [TEXT, NOT_FAILED], b"")),
        (AMLResponse("x", HTTPStatus.CREATED), (201, [TEXT, NOT_FAILED], b"x")),
        (AMLResponse("x", "404 Gone away"), (404, [TEXT, NOT_FAILED], b"x")),
        (AMLResponse("x", 200, {"A": "1, 2,3"}), (200, [TEXT, NOT_FAILED, ("A", "1"), ("A", "2"), ("A", "3")], b"x")),
        (AMLResponse("x", 200, {"content-type": "a/b"}), (200, [("content-type", "a/b"), NOT_FAILED], b"x")),
        (AMLResponse(None, 200, {"Content-Type": "a/b"}), (200, [("Content-Type", "a/b"), NOT_FAILED], b"{}")),
        (AMLResponse([1], 200, {"Content-Type": "a/b"}, True), (200, [("Content-Type", "a/b"), NOT_FAILED], b"[1]")),
        (AMLResponse("x", 200, {"Date": "y", "Connection": "close", "Server": "z"}), (200, [TEXT, NOT_FAILED], b"x")),
        (AMLResponse("x", 200, {"Content-Length": "99"}), (200, [TEXT, NOT_FAILED], b"x")),
        (AMLResponse("x", 200, {NOT_FAILED[0]: "True"}), (200, [TEXT, NOT_FAILED, FAILED], b"x")),
        (AMLResponse("x", 500, {NOT_FAILED[0]: "Maybe"}), (500, [TEXT, FAILED], b"x")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_goes_out(response, answer):
    assert response.wire() == answer


def test_an_object_that_is_returned_twice_goes_out_the_same_twice():
    response = AMLResponse("x", 500, {"A": "1"})
    assert response.wire() == response.wire()


def test_headers_of_one_response_are_not_those_of_another():
    AMLResponse("x", 200).headers["A"] = "1"
    assert "A" not in AMLResponse("x", 200).headers


@pytest.mark.parametrize("message", [[1, 2], ["a"], ("a", "b"), {1}, 5, object()])
def test_a_message_that_is_neither_text_nor_bytes_nor_json_is_refused(message):
    with pytest.raises(TypeError, match="json_str=True"):
        AMLResponse(message, 200)


def test_json_that_cannot_be_written_is_refused():
    with pytest.raises(TypeError):
        AMLResponse(object(), 200, json_str=True)


def test_nan_in_json_is_null():
    assert AMLResponse([math.nan], 200, json_str=True).data == b"[null]"


@pytest.mark.parametrize("value", [1, b"x", None])
def test_a_header_value_that_is_no_text_is_refused(value):
    with pytest.raises(TypeError, match="expected a str"):
        AMLResponse("x", 200, {"A": value})


def test_a_header_value_with_a_line_break_is_refused():
    with pytest.raises(ValueError, match="line break"):
        AMLResponse("x", 200, {"A": "1\nB: 2"})


@pytest.mark.parametrize(("name", "value"), [("a b", "1"), ("", "1"), ("A", "€"), ("A", "\0")])
def test_a_header_that_http_cannot_carry_does_not_go_out(name, value):
    with pytest.raises(ValueError, match="cannot carry"):
        AMLResponse("x", 200, {name: value}).wire()


@pytest.mark.parametrize("status", [0, 99, 1000])
def test_a_status_that_http_cannot_carry_does_not_go_out(status):
    with pytest.raises(ValueError, match="status_code"):
        AMLResponse("x", status).wire()


def test_a_status_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="status_code"):
        AMLResponse("x", "fine")


def test_an_iterator_is_sent_piece_by_piece_and_closed():
    closed = []

    def pieces():
        try:
            yield "é"
            yield b"b"
            yield bytearray(b"c")
        finally:
            closed.append("pieces")

    response = AMLResponse(pieces(), 200, {"Content-Length": "4"})
    response.call_on_close(lambda: closed.append("response"))
    status, headers, body = response.wire()
    assert (status, headers, response.is_streamed) == (200, [TEXT, NOT_FAILED, ("Content-Length", "4")], True)
    assert (list(body), closed) == (["é".encode(), b"b", b"c"], ["pieces", "response"])


def test_an_iterable_without_a_length_is_streamed():
    class Lines:
        def __iter__(self):
            return iter(["a", "b"])

    assert list(AMLResponse(Lines(), 200).wire()[2]) == [b"a", b"b"]


def test_an_async_generator_is_handed_on_and_closed():
    closed = []

    async def pieces():
        try:
            yield "a"
            yield b"b"
        finally:
            closed.append("pieces")

    response = AMLResponse(pieces(), 200)
    response.call_on_close(lambda: closed.append("response"))

    async def read(body):
        return [piece async for piece in body]

    assert asyncio.run(read(response.wire()[2])) == [b"a", b"b"]
    assert closed == ["pieces", "response"]


def test_an_async_iterator_need_not_have_a_close():
    class One:
        def __aiter__(self):
            return self

        async def __anext__(self, pieces=iter("a")):
            for piece in pieces:
                return piece
            raise StopAsyncIteration

    async def read(body):
        return [piece async for piece in body]

    assert asyncio.run(read(AMLResponse(One(), 200).wire()[2])) == [b"a"]


def test_a_piece_that_is_no_text_breaks_the_stream():
    body = AMLResponse(iter([1]), 200).wire()[2]
    with pytest.raises(TypeError, match="expected str or bytes"):
        next(body)


def test_a_stream_is_closed_unread_where_no_body_may_be_sent():
    stream = (piece for piece in ["a"])
    assert AMLResponse(stream, 204).wire() == (204, [TEXT, NOT_FAILED], b"")
    assert list(stream) == []


def test_what_a_script_reads_of_its_response():
    response = AMLResponse({"a": 1}, 201, json_str=True)
    assert (response.status_code, response.status, response.data) == (201, "201 CREATED", b'{"a": 1}')
    assert (response.get_data(as_text=True), response.get_json(), response.json) == ('{"a": 1}', {"a": 1}, {"a": 1})
    assert (response.mimetype, response.content_type, response.is_json) == (
        "application/json",
        "application/json",
        True,
    )
    assert (response.content_length, response.headers["Content-Length"]) == (8, "8")
    assert (response.is_streamed, response.is_sequence, response.calculate_content_length()) == (False, True, 8)
    assert (response.mimetype_params, response.direct_passthrough) == ({}, False)
    assert repr(response) == "<AMLResponse 8 bytes [201 CREATED]>"


def test_a_stream_is_read_when_its_data_is_asked_for():
    closed = []

    class Pieces:
        def __iter__(self):
            return self

        def __next__(self, pieces=iter(["a", "b"])):
            return next(pieces)

        def close(self):
            closed.append(1)

    response = AMLResponse(Pieces(), 200)
    assert repr(response) == "<AMLResponse streamed [200 OK]>"
    assert response.content_length is None
    with response:
        assert (response.data, response.data) == (b"ab", b"ab")
    assert closed == [1]


def test_an_iterator_without_close_is_read_too():
    assert AMLResponse(iter("ab"), 200).data == b"ab"


def test_what_a_script_changes_goes_out():
    response = AMLResponse("x", 200)
    response.status_code = 202
    response.data = "changed"
    response.mimetype = "text/csv"
    response.headers["X-Later"] = "a, b"
    assert response.wire() == (
        202,
        [("Content-Type", "text/csv; charset=utf-8"), NOT_FAILED, ("X-Later", "a, b")],
        b"changed",
    )


@pytest.mark.parametrize(
    ("mimetype", "content_type"),
    [
        ("application/json", "application/json"),
        ("image/svg+xml", "image/svg+xml; charset=utf-8"),
        ("application/javascript", "application/javascript; charset=utf-8"),
    ],
)
def test_textual_types_get_a_charset(mimetype, content_type):
    response = AMLResponse("x", 200)
    response.mimetype = mimetype
    assert response.content_type == content_type
    assert response.mimetype == mimetype


@pytest.mark.parametrize(
    ("attribute", "value", "header", "text"),
    [
        ("content_type", "a/b", "Content-Type", "a/b"),
        ("location", "/x", "Location", "/x"),
        ("retry_after", 5, "Retry-After", "5"),
        ("allow", ["GET", "POST"], "Allow", "GET, POST"),
        ("access_control_allow_origin", "*", "Access-Control-Allow-Origin", "*"),
        ("access_control_allow_credentials", True, "Access-Control-Allow-Credentials", "true"),
        ("last_modified", datetime(2020, 1, 1), "Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT"),
        ("expires", 0, "Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("content_length", 7, "Content-Length", "7"),
    ],
)
def test_headers_are_attributes(attribute, value, header, text):
    response = AMLResponse(iter([]), 200)
    setattr(response, attribute, value)
    assert response.headers[header] == text
    setattr(response, attribute, None)
    assert getattr(response, attribute) is None
    assert hasattr(AMLResponse, attribute)


def test_json_is_read_only_from_json():
    response = AMLResponse("{bad", 200)
    assert response.get_json() is None
    assert response.get_json(force=True, silent=True) is None
    with pytest.raises(json.JSONDecodeError):
        response.get_json(force=True)
    del response.headers["Content-Type"]
    assert (response.mimetype, response.is_json) == (None, False)


def test_unknown_codes_have_no_words():
    assert AMLResponse("x", 299).status == "299 UNKNOWN"
    assert AMLResponse("x", "299 Odd").status == "299 Odd"


def test_cookies_are_set_and_deleted():
    response = AMLResponse("x", 200)
    response.set_cookie("a", "1", httponly=True)
    response.delete_cookie("b")
    assert response.headers.getlist("Set-Cookie") == [
        "a=1; HttpOnly; Path=/",
        "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/",
    ]


class Werkzeug:
    """The part of a werkzeug response that is used."""

    def __init__(self, response, status):
        self.response, self.status, self.headers = response, status, Headers([("A", "1"), ("A", "2")])
        self.closed = 0

    def iter_encoded(self):
        return (piece.encode() for piece in self.response)

    def close(self):
        self.closed += 1


class Starlette:
    def __init__(self, body, status_code):
        self.body, self.status_code, self.headers = body, status_code, {"a": "1"}


@pytest.fixture
def frameworks(monkeypatch):
    for name, kind in {"werkzeug.wrappers.response": Werkzeug, "starlette.responses": Starlette}.items():
        module = ModuleType(name)
        module.Response = kind
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("frameworks")
def test_responses_of_flask_are_taken():
    flask = Werkzeug(["a", "b"], "201 MADE")
    response = as_response(flask)
    assert response is not None
    assert (response.status, response.wire()) == ("201 MADE", (201, [("A", "1"), ("A", "2")], b"ab"))
    assert flask.closed == 1


@pytest.mark.usefixtures("frameworks")
def test_streams_of_flask_are_taken():
    flask = Werkzeug(iter(["a", "b"]), 503)
    response = as_response(flask)
    assert response is not None
    status, headers, body = response.wire()
    assert (status, headers, list(body)) == (503, [("A", "1"), ("A", "2"), FAILED], [b"a", b"b"])
    assert flask.closed == 1


@pytest.mark.usefixtures("frameworks")
def test_responses_of_starlette_are_taken():
    response = as_response(Starlette(b"x", 201))
    assert response is not None
    assert response.wire() == (201, [("a", "1")], b"x")
    with pytest.raises(TypeError, match="Starlette"):
        as_response(Starlette(None, 200))


@pytest.mark.usefixtures("frameworks")
@pytest.mark.parametrize("value", [{}, [], "x", None, AMLResponse, object()])
def test_other_values_are_no_responses(value):
    assert as_response(value) is None


def test_an_amlresponse_is_itself():
    response = AMLResponse("x", 200)
    assert as_response(response) is response
