"""@rawhttp: the request object that run() gets, and the methods that reach it."""

from __future__ import annotations

import pytest

from .compare import Case, params
from .servers import service
from .wire import Headers, chunked_request, request

RAW = service("rawhttp.py")
ECHO = service("echo_bytes.py")

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain; charset=utf-8; x=1")
MULTIPART = ("Content-Type", "multipart/form-data; boundary=XX")


def part(name: str, data: bytes, filename: str | None = None, kind: str | None = None) -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if kind:
        head += f"\r\nContent-Type: {kind}"
    return head.encode() + b"\r\n\r\n" + data + b"\r\n"


UPLOAD = part("image", b"\x89PNG\r\n\x00\xff", "cat.png", "image/png") + part("note", b"a cat") + b"--XX--\r\n"
TWO_UPLOADS = part("image", b"one", "a.txt") + part("image", b"two", "b.txt") + part("n", b"1") + b"--XX--\r\n"


def see(
    name: str,
    label: str = "",
    target: str = "/score",
    body: bytes | str = b"",
    headers: Headers = (),
    method: str = "POST",
) -> Case:
    raw = request(method, target, body, [("X-See", name), *headers])
    return Case(f"rawhttp/{name}{'-' + label if label else ''}", raw, RAW)


ADDRESS = [
    *[see("method", method.lower(), method=method) for method in ("GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE")],
    *[see("full_path", label, target) for label, target in [("bare", "/score"), ("query", "/score?a=1&b=%20x")]],
    see("full_path", "utf8", "/score?a=caf%C3%A9"),
    see("full_path", "empty-query", "/score?"),
    *[
        see(name, target="/score?a=1")
        for name in ("path", "url", "base_url", "host", "host_url", "url_root", "root_url", "root_path", "script_root")
    ],
    see("url", "utf8", "/score?a=caf%C3%A9&b=%FF"),
    see("url", "no-query"),
    see("path", "double-slash", "//score"),
    see("url", "absolute-form", "http://other.test:99/score?a=1"),
    see("scheme"),
    see("scheme", "forwarded-is-ignored", headers=[("X-Forwarded-Proto", "http")]),
    see("is_secure"),
    see("remote_addr"),
    see("remote_addr", "forwarded-is-ignored", headers=[("X-Forwarded-For", "9.9.9.9")]),
    see("access_route"),
    see("query_string", target="/score?a=1&b=%41+x"),
    see("query_string", "none"),
]

QUERY = [
    see(name, target="/score?a=1&b=x&a=2&c")
    for name in (
        "args",
        "args-get",
        "args-getlist",
        "args-missing",
        "args-to-dict",
        "args-iteration",
        "args-in",
        "args-set",
    )
] + [
    see("args", "text-not-json", "/score?a=[1]&b=true&c=%FF&d=a+b"),
    see("values", "query-of-get", "/score?a=1", method="GET"),
    see("values", "post-query-and-form", "/score?a=1&b=2", "a=3&c=4", [FORM]),
    see("values-get", "", "/score?a=1", "a=3", [FORM]),
]

BODY = [
    see("data", "json", body=b'{"a": 1}', headers=[JSON]),
    see("data", "form", body="a=1", headers=[FORM]),
    see("data", "binary-as-json", body=b"\xff\xd8\x00", headers=[JSON]),
    see("get_data", "form", body="a=1", headers=[FORM]),
    see("get_data", "empty"),
    see("get_data", "of-get", method="GET"),
    see("get_data", "of-get-with-body", body="x", method="GET"),
    see("get_data-false", body="abc"),
    see("get_data-twice", body="abc"),
    see("get_data-no-cache-twice", body="abc"),
    see("get_data-text", body="é", headers=[TEXT]),
    see("get_data-text", "invalid-utf8", body=b"a\xffb"),
    see("get_data-parse-form", body="a=1", headers=[FORM]),
    see("data-then-form", body="a=1", headers=[FORM]),
    see("get_data-then-form", body="a=1", headers=[FORM]),
    see("form-then-get_data", body="a=1", headers=[FORM]),
    see("form", "urlencoded", body="a=1&b=x+y&a=2&c&d=%C3%A9", headers=[FORM]),
    see("form", "not-a-form", body="a=1", headers=[TEXT]),
    see("form", "multipart", body=UPLOAD, headers=[MULTIPART]),
    see("form-missing", body="a=1", headers=[FORM]),
    see("stream", body="abcdef", headers=[TEXT]),
    see("stream-parts", body="abcdefgh"),
    see("stream-lines", body="one\ntwo\nthree"),
    see("stream-readline", body="one\ntwo\n"),
    see("stream-then-data", body="abc"),
    see("data-then-stream", body="abc"),
    Case("rawhttp/get_data-chunked", chunked_request([b"ab", b"cd"], [("X-See", "get_data")]), RAW),
    Case("rawhttp/content_length-chunked", chunked_request([b"ab"], [("X-See", "content_length")]), RAW),
]

JSON_CASES = [
    see("json", body='{"a": [1, null]}', headers=[JSON]),
    see("json", "plus-json", body="[1]", headers=[("Content-Type", "application/x+json; charset=utf-8")]),
    see("json", "wrong-type", body="{}", headers=[TEXT]),
    see("json", "malformed", body="{", headers=[JSON]),
    see("json", "empty", headers=[JSON]),
    see("json", "nan", body="[NaN]", headers=[JSON]),
    see("get_json", body="null", headers=[JSON]),
    see("get_json", "wrong-type", body="{}", headers=[TEXT]),
    see("get_json-force", body='{"a": 1}', headers=[TEXT]),
    see("get_json-force", "malformed", body="{", headers=[TEXT]),
    see("get_json-silent", "malformed", body="{", headers=[JSON]),
    see("get_json-silent", "wrong-type", body="{}", headers=[TEXT]),
    see("get_json-force-silent", "malformed", body="{"),
    see("get_json-same-object", body="{}", headers=[JSON]),
    see("is_json", body="{}", headers=[JSON]),
    see("is_json", "text", body="{}", headers=[TEXT]),
]

OTHER = [("X-Other", "v"), ("Cookie", 'a=1; b="two words"; c=%C3%A9'), ("User-Agent", "tester/1.0")]
HEADERS = [
    see(name, headers=OTHER)
    for name in (
        "headers-get",
        "headers-item",
        "headers-missing",
        "headers-in",
        "headers-dict",
        "headers-list",
        "headers-getlist",
        "headers-keys",
        "headers-get-typed",
        "cookies",
        "cookies-get",
        "user_agent",
        "referrer",
        "origin",
        "authorization-none",
    )
] + [
    see("headers-getlist", "repeated", headers=[("X-Other", "1"), ("x-other", "2")]),
    see("headers-item", "latin1", headers=[("X-Other", "caf\xe9")]),
    see("content_type", body="x", headers=[TEXT]),
    see("content_type", "absent", body="x"),
    see("mimetype", body="x", headers=[("Content-Type", "Text/Plain; Charset=UTF-8")]),
    see("mimetype", "absent"),
    see("mimetype_params", body="x", headers=[TEXT]),
    see("content_length", body="abc"),
    see("content_length", "of-get", method="GET"),
    see("content_encoding", headers=[("Content-Encoding", "gzip")]),
    see("referrer", "given", headers=[("Referer", "http://a.test/")]),
    see("origin", "given", headers=[("Origin", "http://a.test")]),
    see("authorization", "basic", headers=[("Authorization", "Basic dTpw")]),
    see("accept", headers=[("Accept", "text/html, application/json;q=0.5")]),
    see("cookies", "none"),
]

FILES = [
    see(name, body=UPLOAD, headers=[MULTIPART])
    for name in (
        "files",
        "file",
        "file-read-only",
        "file-missing",
        "file-get-missing",
        "file-save",
        "file-bool",
        "files-and-form",
        "get_data",
    )
] + [
    see("files", "two-of-one-name", body=TWO_UPLOADS, headers=[MULTIPART]),
    see("file-getlist", body=TWO_UPLOADS, headers=[MULTIPART]),
    see("files", "empty-filename", body=part("image", b"x", "") + b"--XX--\r\n", headers=[MULTIPART]),
    see("files", "utf8-filename", body=part("image", b"x", "ż.png") + b"--XX--\r\n", headers=[MULTIPART]),
    see("files", "large", body=part("image", b"y" * 700_000, "big.bin") + b"--XX--\r\n", headers=[MULTIPART]),
    see("files", "not-multipart", body="a=1", headers=[FORM]),
    see("form", "multipart-broken", body=b"--XX\r\nnonsense", headers=[MULTIPART]),
    see("form", "multipart-unterminated", body=part("a", b"1"), headers=[MULTIPART]),
    see("form", "multipart-no-boundary", body=UPLOAD, headers=[("Content-Type", "multipart/form-data")]),
]

ANSWERS = [
    see("own-response"),
    see("bad-request-500"),
    see("fail"),
    see("none"),
    see("text"),
    see("truth"),
    see("isinstance"),
    see("attribute-missing"),
    see("own-attribute"),
    see("own-response", "head", method="HEAD"),
    see("fail", "options", method="OPTIONS"),
    see("text", "options", method="OPTIONS"),
    see("text", "head", method="HEAD"),
    Case("rawhttp/sample-get", request("GET", "/score?x=1"), ECHO),
    Case("rawhttp/sample-get-no-query", request("GET", "/score"), ECHO),
    Case("rawhttp/sample-post", request("POST", "/score", b"\x00\x01abc"), ECHO),
    Case("rawhttp/sample-post-jpg-as-json", request("POST", "/score", b"\xff\xd8\xff", [JSON]), ECHO),
    Case("rawhttp/sample-options", request("OPTIONS", "/score"), ECHO),
    Case("rawhttp/sample-put", request("PUT", "/score", b"x"), ECHO),
]


@pytest.mark.parametrize("case", params(ADDRESS + QUERY))
def test_address_and_query_are_the_same(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(BODY + JSON_CASES + FILES))
def test_body_reads_the_same(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(HEADERS))
def test_headers_read_the_same(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(ANSWERS))
def test_raw_run_answers_the_same(check_case, case):
    check_case(case)
