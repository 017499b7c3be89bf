"""Paths, methods and the protocol itself."""

from __future__ import annotations

import pytest

from .compare import Case, normal, params
from .servers import service, standing_in
from .wire import Headers, connect, json_request, read_answer, request

PLAIN = service("plain.py")
RAW = service("rawhttp.py")
SEQUENCE = service("sequence.py")


def case(name: str, method: str, target: str, headers: Headers = (), body: str = "", what=PLAIN, **more) -> Case:
    return Case(f"routing/{name}", request(method, target, body, headers, **more), what)


PATHS = [
    case("health", "GET", "/"),
    case("health-query", "GET", "/?probe=1"),
    case("health-with-body", "GET", "/", body="x"),
    case("missing", "GET", "/missing"),
    case("missing-post", "POST", "/missing"),
    case("score-slash", "GET", "/score/"),
    case("score-slash-post", "POST", "/score/", body="x"),
    case("score-upper-case", "POST", "/Score"),
    case("score-deeper", "POST", "/score/x"),
    case("double-slash", "POST", "//score", body="x"),
    case("double-slash-get", "GET", "//score?a=1"),
    case("triple-slash", "GET", "///score?a=1"),
    case("double-slash-health", "GET", "//"),
    case("percent-encoded", "POST", "/%73core", body="x"),
    case("percent-encoded-slash", "GET", "%2Fscore"),
    case("absolute-form", "POST", "http://scoring.test/score", body="x"),
    case("absolute-form-query", "GET", "http://other.test:80/score?a=1"),
    case("absolute-form-health", "GET", "http://other.test/"),
    case("dot-segments", "GET", "/x/../score"),
    case("semicolon", "GET", "/score;a=1"),
    case("encoded-question-mark", "GET", "/score%3Fa=1"),
    case("fragment", "GET", "/score?a=1#b"),
    case("api-v1", "POST", "/api/v1/service/x/score"),
    case("swagger-slash", "GET", "/swagger.json/"),
    case("swagger-no-extension", "GET", "/swagger"),
    case("favicon", "GET", "/favicon.ico"),
    case("utf8-path", "GET", "/caf%C3%A9"),
    case("static", "GET", "/static/x"),
]

METHODS = [
    case(f"{method.lower()}-{name}", method, target, body="x" if method in ("PUT", "PATCH") else "")
    for name, target in [("score", "/score"), ("health", "/"), ("swagger", "/swagger.json"), ("missing", "/missing")]
    for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
] + [
    case("post-health", "POST", "/"),
    case("post-swagger", "POST", "/swagger.json"),
    case("get-score", "GET", "/score"),
    case("trace", "TRACE", "/score"),
    case("propfind", "PROPFIND", "/score"),
    case("raw-put", "PUT", "/score", what=RAW),
    case("raw-patch", "PATCH", "/score", what=RAW),
    case("raw-head", "HEAD", "/score", what=RAW),
    case("raw-options", "OPTIONS", "/score", what=RAW),
]

PROTOCOL = [
    case("http-1.0", "GET", "/score?a=1", version="HTTP/1.0"),
    case("http-1.0-without-host", "GET", "/score?a=1", version="HTTP/1.0", host=None),
    case("http-1.1-without-host", "GET", "/score?a=1", host=None),
    case("range-is-ignored", "GET", "/score?a=1", [("Range", "bytes=0-1")]),
    case("if-none-match-is-ignored", "GET", "/", [("If-None-Match", "*")]),
    case("if-modified-since-is-ignored", "GET", "/", [("If-Modified-Since", "Wed, 21 Oct 2099 07:28:00 GMT")]),
    case("accept-encoding-is-ignored", "GET", "/score?a=" + "x" * 2000, [("Accept-Encoding", "gzip, br")]),
    case("accept-is-ignored", "GET", "/", [("Accept", "application/xml")]),
    case("long-query", "GET", "/score?a=" + "x" * 4000),
    case("ninety-headers", "GET", "/score", [(f"X-H{n}", "v") for n in range(90)]),
    case("long-header", "GET", "/score", [("X-Long", "v" * 8000)]),
    case("connection-close", "GET", "/score?a=1", [("Connection", "close")]),
    Case(
        "routing/bad-chunk-size",
        request(headers=[("Transfer-Encoding", "chunked")], length=False) + b"zz\r\nab\r\n0\r\n\r\n",
        PLAIN,
    ),
    Case("routing/not-http", b"hello\r\n\r\n", PLAIN),
    Case("routing/bad-content-length", request(headers=[("Content-Length", "abc")], length=False), PLAIN),
    Case("routing/negative-content-length", request(headers=[("Content-Length", "-1")], length=False), PLAIN),
    Case("routing/header-without-colon", b"GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n", PLAIN),
    Case("routing/unknown-version", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", PLAIN),
    Case("routing/trailing-bytes-after-body", json_request("ab") + b"\r\n", PLAIN),
]


@pytest.mark.parametrize("case", params(PATHS))
def test_path_is_served_or_not_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(METHODS))
def test_method_is_served_or_not_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(PROTOCOL))
def test_protocol_is_spoken_alike(check_case, case):
    check_case(case)


def test_expect_100_continue_is_answered_before_the_body_is_sent(pairs):
    seen = []
    for server in pairs.get(PLAIN).both:
        raw = request("POST", body="later", headers=[("Expect", "100-continue")])
        sock, reader = connect(server.port)
        with sock:
            sock.sendall(raw[: -len("later")])
            interim = reader.line(), reader.line()
            sock.sendall(b"later")
            seen.append((interim, normal(read_answer(reader), str(server.root))))

    assert seen[0] == seen[1]
    assert seen[0][0][0].startswith(b"HTTP/1.1 100")


def test_body_arriving_in_pieces_is_put_together(pairs):
    seen = []
    for server in pairs.get(PLAIN).both:
        raw = json_request('{"a": [1, 2, 3]}')
        sock, reader = connect(server.port)
        with sock:
            for start in range(0, len(raw), 7):
                sock.sendall(raw[start : start + 7])
            seen.append(normal(read_answer(reader), str(server.root)))

    assert seen[0] == seen[1]
    assert seen[0]["status"] == 200


def test_init_ran_once_and_run_once_a_request(pairs):
    pair = pairs.get(SEQUENCE)
    answers = [[server.ask(request("POST")).body for _ in range(3)] for server in pair.both]

    assert answers[0] == answers[1]
    assert answers[0] == [b'{"init": 1, "run": %d}' % n for n in (1, 2, 3)]


@pytest.mark.skipif(standing_in(), reason="The reference closes every connection.")
def test_ours_keeps_the_connection_alive(pairs):
    sock, reader = connect(pairs.get(PLAIN).ours.port)
    with sock:
        answers = []
        for _ in range(3):
            sock.sendall(request("GET", "/"))
            answers.append(read_answer(reader).body)

    assert answers == [b"Healthy"] * 3
