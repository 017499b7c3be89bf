"""Question: how evenly do requests spread over workers?  python -m benchmarks.bench_spread

Four workers run works/uneven (2 ms, and 20 ms for each tenth request of a worker), 16 clients ask in a closed loop,
each on its connection for as long as the server keeps it. Ours and azmlinfsrv in turn. A worker's share is its requests
over a fair quarter.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from benchmarks import environments
from benchmarks.figures import percentiles, spread
from benchmarks.processes import Running, free_ports
from benchmarks.servers import SERVERS, Launch, environ
from benchmarks.works import own_work

__all__ = ["ask", "main", "measure"]

WORKERS = 4
CLIENTS = 16
ROUNDS = 5
SECONDS = 3.0
BODY = b"{}"
Answers = list[tuple[int, float]]


def ask(port: int, seconds: float, answers: Answers) -> None:
    """One client's requests: who answered each, and after how many milliseconds."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            client.request("POST", "/score", BODY, {"Content-Type": "application/json"})
            answers.append((int(client.getresponse().read()), (time.perf_counter() - start) * 1e3))


def measure(port: int, seconds: float = SECONDS) -> Answers:
    answers: Answers = []
    clients = [threading.Thread(target=ask, args=(port, seconds, answers)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return answers


def row(name: str, rounds: list[Answers]) -> str:
    shares = []
    for answers in rounds:
        counts = Counter(pid for pid, _ in answers)
        shares += [count * WORKERS / len(answers) for count in counts.values()] + [0.0] * (WORKERS - len(counts))
    rates = spread([len(answers) / SECONDS for answers in rounds])
    waits = percentiles([ms for answers in rounds for _, ms in answers])
    assert rates is not None
    return (
        f"{name:<12} share of a worker {min(shares):.2f}-{max(shares):.2f}   {rates.median:,.0f} requests/s "
        f"({rates.low:,.0f}-{rates.high:,.0f})   p50 {waits['p50']:.1f} ms   p99 {waits['p99']:.1f} ms"
    )


def main() -> None:
    body = Path(__file__).parent / "works" / "uneven"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        request = Path(folder, "request.json")
        request.write_bytes(BODY)
        work = own_work(body / "score.py", request, None, None)
        alive = {}
        for name in ("ours", "azmlinfsrv"):
            python = environments.ensure(name, lambda text: print(text, file=sys.stderr))
            port, *spare = free_ports(3)
            launch = Launch(python, work, port, (spare[0], spare[1]), Path(folder))
            variables = {**environ(SERVERS[name], launch, os.environ["PATH"]), "WORKER_COUNT": str(WORKERS)}
            command = SERVERS[name].command(launch)
            server = Running.start(name, command, variables, port, Path(folder, f"{name}.log"), Path(folder))
            alive[name] = stack.enter_context(server)
            server.wait_for("POST", "/score", BODY, "application/json")
        rounds: dict[str, list[Answers]] = {name: [] for name in alive}
        for _ in range(ROUNDS):
            for name, server in alive.items():
                rounds[name].append(measure(server.port))
    print(f"{WORKERS} workers, {CLIENTS} clients, {ROUNDS} rounds of {SECONDS:.0f} s")
    for name in rounds:
        print(row(name, rounds[name]))


if __name__ == "__main__":
    main()
