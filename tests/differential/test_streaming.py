"""Bodies that a generator makes, piece by piece."""

from __future__ import annotations

import json

import pytest

from .compare import Case, params
from .servers import service
from .test_results import names_in
from .wire import json_request, request

STREAMS = service("streams.py")

CASES = [
    Case(f"streaming/{name}", json_request(json.dumps(name)), STREAMS)
    for name in names_in("streams.py", "STREAMS")
    if not name.startswith("clos")
] + [
    Case("streaming/http-1.0", request("POST", body='"events"', version="HTTP/1.0"), STREAMS),
    Case("streaming/ids", json_request('"events"', headers=[("x-request-id", "r"), ("TraceId", "t")]), STREAMS),
]


@pytest.mark.parametrize("case", params(CASES))
def test_stream_reads_the_same(check_case, case):
    check_case(case)


def test_each_piece_is_a_chunk_of_its_own(pairs):
    for server in pairs.get(STREAMS).both:
        answer = server.ask(json_request('"events"'))

        assert answer.chunks == [b"item: one\n\n", b"item: two\n\n", b"item: three\n\n"]
        assert answer.values("content-length") == []


def test_generator_is_closed_after_its_answer(pairs):
    for server in pairs.get(STREAMS).both:
        assert server.ask(json_request('"closing"')).body == b"ab"
        assert server.ask(json_request('"closed"')).body == b'["closed"]'


def test_broken_stream_ends_the_connection_short_of_its_end(pairs):
    for server in pairs.get(STREAMS).both:
        answer = server.ask(json_request('"breaks-later"'))

        assert answer.body == b"part "
        assert not answer.complete
        assert server.ask(json_request('"events"')).status == 200
