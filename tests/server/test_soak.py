"""Mixed load for a while (SOAK_SECONDS, 8 by default): every answer is right, and memory and descriptors stay flat.

SOAK_SECONDS=600 pytest tests/server/test_soak.py -s --timeout 900
"""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.serving import Server, serving, until

SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))
MIB = 1024 * 1024

SCRIPT = """
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
def init():
    pass
def pieces(count):
    for _ in range(count):
        yield b"0123456789" * 1000
@rawhttp
def run(request):
    how = request.args.get("how")
    if how == "raise":
        raise ValueError("on purpose")
    if how == "stream":
        return AMLResponse(pieces(50), 200)
    if how == "json":
        return request.get_json()
    return AMLResponse(request.get_data(), 200)
"""


@dataclass
class Use:
    """What one process holds."""

    memory: int  # bytes of its own
    files: int


def use(pid: int) -> Use:
    [kilobytes] = re.findall(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return Use(int(kilobytes) * 1024, len(os.listdir(f"/proc/{pid}/fd")))


def processes(server: Server) -> dict[str, int]:
    workers = server.workers()
    arbiter = server.process.pid
    return {
        "arbiter": arbiter,
        "front": server.front(),
        **{f"worker {n}": pid for n, pid in enumerate(sorted(workers))},
    }


class Load:
    """Clients of every kind, until stopped."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.stopped = threading.Event()
        self.wrong: list[str] = []
        self.count = 0
        kinds = [self.small, self.small, self.json, self.large, self.errors, self.streams, self.leavers, self.refused]
        self.threads = [threading.Thread(target=self.repeat, args=(kind, n)) for n, kind in enumerate(kinds)]
        for thread in self.threads:
            thread.start()

    def repeat(self, kind: object, seed: int) -> None:
        chance = random.Random(seed)
        with httpx.Client(base_url=self.server.url, timeout=20, trust_env=False) as client:
            while not self.stopped.is_set():
                try:
                    fine = kind(client, chance)  # type: ignore[operator]
                except httpx.TransportError as error:
                    fine, self.wrong = False, [*self.wrong, f"{seed} {error!r}"]
                if not fine:
                    self.wrong.append(str(seed))
                self.count += 1

    def small(self, client: httpx.Client, chance: random.Random) -> bool:
        data = chance.randbytes(chance.randrange(2000))
        return client.post("/score", content=data).content == data

    def json(self, client: httpx.Client, chance: random.Random) -> bool:
        value = {"a": [chance.random() for _ in range(100)]}
        return bool(client.post("/score?how=json", json=value).json() == value)

    def large(self, client: httpx.Client, chance: random.Random) -> bool:
        data = chance.randbytes(chance.choice([59_000, 61_000, 500_000, 2_200_000, 5_000_000]))
        return client.post("/score", content=data).content == data

    def errors(self, client: httpx.Client, chance: random.Random) -> bool:
        return [
            client.post("/score?how=raise").status_code,
            client.get("/unknown").status_code,
            client.get("/swagger.json").status_code,
            client.get("/").status_code,
        ] == [500, 404, 200, 200]

    def streams(self, client: httpx.Client, chance: random.Random) -> bool:
        with client.stream("GET", "/score?how=stream") as answer:
            if chance.random() < 0.3:
                return answer.status_code == 200  # and goes
            return sum(map(len, answer.iter_bytes())) == 500_000

    def leavers(self, client: httpx.Client, chance: random.Random) -> bool:
        size = chance.choice([10, 100_000, 3_000_000])
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as sock:
            sock.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
            sock.sendall(b"x" * (size - chance.randrange(3)))
            if chance.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return not self.stopped.wait(0.005)

    def refused(self, client: httpx.Client, chance: random.Random) -> bool:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as sock:
            junk = [b"\0" * 100, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, b"POST /score HTTP/1.1\r\n\r\n"]
            sock.sendall(chance.choice(junk))
            sock.shutdown(socket.SHUT_WR)
            try:
                while sock.recv(1000):
                    pass
            except ConnectionResetError:
                pass
        return not self.stopped.wait(0.005)

    def end(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)


@pytest.mark.timeout(SECONDS * 2 + 60)
def test_memory_and_descriptors_stay_flat(tmp_path: Path) -> None:
    with serving(SCRIPT, tmp_path, WORKER_COUNT="2") as server:
        until(lambda: len(server.workers()) == 2)
        pids = processes(server)

        def loaded(seconds: float) -> tuple[int, dict[str, Use]]:
            load = Load(server)
            load.stopped.wait(seconds)
            load.end()
            assert load.wrong in ([], ["6"], ["7"], ["6", "7"], ["7", "6"])  # these two were told to stop
            until(lambda: "scoring_requests_in_flight 0\n" in server.client.get("/metrics").text)
            return load.count, {name: use(pid) for name, pid in pids.items()}

        _, before = loaded(max(3.0, SECONDS * 0.1))
        start = time.monotonic()
        count, after = loaded(SECONDS)
        print(f"\n{count} requests in {time.monotonic() - start:.0f} s")
        for name, used in after.items():
            print(f"{name:9} {before[name].memory / MIB:7.1f} -> {used.memory / MIB:7.1f} MiB, {used.files} files")
        assert processes(server) == pids  # nobody died
        for name, used in after.items():
            assert used.memory - before[name].memory < 8 * MIB, name
            assert used.files - before[name].files <= 34, name  # 16 memory files for bodies, each mapped
        assert "Traceback" not in server.err()
