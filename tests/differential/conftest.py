"""Finds or makes the reference, and starts pairs of servers that a module shares."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .compare import Case, check
from .improvements import differences
from .servers import REPOSITORY, Pair, Server, Service, our_command

REFERENCE = ("azureml-inference-server-http==1.5.1", "inference-schema[numpy-support,pandas-support]", "flask-cors")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings the cases of one service together, in whatever order the services come: each pair starts once."""
    ranks: dict[object, int] = {}

    def rank(item: pytest.Item) -> int:
        case = (
            item.callspec.params.get("case")
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else None
        )
        key = case.service if isinstance(case, Case) else item.path
        return ranks.setdefault(key, len(ranks))

    items.sort(key=rank)


def make_reference(folder: Path) -> Path:
    """The reference in a virtual environment of its own; made once, kept under .cache/."""
    command = folder / "bin" / "azmlinfsrv"
    if command.exists() and (folder / "complete").exists():
        return command
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *REFERENCE]
    done = subprocess.run(install, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(
            f"The reference server could not be installed for the differential tests:\n{done.stderr}\n"
            "Install it yourself and name its command in the environment variable AZMLINFSRV."
        )
    (folder / "complete").touch()
    return command


@pytest.fixture(scope="session")
def reference_command() -> list[str]:
    named = os.environ.get("AZMLINFSRV")
    if named:
        return named.split()
    key = hashlib.sha256(repr((REFERENCE, sys.version_info[:3])).encode()).hexdigest()[:12]
    return [str(make_reference(REPOSITORY / ".cache" / "reference" / key))]


KEPT_PAIRS = 6


class Pairs:
    """Starts a pair for a service at its first use and keeps it."""

    def __init__(self, folder: Path, reference: list[str]) -> None:
        self.folder = folder
        self.reference = reference
        self.started: dict[Service, Pair] = {}
        self.count = 0

    def make(self, what: Service) -> Pair:
        self.count += 1
        folder = self.folder / str(self.count)
        reference = Server(self.reference, what, folder / "reference")
        return Pair(reference, Server(our_command(), what, folder / "ours"))

    def get(self, what: Service) -> Pair:
        if what in self.started:
            self.started[what] = self.started.pop(what)  # now the most recently used
            return self.started[what]
        if len(self.started) >= KEPT_PAIRS:
            self.started.pop(next(iter(self.started))).stop()
        pair = self.make(what)
        try:
            pair.start()
        except BaseException:
            pair.stop()
            raise
        self.started[what] = pair
        return pair

    def stop(self) -> None:
        for pair in self.started.values():
            pair.end()
        for pair in self.started.values():
            pair.stop()


# A server starts in about a second; making the reference's environment may take minutes, once.
@pytest.fixture(scope="session", autouse=True)
def _reference_ready(reference_command: list[str]) -> None:
    assert Path(reference_command[0]).exists(), reference_command


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, reference_command: list[str]) -> Iterator[Pairs]:
    """Pairs of servers that all tests share, the least recently used ended to make room."""
    made = Pairs(tmp_path_factory.mktemp("pairs"), reference_command)
    yield made
    made.stop()


@pytest.fixture
def check_case(pairs: Pairs) -> Callable[[Case], None]:
    """Sends a case to both servers and compares what comes back."""

    def run(case: Case) -> None:
        check(case, pairs.get(case.service), differences().get(case.id))

    return run


@pytest.fixture
def start(tmp_path: Path, reference_command: list[str]) -> Iterator[Callable[..., Pair]]:
    """Starts a pair for one test alone."""
    made = Pairs(tmp_path, reference_command)
    started: list[Pair] = []

    def run(what: Service, *, ready: bool = True) -> Pair:
        pair = made.make(what)
        started.append(pair)
        return pair.start(ready=ready)

    yield run
    for pair in started:
        pair.stop()
