"""CORS: which origins are named, on which answers, and what a preflight gets."""

from __future__ import annotations

import pytest

from .compare import Case, params
from .servers import Service, service
from .wire import request

ONE = service("plain.py", {"AML_CORS_ORIGINS": "http://a.test"})
LIST = service("plain.py", {"AML_CORS_ORIGINS": "http://a.test, http://B.test"})
STAR = service("plain.py", {"AML_CORS_ORIGINS": "*"})
FLAG = service("plain.py", args=("--access_control_allow_origins", "http://f.test"))
REGEX = service("plain.py", {"AML_CORS_ORIGINS": r"https?://.*\.a\.test"})
RAW = service("rawhttp.py", {"AML_CORS_ORIGINS": "http://a.test"})
NONE = service("plain.py")

PREFLIGHT = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type, x-mine")]


def case(
    name: str,
    what: Service,
    origin: str | None = "http://a.test",
    method: str = "POST",
    target: str = "/score",
    more: list[tuple[str, str]] | None = None,
) -> Case:
    headers = ([("Origin", origin)] if origin is not None else []) + (more or [])
    return Case(f"cors/{name}", request(method, target, headers=headers), what)


ANSWERS = [
    case("one-match", ONE),
    case("one-other-origin", ONE, "http://evil.test"),
    case("one-no-origin", ONE, None),
    case("one-case-differs", ONE, "HTTP://A.test"),
    case("one-null-origin", ONE, "null"),
    case("one-empty-origin", ONE, ""),
    case("one-prefix-of", ONE, "http://a.test.evil"),
    case("one-health", ONE, target="/", method="GET"),
    case("one-swagger", ONE, target="/swagger.json?version=9", method="GET"),
    case("one-get", ONE, method="GET"),
    case("one-missing-route", ONE, target="/missing"),
    case("one-put", ONE, method="PUT"),
    case("one-head", ONE, method="HEAD"),
    case("list-first", LIST),
    case("list-second-other-case", LIST, "http://b.TEST"),
    case("list-no-match", LIST, "http://c.test"),
    case("list-no-origin", LIST, None),
    case("star", STAR),
    case("star-no-origin", STAR, None),
    case("star-null", STAR, "null"),
    case("flag-match", FLAG, "http://f.test"),
    case("flag-other", FLAG, "http://g.test"),
    case("regex-match", REGEX, "http://x.a.test"),
    case("regex-match-https", REGEX, "https://y.a.test"),
    case("regex-no-match", REGEX, "http://a.test"),
    case("regex-no-origin", REGEX, None),
    case("off", NONE),
    case("raw-post", RAW, more=[("X-See", "text")]),
    case("raw-run-fails", RAW, more=[("X-See", "fail")]),
]

PREFLIGHTS = [
    case("preflight", ONE, method="OPTIONS", more=PREFLIGHT),
    case("preflight-get", ONE, method="OPTIONS", more=[("Access-Control-Request-Method", "GET")]),
    case("preflight-put", ONE, method="OPTIONS", more=[("Access-Control-Request-Method", "PUT")]),
    case("preflight-lower-case-method", ONE, method="OPTIONS", more=[("Access-Control-Request-Method", "post")]),
    case("preflight-other-origin", ONE, "http://evil.test", "OPTIONS", more=PREFLIGHT),
    case("preflight-no-origin", ONE, None, "OPTIONS", more=PREFLIGHT),
    case("preflight-without-headers", ONE, method="OPTIONS", more=PREFLIGHT[:1]),
    case("preflight-without-method", ONE, method="OPTIONS", more=PREFLIGHT[1:]),
    case("preflight-swagger", ONE, method="OPTIONS", target="/swagger.json", more=PREFLIGHT),
    case("preflight-health", ONE, method="OPTIONS", target="/", more=PREFLIGHT),
    case("preflight-missing-route", ONE, method="OPTIONS", target="/missing", more=PREFLIGHT),
    case("preflight-list", LIST, "http://B.test", "OPTIONS", more=PREFLIGHT),
    case("preflight-list-no-match", LIST, "http://c.test", "OPTIONS", more=PREFLIGHT),
    case("preflight-star", STAR, method="OPTIONS", more=PREFLIGHT),
    case("preflight-off", NONE, method="OPTIONS", more=PREFLIGHT),
    case("plain-options", ONE, method="OPTIONS"),
    case("preflight-raw-calls-run", RAW, method="OPTIONS", more=[*PREFLIGHT, ("X-See", "text")]),
    case("preflight-raw-run-fails", RAW, method="OPTIONS", more=[*PREFLIGHT, ("X-See", "fail")]),
]


@pytest.mark.parametrize("case", params(ANSWERS))
def test_answers_name_the_same_origin(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(PREFLIGHTS))
def test_preflights_are_answered_alike(check_case, case):
    check_case(case)
