"""Undecorated run(): what it is handed for every kind of body and query."""

from __future__ import annotations

import pytest

from .compare import Case, params
from .servers import service
from .wire import chunked_request, json_request, request

PLAIN = service("plain.py")
HEADERS = service("request_headers.py")

FORM = [("Content-Type", "application/x-www-form-urlencoded")]
TEXT = [("Content-Type", "text/plain")]
MULTIPART_BODY = b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--XX--\r\n'


def body(name: str, raw: bytes) -> Case:
    return Case(f"plain/{name}", raw, PLAIN)


def query(name: str, text: str) -> Case:
    return Case(f"plain/query-{name}", request("GET", f"/score{text}"), PLAIN)


BODIES = [
    body("json-body-as-text", json_request('{"data": [1, 2.5, null]}')),
    body("empty-body", request("POST")),
    body("empty-body-json", json_request("")),
    body("no-content-type", request("POST", body="hello")),
    body("text-body", request("POST", body="hello\nworld\r\n", headers=TEXT)),
    body("malformed-json-is-passed-on", json_request('{"a": ')),
    body("non-ascii", json_request('{"name": "żółć 日本 😀"}')),
    body("escapes-are-kept", json_request(r'{"name": "\u00e9\n"}')),
    body("byte-order-mark-is-kept", json_request(b"\xef\xbb\xbf{}")),
    body("invalid-utf8", json_request(b'{"a": "\xff"}')),
    body("invalid-utf8-at-end", json_request(b'"\xe2\x82')),
    body("surrogate-utf8", json_request(b"\xed\xa0\x80")),
    body(
        "charset-latin1-is-ignored",
        request("POST", body=b"caf\xe9", headers=[("Content-Type", "text/plain; charset=latin-1")]),
    ),
    body(
        "charset-utf16-is-ignored",
        request("POST", body="ab".encode("utf-16"), headers=[("Content-Type", "text/plain; charset=utf-16")]),
    ),
    body("nul-bytes", json_request(b"a\x00b")),
    body("xml-body", request("POST", body="<a/>", headers=[("Content-Type", "application/xml")])),
    body("octet-stream", request("POST", body="raw", headers=[("Content-Type", "application/octet-stream")])),
    body("large-body", json_request(b'"' + b"x" * 300_000 + b'"')),
    body("chunked-body", chunked_request([b'{"a":', b" 1}"], [("Content-Type", "application/json")])),
    body("chunked-body-empty", chunked_request([])),
    body("post-query-is-ignored", json_request("body", "/score?a=1")),
    body("form-body", request("POST", body="a=1&b=2", headers=FORM)),
    body("form-body-json-in-it", request("POST", body='{"data": [1]}', headers=FORM)),
    body(
        "multipart-body",
        request("POST", body=MULTIPART_BODY, headers=[("Content-Type", "multipart/form-data; boundary=XX")]),
    ),
    body("multipart-without-boundary", request("POST", body="--XX", headers=[("Content-Type", "multipart/form-data")])),
    body("http-1.0-post", request("POST", body="old", version="HTTP/1.0")),
    body("gzip-content-encoding-is-not-decoded", request("POST", body="abc", headers=[("Content-Encoding", "gzip")])),
]

QUERIES = [
    query("none", ""),
    query("empty", "?"),
    query("numbers", "?i=1&f=2.50&n=-3&e=1e3"),
    query("json-values", "?l=[1,2]&d=%7B%22k%22:%22v%22%7D&t=true&f=false&n=null"),
    query("text-values", "?a=hello&b=True&c=None&d='x'"),
    query("quoted-text", "?a=%22hello%22"),
    query("non-finite", "?a=NaN&b=Infinity&c=-Infinity&d=1e400"),
    query("name-only", "?a"),
    query("empty-value", "?a="),
    query("empty-name", "?=x"),
    query("repeated", "?a=1&b=0&a=two&a=[3]"),
    query("repeated-empty", "?a=&a"),
    query("names-are-case-sensitive", "?a=1&A=2"),
    query("plus-and-percent-20", "?a=x+y&b=x%20y&c=x%2By"),
    query("utf8", "?a=caf%C3%A9"),
    query("invalid-utf8", "?a=%FF&b=ok"),
    query("broken-percent", "?a=%zz&b=%"),
    query("semicolon-is-no-separator", "?a=1;b=2"),
    query("empty-pairs", "?&&a=1&&"),
    query("equals-in-value", "?a=b=c"),
    query("leading-zeros", "?a=007"),
    query("big-integer", "?a=123456789012345678901234567890"),
    query("very-long-integer", "?a=" + "9" * 4400),
    query("spaces-around", "?a=%201%20"),
    query("fragment-sign-encoded", "?a=%23x"),
    query("escapes", "?a=%22%5Cu00e9%22"),
    query("lone-surrogate", "?a=%22%5Cud800%22"),
    Case("plain/get-body-is-ignored", json_request('{"a": 9}', "/score?a=1", method="GET"), PLAIN),
]


def heads(name: str, headers: list[tuple[str, str]], method: str = "POST") -> Case:
    return Case(f"plain/headers-{name}", request(method, "/score", "x" if method == "POST" else "", headers), HEADERS)


HEADER_CASES = [
    heads("title-case", [("content-type", "text/plain"), ("x-my-HEADER", "v"), ("DNT", "1"), ("etag", "e")]),
    heads("digit-words", [("x-1st-thing", "a"), ("X-2ND", "b")]),
    heads("get", [("accept", "*/*")], "GET"),
    heads("underscore-is-dropped", [("x_under_score", "1"), ("x-dash", "2")]),
    heads("empty-content-type", [("Content-Type", "")]),
    heads("empty-value", [("X-Empty", "")]),
    heads("latin1-value", [("X-Name", "caf\xe9")]),
    heads("repeated-joined", [("X-A", "1"), ("x-a", "2"), ("X-A", "3")]),
    heads("inner-spaces", [("X-A", "  a  b  ")]),
    heads("cookie", [("Cookie", "a=1; b=2")]),
    heads("authorization", [("Authorization", "Bearer abc")]),
    heads("request-ids", [("x-request-id", "r"), ("x-ms-client-request-id", "c"), ("TraceId", "t")]),
    heads("host-and-agent", [("User-Agent", "tester/1.0"), ("Accept-Encoding", "gzip")]),
    heads("chunked", [("Transfer-Encoding", "identity")]),
]


@pytest.mark.parametrize("case", params(BODIES + QUERIES + HEADER_CASES))
def test_run_is_given_the_same(check_case, case):
    check_case(case)
