"""What the tests of batch runs share: scripts written where the test reads, jobs with small defaults."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.batch.job import Job

MakeJob = Callable[..., Job]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "nightly" not in (config.option.markexpr or ""):
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(pytest.mark.skip(reason="run with -m nightly"))


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """A job whose script is given as text; inputs default to the folder `data`, output to `out`."""

    def make(script: str, **values: Any) -> Job:
        path = tmp_path / "score.py"
        path.write_text(textwrap.dedent(script))
        values.setdefault("inputs", (str(tmp_path / "data"),))
        return Job(script=str(path), output=str(tmp_path / "out"), **{"processes": 1, **values})

    return make


@pytest.fixture
def files(tmp_path: Path) -> Callable[[int], list[Path]]:
    """That many small files in the folder `data`, named so that they sort by number."""

    def make(number: int) -> list[Path]:
        (tmp_path / "data").mkdir()
        paths = [tmp_path / "data" / f"{n:03d}.txt" for n in range(number)]
        for n, path in enumerate(paths):
            path.write_text(f"content {n}")
        return paths

    return make


@pytest.fixture
def table(tmp_path: Path) -> Callable[[int], Path]:
    """data/rows.csv with the columns id, x and name; some names hold commas, quotes and line breaks."""

    def make(rows: int) -> Path:
        (tmp_path / "data").mkdir()
        path = tmp_path / "data" / "rows.csv"
        names = ['"a, b"', '"line\nbreak"', "plain", '"say ""hi"""']
        lines = [f"{n},{n / 2},{names[n % 4]}" for n in range(rows)]
        path.write_text("id,x,name\n" + "\n".join(lines) + "\n")
        return path

    return make
