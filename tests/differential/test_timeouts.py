"""SCORING_TIMEOUT_MS: what it interrupts, what it leaves whole."""

from __future__ import annotations

import json

import pytest

from .compare import Case, params
from .servers import service
from .wire import json_request

SHORT = service("slow.py", {"SCORING_TIMEOUT_MS": "200"})
NONE = service("slow.py", {"SCORING_TIMEOUT_MS": "0"})
STREAM = service("stream_slow.py", {"SCORING_TIMEOUT_MS": "200"})


def case(name: str, order: object, what=SHORT) -> Case:
    return Case(f"timeouts/{name}", json_request(json.dumps(order)), what)


CASES = [
    case("in-time", ["sleep", 0]),
    case("sleep", ["sleep", 5]),
    case("busy-loop", ["spin", 5]),
    case("event", ["event", 5]),
    case("join", ["join", 2]),
    case("own-timeout-error", ["own", 0]),
    case("swallowed", ["swallow", 5]),
    case("zero-means-none", ["sleep", 0.3], NONE),
    case("own-timeout-error-without-limit", ["own", 0], NONE),
    Case("timeouts/stream-is-not-timed", json_request("0.4"), STREAM),
]


@pytest.mark.parametrize("case", params(CASES))
def test_deadline_falls_alike(check_case, case):
    check_case(case)


def test_finally_runs_locks_open_and_state_lives_on(start):
    for server in start(service("slow.py", {"SCORING_TIMEOUT_MS": "200"})).both:
        timed_out = server.ask(json_request('["locked", 5]'))
        after = server.ask(json_request('["state", 0]'))

        assert timed_out.body == b'{"message": "Scoring timeout after 200 ms"}'
        assert after.body == b'[["finally ran"], false]'
