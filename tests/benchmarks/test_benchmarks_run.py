"""The harness for real, as short as it can be: it starts servers, compares answers, loads them, writes everything."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import Running, ServerFailed, free_ports, session_members

ROOT = Path(__file__).resolve().parents[2]
here = sys.executable


@pytest.mark.harness
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk (apt-get install wrk)")
def test_a_quick_run_measures_ours_and_the_ceiling(tmp_path: Path):
    page = tmp_path / "benchmarks.md"
    command = [here, "-m", "benchmarks", "--quick", "--servers", "ours,uvicorn-bare", "--open-works", ""]
    interpreters = ["--python", f"ours={here}", "--python", f"uvicorn-bare={here}"]
    done = subprocess.run(
        [*command, *interpreters, "--report", str(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "benchmarks" / "results.json").read_text())
    for server in ("ours", "uvicorn-bare"):
        assert [each["void"] for each in results["closed"]["echo-json"][server]["rounds"]] == [None]
        assert results["memory"]["echo-json"][server]["processes"]
        assert len(results["cold"]["echo-json"][server]["healthy_seconds"]) == 1
    assert "## Throughput" in page.read_text()


@pytest.mark.harness
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk (apt-get install wrk)")
@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="needs uvloop")
def test_a_server_that_fails_is_reported_and_the_others_are_measured(tmp_path: Path):
    results_file = tmp_path / "results.json"
    command = [here, "-m", "benchmarks", "--quick", "--servers", "azmlinfsrv,uvicorn-bare", "--open-works", ""]
    interpreters = ["--python", f"azmlinfsrv={here}", "--python", f"uvicorn-bare={here}", "--cold-works", ""]
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "python"
    broken.symlink_to(here)
    azmlinfsrv = tmp_path / "bin" / "azmlinfsrv"
    azmlinfsrv.write_text("#!/bin/sh\necho 'no model here'\nexit 3\n")
    azmlinfsrv.chmod(0o755)
    interpreters[1] = f"azmlinfsrv={broken}"
    done = subprocess.run(
        [*command, *interpreters, "--json", str(results_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    results = json.loads(results_file.read_text())
    assert done.returncode == 1
    assert results["failures"] == ["echo-json, azmlinfsrv: azmlinfsrv ended with 3: no model here"]
    assert list(results["closed"]["echo-json"]) == ["uvicorn-bare"]


def start(tmp_path: Path, program: str) -> Running:
    (port,) = free_ports(1)
    return Running.start("program", [here, "-c", program], {"PORT": str(port)}, port, tmp_path / "log", tmp_path)


def test_stop_ends_children_too(tmp_path: Path):
    child = f"{here!r}, '-c', 'import signal; signal.pause()'"
    program = f"import subprocess, signal; subprocess.Popen([{child}]); print('up', flush=True); signal.pause()"
    with start(tmp_path, program) as running:
        while "up" not in running.log_tail():
            assert running.process.poll() is None
        assert len(session_members(running.process.pid)) == 2
    assert session_members(running.process.pid) == []


def test_an_early_end_is_told_with_the_log(tmp_path: Path):
    with (
        start(tmp_path, "raise SystemExit('no such model')") as running,
        pytest.raises(ServerFailed, match="program ended with 1: no such model"),
    ):
        running.wait_for("GET", "/")


def test_the_largest_process_is_weighed_first(tmp_path: Path):
    with start(tmp_path, "import signal; print('up', flush=True); signal.pause()") as running:
        while "up" not in running.log_tail():
            assert running.process.poll() is None
        memory = running.memory()
    assert memory["largest"] == memory["processes"][0]
    assert memory["total_pss_mib"] > 0
