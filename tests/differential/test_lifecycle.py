"""What ends a worker or the server, and what survives."""

from __future__ import annotations

import json
import signal
import time

import pytest

from .compare import Case, ask, params
from .servers import Server, port_open, service, standing_in
from .wire import Answer, BrokenAnswer, connect, json_request, read_answer, request

LIFECYCLE = service("lifecycle.py")


def order(kind: str) -> bytes:
    return json_request(json.dumps(kind))


BASE_EXCEPTIONS = [
    Case(f"lifecycle/{kind}", order(kind), LIFECYCLE)
    for kind in ("exit", "exit-0", "interrupt", "base", "generator-exit")
]


@pytest.mark.parametrize("case", params(BASE_EXCEPTIONS))
def test_base_exception_in_run_is_answered(check_case, case):
    check_case(case)


@pytest.mark.parametrize("kind", ["exit", "interrupt", "base"])
def test_worker_lives_through_a_base_exception(pairs, kind):
    server = pairs.get(LIFECYCLE).ours
    before = server.ask(order("pid")).body
    ask(server, order(kind))
    after = server.ask(order("pid")).body

    assert after == before or standing_in()


def test_worker_that_dies_is_replaced(start):
    for server in start(LIFECYCLE).both:
        before = server.ask(order("pid")).body
        died = ask(server, order("die"))
        after = server.ask(order("pid")).body

        assert isinstance(died, BrokenAnswer) or (server.command[0] != "azmlinfsrv" and died.status == 502)
        assert after != before


def begin_waiting(server: Server):
    """A request that is inside run() when this returns."""
    sock, reader = connect(server.port)
    sock.sendall(order("wait"))
    deadline = time.monotonic() + 10
    while not (server.root / "started.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return sock, reader


def test_sigterm_finishes_the_request_under_way_and_exits_0(start):
    for server in start(LIFECYCLE).both:
        sock, reader = begin_waiting(server)
        with sock:
            server.signal(signal.SIGTERM)
            answer = read_answer(reader)

        assert (answer.status, answer.body) == (200, b'"finished"')
        assert server.wait_exit() == 0
        assert (server.root / "farewell.txt").read_text() == "atexit ran\n"
        assert server.children() == []
        assert not port_open(server.port)


def test_sigint_exits_0(start):
    pair = start(LIFECYCLE)
    for server in pair.both:
        sock, reader = begin_waiting(server)
        with sock:
            server.signal(signal.SIGINT)
            answer: Answer | BrokenAnswer
            try:
                answer = read_answer(reader)
            except BrokenAnswer as broken:
                answer = broken
        if server is pair.ours and not standing_in():  # E: the reference breaks it with a 500
            assert isinstance(answer, Answer)
            assert answer.status == 200
        assert server.wait_exit() == 0
        assert server.children() == []


def test_idle_server_ends_promptly(start):
    for server in start(service("plain.py", {"WORKER_COUNT": "2"})).both:
        began = time.monotonic()
        server.signal(signal.SIGTERM)

        assert server.wait_exit() == 0
        assert time.monotonic() - began < 5
        assert server.children() == []


def test_killed_master_leaves_nothing_of_ours_for_long(start):
    server = start(service("plain.py")).ours
    server.signal(signal.SIGKILL)
    server.wait_exit()
    deadline = time.monotonic() + (0 if standing_in() else 15)  # the reference's worker stays for minutes
    while server.children() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert server.children() == [] or standing_in()


def test_constant_response_answered_twice_carries_each_header_once(pairs):
    """E: the reference piles one more set of headers on the script's object with every answer."""
    pair = pairs.get(service("constant.py"))
    names = ("x-ms-run-fn-exec-ms", "TraceId", "x-ms-server-version")
    for server, expected in ((pair.reference, 2), (pair.ours, 2 if standing_in() else 1)):
        first, second = (server.ask(request("POST", headers=[("TraceId", "t")])) for _ in range(2))

        assert [len(first.values(name)) for name in names] == [1, 1, 1]
        assert [len(second.values(name)) for name in names] == [expected] * 3
        assert second.body == b"constant"
