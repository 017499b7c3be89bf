"""Services on this machine for tests: a workspace that ends what it started, and callers that keep every answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from scoring_runtime.deploy import InferenceConfig, LocalWebservice, Model, Webservice, Workspace
from scoring_runtime.deploy.services.service_folder import service_names
from tests.serving import until

VERSIONED = "def init(): pass\ndef run(raw_data): return {version!r}\n"
BROKEN = "def init(): raise ValueError('no model today')\ndef run(raw_data): return 1\n"


@contextmanager
def workspace_at(folder: Path) -> Iterator[Workspace]:
    """No process of its services outlives it."""
    workspace = Workspace(str(folder))
    try:
        yield workspace
    finally:
        for name in service_names(workspace):
            Webservice(workspace, name).delete()


def script(folder: Path, text: str) -> InferenceConfig:
    folder.mkdir(exist_ok=True)
    (folder / "score.py").write_text(text)
    return InferenceConfig("score.py", source_directory=str(folder))


def deployed(workspace: Workspace, folder: Path, text: str, name: str = "demo", **options: Any) -> LocalWebservice:
    """A service with this script, healthy."""
    configuration = LocalWebservice.deploy_configuration(**options)
    service = Model.deploy(workspace, name, [], script(folder, text), configuration)
    service.wait_for_deployment(timeout_sec=60)
    assert isinstance(service, LocalWebservice)
    return service


class Load:
    """Two callers with kept connections and one with new ones, from one thread; every failure is kept."""

    def __init__(self, uri: str, key: str = "") -> None:
        self.uri = uri.replace("localhost", "127.0.0.1")
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.answers: list[tuple[float, Any]] = []  # when it was asked, and the answer
        self.failures: list[str] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.ask()))

    def __enter__(self) -> Load:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join(30)

    async def ask(self) -> None:
        await asyncio.gather(self.caller(5), self.caller(5), self.caller(0))

    async def caller(self, kept: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=kept)
        async with httpx.AsyncClient(timeout=30, limits=limits, trust_env=False, headers=self.headers) as client:
            while not self.stopped.is_set():
                begun = time.monotonic()
                try:
                    answer = await client.post(self.uri, content="{}")
                    if answer.status_code == 200:
                        self.answers.append((begun, answer.json()))
                    else:
                        self.failures.append(f"{answer.status_code} {answer.text}")
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                await asyncio.sleep(0.002)

    def more(self, count: int) -> list[Any]:
        """The next answers to requests that were not begun yet."""
        now = time.monotonic()
        return until(lambda: len(later := [a for t, a in self.answers if t > now]) >= count and later)[:count]  # type: ignore[no-any-return]
