"""Request ids, TraceId, version and timing headers."""

from __future__ import annotations

import pytest

from .compare import Case, ask, is_uuid4, params
from .servers import service
from .wire import Answer, Headers, json_request, request

PLAIN = service("plain.py")
RAW = service("rawhttp.py")
CORS = service("plain.py", {"AML_CORS_ORIGINS": "http://a.test"})

LONG, EXACT = "x" * 101, "y" * 100


def case(name: str, headers: Headers, method: str = "POST", target: str = "/score", what=PLAIN) -> Case:
    return Case(f"identifiers/{name}", request(method, target, "hi" if method == "POST" else "", headers), what)


RULES = [
    case("none-given", []),
    case("request-id", [("x-request-id", "r")]),
    case("request-id-upper-case", [("X-REQUEST-ID", "r")]),
    case("request-id-spaces", [("x-request-id", "  a b  ")]),
    case("request-id-latin1", [("x-request-id", "\xe9")]),
    case("request-id-empty", [("x-request-id", "")]),
    case("request-id-repeated", [("x-request-id", "a"), ("x-request-id", "b")]),
    case("client-id", [("x-ms-client-request-id", "c")]),
    case("client-id-empty", [("x-ms-client-request-id", "")]),
    case("client-id-repeated", [("x-ms-client-request-id", "a"), ("x-ms-client-request-id", "b")]),
    case("legacy-id", [("x-ms-request-id", "l")]),
    case("legacy-id-empty", [("x-ms-request-id", "")]),
    case("legacy-and-client", [("x-ms-request-id", "l"), ("x-ms-client-request-id", "c")]),
    case("legacy-and-request", [("x-ms-request-id", "l"), ("x-request-id", "r")]),
    case("client-and-request", [("x-ms-client-request-id", "c"), ("x-request-id", "r")]),
    case("all", [("x-ms-client-request-id", "c"), ("x-request-id", "r"), ("x-ms-request-id", "l")]),
    case("request-empty-and-client", [("x-request-id", ""), ("x-ms-client-request-id", "c")]),
    case("trace-id", [("TraceId", "t")]),
    case("trace-id-lower-case", [("traceid", "t")]),
    case("trace-id-empty", [("TraceId", "")]),
    case("trace-id-repeated", [("TraceId", "a"), ("TraceId", "b")]),
    case("trace-id-long", [("TraceId", "t" * 300)]),
    case("request-id-100", [("x-request-id", EXACT)]),
    case("legacy-id-100", [("x-ms-request-id", EXACT)]),
    case("client-id-100", [("x-ms-client-request-id", EXACT)]),
    case("request-id-101", [("x-request-id", LONG)]),
    case("legacy-id-101", [("x-ms-request-id", LONG)]),
    case("client-id-101", [("x-ms-client-request-id", LONG)]),
    case("all-101", [("x-ms-client-request-id", LONG), ("x-request-id", LONG), ("x-ms-request-id", LONG)]),
    case("request-id-101-and-client", [("x-request-id", LONG), ("x-ms-client-request-id", "c"), ("TraceId", "t")]),
    case("client-id-101-and-request", [("x-request-id", "r"), ("x-ms-client-request-id", LONG), ("TraceId", "t")]),
    case("legacy-id-101-and-client", [("x-ms-request-id", LONG), ("x-ms-client-request-id", "c")]),
    case("client-id-101-and-legacy", [("x-ms-request-id", "l"), ("x-ms-client-request-id", LONG)]),
    case("repeated-joined-101", [("x-request-id", "a" * 50), ("x-request-id", "b" * 50)]),
    case("repeated-joined-100", [("x-request-id", "a" * 50), ("x-request-id", "b" * 49)]),
    case("trace-id-with-refusal", [("x-request-id", LONG), ("TraceId", "t")]),
]

ROUTES = [
    *[
        case(f"{name}-{label}", headers, method, target)
        for name, method, target in [
            ("health", "GET", "/"),
            ("health-head", "HEAD", "/"),
            ("health-options", "OPTIONS", "/"),
            ("swagger", "GET", "/swagger.json?version=9"),
            ("options", "OPTIONS", "/score"),
            ("head", "HEAD", "/score"),
            ("get", "GET", "/score?a=1"),
            ("put", "PUT", "/score"),
            ("missing", "GET", "/missing"),
        ]
        for label, headers in [
            ("given", [("x-request-id", "r"), ("x-ms-client-request-id", "c"), ("TraceId", "t")]),
            ("request-id-101", [("x-request-id", LONG), ("TraceId", "t")]),
            ("client-id-101", [("x-ms-client-request-id", LONG)]),
        ]
    ],
    case("cors-with-refusal", [("x-request-id", LONG), ("Origin", "http://a.test")], what=CORS),
    Case(
        "identifiers/raw-refused-before-run", request("POST", headers=[("X-See", "fail"), ("x-request-id", LONG)]), RAW
    ),
    Case("identifiers/raw-run-fails", request("POST", headers=[("X-See", "fail"), ("TraceId", "t")]), RAW),
    Case("identifiers/bad-input", json_request(b"\xff", headers=[("x-request-id", "r"), ("TraceId", "t")]), PLAIN),
]


@pytest.mark.parametrize("case", params(RULES))
def test_ids_follow_the_same_rules(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(ROUTES))
def test_ids_on_every_route_and_method(check_case, case):
    check_case(case)


def test_generated_ids_are_uuid4_and_differ_each_time(pairs):
    for server in pairs.get(PLAIN).both:
        answers = [ask(server, request("POST")) for _ in range(3)]
        ids = [answer.values("x-request-id") for answer in answers if isinstance(answer, Answer)]

        assert all(len(found) == 1 and is_uuid4(found[0]) for found in ids)
        assert len({found[0] for found in ids}) == 3


def test_version_header_is_the_reference_s(pairs):
    for server in pairs.get(PLAIN).both:
        assert server.ask(request("POST")).values("x-ms-server-version") == ["azmlinfsrv/1.5.1"]
