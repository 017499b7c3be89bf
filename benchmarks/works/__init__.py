"""The works: what is asked of every server. A folder each, with score.py, plain.py (for the peers) and request.py."""

from __future__ import annotations

import importlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["WORKS", "Work", "own_work"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Work:
    """One request, the script that answers it, and what the project aims at (ratios to other servers)."""

    name: str
    title: str
    script: Path
    body: bytes = field(repr=False)
    content_type: str
    v2_body: bytes | None = field(default=None, repr=False)
    model_dir: Path | None = None
    has_plain: bool = True
    aims: Mapping[str, float] = field(default_factory=dict)


def _shipped(name: str, folder: str, title: str, aims: Mapping[str, float], **options: Any) -> Work:
    request = importlib.import_module(f"benchmarks.works.{folder}.request")
    v2_body = getattr(request, "v2_body", None)
    return Work(
        name=name,
        title=title,
        script=HERE / folder / "score.py",
        body=request.body(**options),
        content_type=request.CONTENT_TYPE,
        v2_body=v2_body(**options) if v2_body else None,
        aims=aims,
    )


def _all() -> dict[str, Work]:
    works = [
        _shipped(
            "echo-json", "echo_json", "echo of 417 bytes of JSON, plain mode", {"azmlinfsrv": 10, "uvicorn-bare": 0.6}
        ),
        _shipped("logreg", "logreg", "logistic regression on two rows", {"azmlinfsrv": 4}),
        _shipped("raw-1mb", "raw_1mb", "rawhttp, 1 MB reversed", {"azmlinfsrv": 2.5, "uvicorn-bare": 0.9}),
        _shipped("numpy-1x784", "numpy_784", "numpy schema, 1 x 784 floats", {"azmlinfsrv": 10}, rows=1),
        _shipped("numpy-64x784", "numpy_784", "numpy schema, 64 x 784 floats", {"azmlinfsrv": 8}, rows=64),
        _shipped("pandas-1000x8", "pandas_1000x8", "pandas schema, 1,000 x 8 records", {"azmlinfsrv": 4}, rows=1000),
    ]
    return {work.name: work for work in works}


WORKS: Mapping[str, Work] = _all()


def own_work(script: Path, body: Path, content_type: str | None, model_dir: Path | None) -> Work:
    """The work that a user brings: only servers that take a score.py can do it."""
    guessed = content_type or mimetypes.guess_type(body.name)[0] or "application/json"
    return Work("own", script.name, script.resolve(), body.read_bytes(), guessed, None, model_dir, has_plain=False)
