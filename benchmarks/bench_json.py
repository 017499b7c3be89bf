"""Question: which way from JSON text to an ndarray, and back, is the fastest?  python -m benchmarks.bench_json

Each way is run for about `SECONDS`, in alternating rounds; the median and the spread of a call are printed, and the
ratio to the first way. Ways whose library is missing are left out; all answers are compared before they are measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.figures import Spread, spread

__all__ = ["compare", "main", "reading_ways", "writing_ways"]

SECONDS = 0.2
ROUNDS = 5
ROWS = (1, 64)
COLUMNS = 784
Ways = dict[str, Callable[[], Any]]


def reading_ways(body: bytes) -> Ways:
    """`{"data": [[...]]}` to a float64 array."""
    ways: Ways = {"json + numpy": lambda: np.array(json.loads(body)["data"], dtype=np.float64)}
    try:
        import orjson

        ways["orjson + numpy"] = lambda: np.array(orjson.loads(body)["data"], dtype=np.float64)
    except ImportError:
        pass
    try:
        import simdjson

        parser: Any = simdjson.Parser()
        ways["simdjson to lists + numpy"] = lambda: np.array(parser.parse(body)["data"].as_list(), dtype=np.float64)
        ways["simdjson buffer"] = lambda: _from_buffer(parser.parse(body)["data"])
    except ImportError:
        pass
    return ways


def _from_buffer(data: Any) -> np.ndarray:
    """The flat buffer of all rows; a real reader must also check that the rows are equally long."""
    return np.frombuffer(data.as_buffer(of_type="d"), dtype=np.float64).reshape(len(data), -1)


def writing_ways(array: np.ndarray) -> Ways:
    """An array to a JSON text."""
    ways: Ways = {"tolist + json": lambda: json.dumps(array.tolist()).encode()}
    try:
        import orjson

        ways["tolist + orjson"] = lambda: orjson.dumps(array.tolist())
        ways["orjson with numpy"] = lambda: orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    except ImportError:
        pass
    return ways


def compare(ways: Ways, seconds: float = SECONDS, rounds: int = ROUNDS) -> dict[str, Spread]:
    """Milliseconds a call: every way once around, `rounds` times."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(_milliseconds(way, seconds))
    return {name: found for name, values in times.items() if (found := spread(values))}


def _milliseconds(way: Callable[[], Any], seconds: float) -> float:
    calls, started = 0, time.perf_counter()
    deadline = started + seconds
    while (now := time.perf_counter()) < deadline or not calls:
        way()
        calls += 1
    return (now - started) / calls * 1000


def main() -> None:
    for rows in ROWS:
        array = np.round(np.random.default_rng(784).random((rows, COLUMNS)), 4)
        body = json.dumps({"data": array.tolist()}).encode()
        for title, ways in (("read", reading_ways(body)), ("write", writing_ways(array))):
            read = [way() if title == "read" else json.loads(way()) for way in ways.values()]
            assert all(np.array_equal(array, each) for each in read), "the ways differ"
            print(f"\n{title} {rows} x {COLUMNS} floats, {len(body):,} bytes")
            _print(compare(ways))


def _print(found: dict[str, Spread]) -> None:
    first = next(iter(found.values())).median
    for name, each in found.items():
        print(f"  {name:<28}{each.median:9.4f} ms  ({each.low:.4f}-{each.high:.4f})  {first / each.median:6.1f}x")


if __name__ == "__main__":
    main()
