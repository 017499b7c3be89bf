"""One measurement from start to end: for every work all servers alive, one loaded at a time, in alternating rounds."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import closed_loop, environments, machine, open_loop
from benchmarks.figures import same_value, spread
from benchmarks.processes import Running, ServerFailed, free_ports
from benchmarks.progress import Progress
from benchmarks.servers import Launch, Server, environ
from benchmarks.works import Work

__all__ = ["Measurement", "Method"]

FORMAT = 1
START_SECONDS_GUESS = 4.0
OPEN_ATTEMPTS = 3


@dataclass(frozen=True)
class Method:
    """How it was measured; written into the results as it is."""

    rounds: int = 5
    seconds: float = 5.0
    warmup_seconds: float = 2.0
    connections: int = 16
    open_works: tuple[str, ...] = ("echo-json", "numpy-1x784")
    open_seconds: float = 8.0
    open_warmup_seconds: float = 1.0
    open_connections: int = 64
    cold_works: tuple[str, ...] = ("echo-json", "numpy-1x784")
    cold_rounds: int = 5
    memory_requests: int = 200


class Measurement:
    """Runs the method over works and servers; `results` is complete for the works done so far."""

    def __init__(
        self,
        method: Method,
        works: Sequence[Work],
        servers: Sequence[Server],
        pythons: Mapping[str, Path],
        save: Callable[[dict[str, Any]], None] = lambda results: None,
    ) -> None:
        self.method = method
        self.works = works
        self.servers = servers
        self.pythons = pythons
        self.save = save
        self.progress = Progress(sum(map(self._planned_seconds, works)))
        self.results: dict[str, Any] = {
            "format": FORMAT,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": machine.describe(),
            "method": asdict(method),
            "servers": {
                server.name: {
                    "title": server.title,
                    "note": server.note,
                    "versions": environments.versions(pythons[server.name]),
                }
                for server in servers
            },
            "works": {
                work.name: {"title": work.title, "body_bytes": len(work.body), "aims": dict(work.aims)}
                for work in works
            },
            "unable": {},
            "failures": [],
            "cold": {},
            "memory": {},
            "closed": {},
            "open": {},
        }

    def run(self) -> dict[str, Any]:
        for work in self.works:
            with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
                self._measure(work, Path(folder))
            self.save(self.results)
        return self.results

    def _measure(self, work: Work, folder: Path) -> None:
        self.results["unable"][work.name] = {}
        able = [server for server in self.servers if self._is_able(server, work)]
        if work.name in self.method.cold_works:
            self._cold_starts(work, able, folder)
            able = [server for server in able if server.name not in self.results["unable"][work.name]]
        with contextlib.ExitStack() as stack:
            alive = self._start_all(work, able, folder, stack)
            self._weigh(work, alive)
            self._closed_rounds(work, alive)
            if work.name in self.method.open_works:
                self._open_runs(work, alive)

    def _is_able(self, server: Server, work: Work) -> bool:
        reason = server.why_not(work)
        if reason:
            self._strike(server, work, reason)
        return reason is None

    def _strike(self, server: Server, work: Work, reason: str) -> None:
        self.results["unable"][work.name][server.name] = reason

    def _fail(self, server: Server, work: Work, error: Exception) -> None:
        """A server that should have been able: said loudly, kept in the results, left out of this work."""
        self.progress.say(f"FAILED: {work.name}, {server.name}: {error}")
        first_line = str(error).partition("\n")[0].replace(f"{environments.ROOT}/", "")
        self.results["failures"].append(f"{work.name}, {server.name}: {first_line}")
        self._strike(server, work, f"failed: {first_line}")

    # starting

    def _start(self, server: Server, work: Work, folder: Path) -> Running:
        home = Path(tempfile.mkdtemp(prefix=f"{server.name}-", dir=folder))
        port, *spare = free_ports(3)
        launch = Launch(self.pythons[server.name], work, port, (spare[0], spare[1]), home)
        variables = environ(server, launch, os.environ["PATH"])
        return Running.start(server.name, server.command(launch), variables, port, home / "server.log", home)

    def _start_all(
        self, work: Work, servers: Sequence[Server], folder: Path, stack: contextlib.ExitStack
    ) -> list[tuple[Server, Running]]:
        """All servers of a work, healthy and proven to give the same answer as the first of them."""
        alive: list[tuple[Server, Running]] = []
        expected: Any = None
        for server in servers:
            self.progress.say(f"{work.name}: starting {server.name}")
            self.progress.step(START_SECONDS_GUESS)
            running = stack.enter_context(self._start(server, work, folder))
            try:
                running.wait_for("GET", server.health)
                value = self._answer(server, running, work)
                if alive and not same_value(expected, value):
                    first = alive[0][0].name
                    raise ServerFailed(f"answers {str(value)[:200]!r} where {first} answers {str(expected)[:200]!r}")
            except (ServerFailed, OSError, ValueError, KeyError) as error:
                self._fail(server, work, error)
                running.stop()
                continue
            expected = value if not alive else expected
            alive.append((server, running))
        return alive

    def _answer(self, server: Server, running: Running, work: Work) -> Any:
        body, content_type = server.request(work)
        try:
            status, answer = running.ask("POST", server.path, body, content_type)
        except OSError as error:
            raise ServerFailed(f"no answer to POST {server.path}: {error}\n{running.log_tail()}") from error
        if status != 200:
            raise ServerFailed(f"answered {status}: {answer[:300]!r}\n{running.log_tail()}")
        return server.value(work, answer)

    # measuring

    def _cold_starts(self, work: Work, servers: Sequence[Server], folder: Path) -> None:
        """From fork and exec to the first healthy answer, and on to the first scored one; nothing else is alive."""
        times: dict[str, dict[str, list[float]]] = {}
        for number, server in _alternate(self.method.cold_rounds, servers):
            if server.name in self.results["unable"][work.name]:
                continue
            try:
                with self._start(server, work, folder) as running:
                    healthy = running.wait_for("GET", server.health)
                    scored = running.wait_for("POST", server.path, *server.request(work))
            except ServerFailed as error:
                self._fail(server, work, error)
                continue
            rows = times.setdefault(server.name, {"healthy_seconds": [], "scored_seconds": []})
            rows["healthy_seconds"].append(round(healthy, 4))
            rows["scored_seconds"].append(round(scored, 4))
            self.progress.step(START_SECONDS_GUESS)
            self.progress.say(f"{work.name}: cold start {number}, {server.name}: {healthy:.2f} s")
        self.results["cold"][work.name] = times

    def _weigh(self, work: Work, alive: Sequence[tuple[Server, Running]]) -> None:
        rows = {}
        for server, running in alive:
            running.repeat(self.method.memory_requests, server.path, *server.request(work))
            rows[server.name] = running.memory()
            largest = rows[server.name]["largest"]["pss_mib"]
            self.progress.say(
                f"{work.name}: {server.name} weighs {rows[server.name]['total_pss_mib']} MiB, largest {largest}"
            )
        self.results["memory"][work.name] = rows

    def _closed_rounds(self, work: Work, alive: Sequence[tuple[Server, Running]]) -> None:
        rows: dict[str, dict[str, Any]] = {server.name: {"rounds": []} for server, _ in alive}
        self.results["closed"][work.name] = rows
        for server, running in alive:
            self._load(server, running, work, self.method.warmup_seconds)
        for number, (server, running) in _alternate(self.method.rounds, alive):
            result = self._load(server, running, work, self.method.seconds)
            rows[server.name]["rounds"].append(result)
            verdict = f"VOID: {result['void']}" if result["void"] else f"{result['requests_per_second']:,.0f}/s"
            self.progress.say(f"{work.name}: round {number}, {server.name}: {verdict}, p99 {result['p99_ms']:.2f} ms")

    def _load(self, server: Server, running: Running, work: Work, seconds: float) -> dict[str, Any]:
        self.progress.step(seconds)
        url = f"http://127.0.0.1:{running.port}{server.path}"
        return closed_loop.load(url, *server.request(work), seconds, self.method.connections)

    def _open_runs(self, work: Work, alive: Sequence[tuple[Server, Running]]) -> None:
        for server, running in alive:
            rounds = self.results["closed"][work.name][server.name]["rounds"]
            capacity = spread([each["requests_per_second"] for each in rounds if not each["void"]])
            if capacity is None:
                continue
            runs = self.results["open"].setdefault(work.name, {}).setdefault(server.name, [])
            for rate in open_loop.choose_rates(capacity.median):
                runs.append(self._open_run(server, running, work, rate))
            self.progress.step(self._open_seconds())

    def _open_run(self, server: Server, running: Running, work: Work, rate: open_loop.Rate) -> dict[str, Any]:
        """A rejected run is tried again: the usual reason is that something else used the machine."""
        method = self.method
        request = server.request(work)
        pace = (method.open_seconds, method.open_warmup_seconds)
        result: dict[str, Any] = {"rejected": "not tried", "attempts": 0}
        while result["rejected"] and result["attempts"] < OPEN_ATTEMPTS:
            attempts = result["attempts"] + 1
            result = open_loop.load(running.port, server.path, *request, rate, *pace, method.open_connections)
            verdict = f"REJECTED: {result['rejected']}" if result["rejected"] else f"{result['latency_ms']} ms"
            self.progress.say(f"{work.name}: {server.name} at {rate.per_second:,.0f}/s ({rate.origin}): {verdict}")
            result["attempts"] = attempts
        return result

    # planning

    def _planned_seconds(self, work: Work) -> float:
        method, count = self.method, sum(server.why_not(work) is None for server in self.servers)
        each = START_SECONDS_GUESS + method.warmup_seconds + method.rounds * method.seconds
        if work.name in method.cold_works:
            each += method.cold_rounds * START_SECONDS_GUESS
        if work.name in method.open_works:
            each += self._open_seconds()
        return each * count

    def _open_seconds(self) -> float:
        rates = len(open_loop.FRACTIONS) + len(open_loop.COMMON_RATES)
        return rates * (self.method.open_seconds + self.method.open_warmup_seconds)


def _alternate(rounds: int, things: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """A, B, C, A, B, C: a machine that changes its speed changes it for everyone."""
    for number in range(1, rounds + 1):
        for thing in things:
            yield number, thing
