"""What the front decides without a socket: targets, origins, identifiers, and what its numbers look like."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from scoring_runtime.errors import HeaderTooLong
from scoring_runtime.server.cors import Cors
from scoring_runtime.server.front import http_date
from scoring_runtime.server.identity import identify, merged, new_id
from scoring_runtime.server.metrics import Metrics
from scoring_runtime.server.target import normal_target, split_target, wanted_headers


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/", ("/", b"")),
        (b"/score?a=1&b", ("/score", b"a=1&b")),
        (b"/score?a?b#c", ("/score", b"a?b")),
        (b"//score", ("/score", b"")),
        (b"/%73core", ("/score", b"")),
        (b"/%ff", ("/\ufffd", b"")),
        (b"/\xc3\xa9", ("/é", b"")),
        (b"http://host", ("/", b"")),
        (b"http://host/score?x", ("/score", b"x")),
        (b"https://host:1//score", ("/score", b"")),
        (b"*", ("/*", b"")),
        (b"host:443", ("/host:443", b"")),
        (b"", ("/", b"")),
        (b"?a", ("/", b"a")),
    ],
)
def test_a_target_in_any_form_is_a_path_and_a_query(target: bytes, expected: tuple[str, bytes]) -> None:
    assert split_target(target) == expected


def test_a_path_is_written_so_that_it_reads_the_same() -> None:
    for path in ("/", "/é", "/a b", "/%", "/a:b@c", "/\x00", "/?", "/#"):
        assert split_target(normal_target(path, b"")) == (path, b"")
    assert normal_target("/a b", b"c=1") == b"/a%20b?c=1"


def test_headers_that_are_looked_at_are_joined_and_the_others_left() -> None:
    headers = [(b"origin", b"a"), (b"x-other", b"b"), (b"origin", b"c"), (b"host", b"h")]
    assert wanted_headers(headers) == {b"origin": b"a,c", b"host": b"h"}


def allowed(cors: Cors, origin: str, how: str = "POST", /, **asked: str) -> bytes:
    names = {f"access-control-request-{name}".encode(): value.encode() for name, value in asked.items()}
    return cors.block({b"origin": origin.encode(), **names}, how)


def test_no_origins_is_no_cors() -> None:
    assert [bool(Cors(text)) for text in (None, "", " , ", "a")] == [False, False, False, True]


def test_everyone_is_a_star() -> None:
    assert allowed(Cors("*"), "http://a") == b"Access-Control-Allow-Origin: *\r\n"


@pytest.mark.parametrize(
    ("origins", "origin", "named"),
    [
        ("http://a", "http://a", True),
        ("http://a", "HTTP://A", True),
        ("http://a", "http://ab", False),
        ("http://a, http://b", "http://b", True),
        ("http://a, http://b", "http://c", False),
        (r"https://.*\.example\.com$", "https://x.example.com", True),
        (r"https://.*\.example\.com$", "https://x.example.org", False),
        ("[", "[", True),  # no regular expression, so a name
        ("[", "x", False),
    ],
)
def test_an_origin_is_allowed_by_name_or_expression(origins: str, origin: str, named: bool) -> None:
    block = allowed(Cors(origins), origin)
    assert (f"Access-Control-Allow-Origin: {origin}\r\n".encode() in block) is named
    assert named or not block


def test_without_an_origin_nothing_is_said() -> None:
    assert Cors("http://a, http://b").block({}, "GET") == b""


def test_a_preflight_says_methods_and_the_headers_that_were_asked_for() -> None:
    block = allowed(Cors("http://a"), "http://a", "OPTIONS", method="post", headers="x-b, , x-a")
    assert block.endswith(b"Access-Control-Allow-Methods: GET, POST\r\nAccess-Control-Allow-Headers: x-a, x-b\r\n")
    assert b"Methods" not in allowed(Cors("http://a"), "http://a", "OPTIONS", method="DELETE")
    assert b"Allow-Headers" not in allowed(Cors("http://a"), "http://a", "OPTIONS", method="GET")


UUID4 = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_are_version_4_uuids_and_all_different() -> None:
    ids = [new_id() for _ in range(600)]
    assert all(UUID4.fullmatch(i) for i in ids)
    assert len(set(ids)) == 600


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({b"x-request-id": b"r"}, b"x-request-id: r\r\nx-ms-request-id: r\r\n"),
        (
            {b"x-request-id": b"r", b"x-ms-client-request-id": b"c"},
            b"x-request-id: r\r\nx-ms-request-id: c\r\nx-ms-client-request-id: c\r\n",
        ),
        (
            {b"x-request-id": b"r", b"x-ms-request-id": b"l"},
            b"x-request-id: r\r\nx-ms-request-id: l\r\nx-ms-client-request-id: l\r\n",
        ),
        ({b"x-request-id": b""}, b""),
        ({b"x-request-id": b"r", b"traceid": b"t"}, b"TraceId: t\r\nx-request-id: r\r\nx-ms-request-id: r\r\n"),
    ],
)
def test_identifiers_come_back(found: dict[bytes, bytes], expected: bytes) -> None:
    assert identify(found, b"") == (expected, None)


@pytest.mark.parametrize("name", [b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id"])
def test_an_identifier_of_101_characters_is_refused_and_not_sent_back(name: bytes) -> None:
    assert identify({name: b"a" * 100}, b"")[1] is None
    block, error = identify({name: b"a" * 101}, b"")
    assert isinstance(error, HeaderTooLong)
    assert name.decode() in str(error)
    assert b"aaa" not in block


def test_a_scripts_own_identifier_stays_only_where_the_server_has_none() -> None:
    block, _ = identify({b"x-request-id": b"r"}, b"TraceId: x-ms-client-request-id: no\r\n")
    own = [("x-request-id", "mine"), ("x-ms-client-request-id", "mine")]
    assert merged(block, own) == block + b"x-ms-client-request-id: mine\r\n"


def test_the_date_does_not_depend_on_the_locale() -> None:
    assert http_date(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(1_709_208_305.9) == b"Thu, 29 Feb 2024 12:05:05 GMT"


def test_metrics_are_a_valid_histogram() -> None:
    metrics = Metrics()
    for status, seconds in ((200, 0.001), (200, 0.0011), (500, 61.0), (200, 0.3)):
        metrics.observe(status, seconds)
    counters = {"timeouts": 1, "rejected": 2, "workers_lost": 3, "gone": 4}
    for slots in (0, 4):
        dispatcher: Any = SimpleNamespace(slots=slots, workers={}, busy=0, queued=0, counters=counters)
        lines = metrics.text(dispatcher).splitlines()
        values = dict(line.rpartition(" ")[::2] for line in lines if not line.startswith("#"))
        assert values['scoring_requests_total{status="200"}'] == "3"
        buckets = [int(value) for name, value in values.items() if "_bucket" in name]
        assert buckets == sorted(buckets)
        assert values['scoring_request_duration_seconds_bucket{le="0.001"}'] == "1"
        assert values['scoring_request_duration_seconds_bucket{le="+Inf"}'] == "4"
        assert values["scoring_request_duration_seconds_count"] == "4"
        assert values["scoring_workers_lost_total"] == "3"
        assert values["scoring_utilization"] == "0"
