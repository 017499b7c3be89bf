"""The works and the table of servers: every request is what it claims, every gap has a reason."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.__main__ import _chosen, _parser
from benchmarks.environments import PINS
from benchmarks.figures import same_value
from benchmarks.servers import SERVERS
from benchmarks.works import WORKS, own_work

SIZES = {
    "echo-json": 417,
    "logreg": 118,
    "raw-1mb": 1024 * 1024,
    "numpy-1x784": 6195,
    "numpy-64x784": 395976,
    "pandas-1000x8": 150035,
}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bodies_have_the_sizes_that_the_page_states():
    assert {name: len(work.body) for name, work in WORKS.items()} == SIZES


def test_every_server_has_pins():
    assert set(PINS) == set(SERVERS)


def test_a_peer_does_a_work_or_says_why_not():
    gaps = {(name, work.name) for name, server in SERVERS.items() for work in WORKS.values() if server.why_not(work)}
    ceiling_only = {("uvicorn-bare", name) for name in WORKS if name not in ("echo-json", "raw-1mb")}
    assert gaps == ceiling_only | {(name, "raw-1mb") for name in ("litserve", "bentoml", "mlserver")}


@pytest.mark.parametrize("name", ["echo-json", "logreg"])
def test_the_peers_do_the_same_as_the_script(name: str):
    work = WORKS[name]
    script, plain = load(work.script), load(work.script.with_name("plain.py"))
    script.init()
    assert same_value(script.run(work.body.decode()), plain.predict(json.loads(work.body)))


def test_v2_answers_are_read_as_the_same_values():
    numbers = b'{"outputs": [{"name": "answer", "datatype": "FP64", "shape": [2], "data": [0.5, 1.0]}]}'
    text = b'{"outputs": [{"name": "answer", "datatype": "BYTES", "shape": [1], "data": ["{\\"a\\": 1}"]}]}'
    mlserver = SERVERS["mlserver"]
    assert mlserver.value(WORKS["logreg"], numbers) == [0.5, 1.0]
    assert mlserver.value(WORKS["echo-json"], text) == {"a": 1}


def test_an_own_script_runs_only_where_scripts_run(tmp_path: Path):
    body = tmp_path / "request.json"
    body.write_text("{}")
    work = own_work(tmp_path / "score.py", body, None, None)
    able = [name for name, server in SERVERS.items() if server.why_not(work) is None]
    assert (work.content_type, able) == ("application/json", ["ours", "azmlinfsrv"])


def chosen(*arguments: str) -> argparse.Namespace:
    return _parser().parse_args(arguments)


def test_an_own_script_is_measured_against_azmlinfsrv(tmp_path: Path):
    body = tmp_path / "request.json"
    body.write_text("{}")
    works, servers = _chosen(chosen("--script", "score.py", "--body", str(body)))
    assert ([work.name for work in works], [server.name for server in servers]) == (["own"], ["ours", "azmlinfsrv"])


def test_a_peer_without_scripts_is_refused_for_an_own_script(tmp_path: Path):
    with pytest.raises(SystemExit, match="fastapi cannot run a score"):
        _chosen(chosen("--script", "score.py", "--body", "request.json", "--against", "fastapi"))


def test_unknown_names_are_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        chosen("--works", "echo-xml")
    assert "unknown: echo-xml; known: echo-json" in capsys.readouterr().err
