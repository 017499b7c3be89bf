"""Closed loop: what wrk says is read. Open loop: rates, verdicts, and a generator that loses no request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from benchmarks import closed_loop
from benchmarks.generator import Generator
from benchmarks.open_loop import Rate, choose_rates, judged

LINE = (
    '{"requests":200,"seconds":2.0,"p50_ms":1.0,"p90_ms":2.0,"p99_ms":3.0,"non_2xx":%d,"socket_errors":%d,"timeouts":0}'
)
KEEP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def wrk_output(non_2xx: int = 0, socket_errors: int = 0) -> str:
    return f"Running 2s test\n{closed_loop.MARK}{LINE % (non_2xx, socket_errors)}\n"


def test_a_clean_round_counts():
    result = closed_loop.parse(wrk_output())
    assert (result["requests_per_second"], result["void"]) == (100.0, None)


def test_bad_answers_and_socket_errors_void_a_round():
    assert closed_loop.parse(wrk_output(non_2xx=3, socket_errors=1))["void"] == "3 non_2xx, 1 socket_errors"


def test_without_wrk_the_error_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(closed_loop.WrkMissing, match="apt-get install wrk"):
        closed_loop.find_wrk()


def test_rates_are_fractions_of_the_capacity_and_the_common_ones_below_it():
    rates = choose_rates(1000, fractions=(0.5, 0.85), common=(100, 940, 960))
    assert [(rate.per_second, rate.origin) for rate in rates] == [
        (100, "common"),
        (500, "50% of capacity"),
        (850, "85% of capacity"),
        (940, "common"),
    ]


def test_a_run_that_sent_nothing_is_rejected():
    result = {"lateness_ms": {}, "errors": 0, "unanswered": 0}
    assert "late" in judged(result, Rate(100, "common"))["rejected"]


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def answers(response: bytes, requests_a_connection: int | None = None) -> Answer:
    """A server that answers every request the same, and hangs up after so many."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = 0
        try:
            while served != requests_a_connection:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(response)
                served += 1
        except asyncio.IncompleteReadError:
            pass
        writer.close()
        await writer.wait_closed()

    return serve


def generate(answer: Answer, rate: float = 500, seconds: float = 0.2) -> dict[str, Any]:
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        await answer(reader, writer)

    async def both() -> dict[str, Any]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            payload = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
            generator = Generator(port, payload, rate, seconds, warmup_seconds=0.1, connections=4)
            result = await generator.run()
            await asyncio.gather(*serving)
            return result

    return asyncio.run(both())


@pytest.mark.parametrize("response", [KEEP, CHUNKED], ids=["length", "chunked"])
def test_the_generator_answers_for_every_request_and_reuses_connections(response: bytes):
    result = generate(answers(response))
    assert (result["sent"], result["answered"], result["errors"], result["unanswered"]) == (100, 100, 0, 0)
    assert result["connections_opened"] <= 4


def test_a_server_that_closes_gets_a_connection_a_request():
    result = generate(answers(CLOSE, requests_a_connection=1))
    assert (result["answered"], result["errors"], result["connections_opened"]) == (100, 0, 150)


def test_answers_other_than_200_are_errors():
    result = generate(answers(REFUSED))
    assert (result["answered"], result["errors"]) == (0, 150)


def test_nobody_listening_is_an_error_a_request():
    async def closed() -> dict[str, Any]:
        server = await asyncio.start_server(answers(KEEP), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await Generator(port, b"", 500, 0.1, 0, 4).run()

    assert asyncio.run(closed())["errors"] == 50
