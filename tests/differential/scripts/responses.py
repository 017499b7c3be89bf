"""Returns the AMLResponse that the request names."""

import json

from azureml.contrib.services.aml_response import AMLResponse


def changed(response, change):
    change(response)
    return response


def without_failed_header(response):
    del response.headers["x-ms-run-function-failed"]


def cookie(response):
    response.set_cookie(
        "session", "abc", path="/app", domain="scoring.test", httponly=True, samesite="Lax", secure=True
    )


def cookies(response):
    response.set_cookie("a", "1")
    response.set_cookie("b", "two words")
    response.delete_cookie("c")


def pieces():
    yield b"one "
    yield "two"


RESPONSES = {
    "text": lambda: AMLResponse("hello", 200),
    "empty-text": lambda: AMLResponse("", 200),
    "non-ascii-text": lambda: AMLResponse("żółć 日本", 200),
    "bytes": lambda: AMLResponse(b"\x00\xff\x01", 200),
    "bytes-with-type": lambda: AMLResponse(b"\x89PNG", 200, {"Content-Type": "image/png"}),
    "none": lambda: AMLResponse(None, 200),
    "none-201": lambda: AMLResponse(None, 201),
    "json": lambda: AMLResponse({"a": [1, 2.5, None], "é": "ü"}, 200, json_str=True),
    "json-list": lambda: AMLResponse([1, 2], 200, json_str=True),
    "json-text": lambda: AMLResponse('{"a": 1}', 200, json_str=True),
    "json-none": lambda: AMLResponse(None, 200, json_str=True),
    "json-nan": lambda: AMLResponse(float("nan"), 200, json_str=True),
    "json-unserialisable": lambda: AMLResponse({1, 2}, 200, json_str=True),
    "json-bytes": lambda: AMLResponse(b"abc", 200, json_str=True),
    "status-201": lambda: AMLResponse("made", 201),
    "status-204": lambda: AMLResponse("", 204),
    "status-304": lambda: AMLResponse("", 304),
    "status-400": lambda: AMLResponse("bad request", 400),
    "status-404-json": lambda: AMLResponse({"e": 1}, 404, json_str=True),
    "status-418": lambda: AMLResponse("teapot", 418),
    "status-500": lambda: AMLResponse("bad request", 500),
    "status-503": lambda: AMLResponse("busy", 503, {"Retry-After": "5"}),
    "status-599": lambda: AMLResponse("odd", 599),
    "status-unknown-299": lambda: AMLResponse("odd", 299),
    "status-as-text": lambda: AMLResponse("made", "201 Made"),
    "failed-flag": lambda: AMLResponse("x", 200, run_function_failed=True),
    "failed-flag-json": lambda: AMLResponse({}, 200, {}, True, True),
    "failed-header-removed-500": lambda: changed(AMLResponse("x", 500), without_failed_header),
    "failed-header-removed-200": lambda: changed(AMLResponse("x", 200), without_failed_header),
    "failed-header-of-script": lambda: AMLResponse("x", 200, {"x-ms-run-function-failed": "Maybe"}),
    "failed-header-of-script-500": lambda: AMLResponse("x", 500, {"x-ms-run-function-failed": "Maybe"}),
    "header": lambda: AMLResponse("x", 200, {"X-Mine": "1"}),
    "header-keeps-its-case": lambda: AMLResponse("x", 200, {"x-mInE": "1"}),
    "header-commas-split": lambda: AMLResponse("x", 200, {"X-List": "a, b,c"}),
    "header-date-split": lambda: AMLResponse("x", 200, {"X-When": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "header-cookie-split": lambda: AMLResponse("x", 200, {"Set-Cookie": "a=1; Path=/, b=2"}),
    "header-cookie-with-expires": lambda: AMLResponse(
        "x", 200, {"Set-Cookie": "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT"}
    ),
    "header-empty": lambda: AMLResponse("x", 200, {"X-Empty": ""}),
    "header-latin1": lambda: AMLResponse("x", 200, {"X-Name": "café"}),
    "header-not-a-string": lambda: AMLResponse("x", 200, {"X-Number": 1}),
    "header-newline": lambda: AMLResponse("x", 200, {"X-Bad": "a\nInjected: 1"}),
    "header-carriage-return": lambda: AMLResponse("x", 200, {"X-Bad": "a\rb"}),
    "header-set-after": lambda: changed(AMLResponse("x", 200), lambda r: r.headers.__setitem__("X-Later", "a, b")),
    "header-added-after": lambda: changed(AMLResponse("x", 200), lambda r: r.headers.add("X-Later", "2")),
    "header-replaced-after": lambda: changed(
        AMLResponse("x", 200, {"X-A": "1,2"}), lambda r: r.headers.__setitem__("x-a", "3")
    ),
    "content-type-exact": lambda: AMLResponse("x", 200, {"Content-Type": "text/csv"}),
    "content-type-lower-case": lambda: AMLResponse("x", 200, {"content-type": "text/csv"}),
    "content-type-with-json": lambda: AMLResponse({}, 200, {"Content-Type": "application/problem+json"}, json_str=True),
    "content-type-with-none": lambda: AMLResponse(None, 200, {"Content-Type": "text/csv"}),
    "content-type-attribute": lambda: changed(AMLResponse("x", 200), lambda r: setattr(r, "content_type", "text/csv")),
    "mimetype-attribute": lambda: changed(AMLResponse("x", 200), lambda r: setattr(r, "mimetype", "text/csv")),
    "status-code-attribute": lambda: changed(AMLResponse("x", 200), lambda r: setattr(r, "status_code", 202)),
    "status-code-attribute-500": lambda: changed(AMLResponse("x", 200), lambda r: setattr(r, "status_code", 500)),
    "data-attribute": lambda: changed(AMLResponse("x", 200), lambda r: setattr(r, "data", b"other")),
    "set-data": lambda: changed(AMLResponse("x", 200), lambda r: r.set_data("long text")),
    "read-back": lambda: read_back(AMLResponse({"a": 1}, 201, json_str=True)),
    "cookie": lambda: changed(AMLResponse("x", 200), cookie),
    "cookies": lambda: changed(AMLResponse("x", 200), cookies),
    "own-request-id": lambda: AMLResponse("x", 200, {"x-request-id": "mine", "x-ms-request-id": "mine"}),
    "own-client-request-id": lambda: AMLResponse("x", 200, {"x-ms-client-request-id": "mine"}),
    "own-trace-id": lambda: AMLResponse("x", 200, {"TraceId": "mine"}),
    "own-exec-ms": lambda: AMLResponse("x", 200, {"x-ms-run-fn-exec-ms": "0.5"}),
    "own-server-version": lambda: AMLResponse("x", 200, {"x-ms-server-version": "mine"}),
    "cors-by-hand": lambda: AMLResponse("x", 200, {"Access-Control-Allow-Origin": "*", "Allow": "GET"}),
    "iterable-list-of-text": lambda: AMLResponse(["a", "b"], 200),
    "iterable-tuple": lambda: AMLResponse(("a", "b"), 200),
    "iterable-dict": lambda: AMLResponse({"a": 1, "b": 2}, 200),
    "iterable-bytearray": lambda: AMLResponse(bytearray(b"abc"), 200),
    "integer-message": lambda: AMLResponse(5, 200),
    "generator": lambda: AMLResponse(pieces(), 200),
    "class-not-instance": lambda: AMLResponse,
}


def read_back(response):
    return {
        "status_code": response.status_code,
        "status": response.status,
        "data": response.data.decode(),
        "get_data": response.get_data(as_text=True),
        "json": response.get_json(),
        "mimetype": response.mimetype,
        "content_type": response.content_type,
        "headers": sorted(response.headers.items()),
        "get": response.headers.get("CONTENT-TYPE"),
    }


def init():
    pass


def run(data):
    return RESPONSES[json.loads(data)]()
