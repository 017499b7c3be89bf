"""Plots and page from a recorded measurement: well-formed, complete, and saying what did not count."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plots, report
from benchmarks.__main__ import main
from benchmarks.charts import Bar, BarPanel, bar_chart, log_ticks, nice_step
from benchmarks.progress import Progress

RECORDED = Path(__file__).parent / "data" / "results.json"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def results() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(RECORDED.read_text())
    return recorded


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def test_all_plots_are_drawn_and_well_formed(results: dict[str, Any]):
    drawings = plots.draw(results)
    assert sorted(drawings) == ["cold-start.svg", "latency-echo-json.svg", "memory.svg", "throughput.svg"]
    for drawing in drawings.values():
        assert ElementTree.fromstring(drawing).tag == f"{SVG}svg"


def test_elements_stay_inside_the_drawing(results: dict[str, Any]):
    for drawing in plots.draw(results).values():
        root = ElementTree.fromstring(drawing)
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        for element in root.iter():
            assert 0 <= float(element.get("x", 0)) <= width
            assert 0 <= float(element.get("y", 0)) <= height


def test_throughput_names_servers_units_and_reasons(results: dict[str, Any]):
    words = texts(plots.draw(results)["throughput.svg"])
    assert {"Throughput", "scoring-runtime", "azmlinfsrv", "requests a second", "20,000"} <= set(words)
    assert "–  reads JSON and forms only" in words


def test_rejected_runs_are_not_drawn(results: dict[str, Any]):
    dots = ElementTree.fromstring(plots.draw(results)["latency-echo-json.svg"]).findall(f"{SVG}circle")
    kept = sum(not run["rejected"] for runs in results["open"]["echo-json"].values() for run in runs)
    servers_in_legend = len(results["open"]["echo-json"])
    assert len(dots) == kept * 4 + servers_in_legend


def test_void_rounds_do_not_count(results: dict[str, Any]):
    found = plots.throughput(results, "echo-json", "azmlinfsrv")
    assert found is not None
    assert (found.median, found.low, found.high, found.count) == (2000.0, 1900.0, 2100.0, 2)


def test_the_page_says_machine_method_and_every_number(results: dict[str, Any]):
    page = report.page(results, "benchmarks")
    for expected in (
        "2 cores of Test CPU, 24 GiB",
        "16 connections",
        "| echo-json | 20,000 (19,000–21,000) | 2,000 (1,900–2,100) (1 of 3 rounds void) | – |",
        "| echo-json | 10.00x (10x) | – (0.6x) |",
        "| echo-json, cold start | 0.31x (at most 0.35x) | – |",
        "| echo-json, memory | 0.60x (at most 0.5x), in all 0.77x | – |",
        "LitServe, raw-1mb: reads JSON and forms only",
        "rejected: the generator was 1.50 ms late at p99 (limit 1 ms)",
        "| echo-json | 30 (40); 55 | 50 (64); 71 | – |",
        "![Cold start](benchmarks/cold-start.svg)",
    ):
        assert expected in page


def test_a_failure_is_on_the_page(results: dict[str, Any]):
    results["failures"].append("echo-json, litserve: answered 500")
    assert "- echo-json, litserve: answered 500\n" in report.page(results, "benchmarks")


def test_the_deployers_times_are_on_the_page(results: dict[str, Any]):
    rounds = {"first": 20.0, "edit": 0.5, "push": 1.0, "push-2": 0.25, "bytes": 148_500_000.0}
    slower = {**rounds, "edit": 0.75}
    images = {"machine": results["machine"], "repeats": 2, "rounds": {"ours": [rounds, slower], "buildah": [rounds]}}
    deploys = {"machine": results["machine"], "deploy": [0.9, 0.7, 0.8], "reload": [0.5]}
    page = report.page(results, "benchmarks", images, deploys)
    for expected in (
        "The best of 2 rounds, and the worst; 2 cores of Test CPU",
        "| build after an edit of score.py | 0.50 s (to 0.75) | 0.50 s (to 0.50) |",
        "| **edited build and push** | 0.75 s (to 1.00) | 0.75 s (to 0.75) |",
        "| compressed layers | 148.5 MB | 148.5 MB |",
        "| `scoring deploy`, until the first score is answered | 0.70 s | 0.80 s | 0.90 s |",
    ):
        assert expected in page


def test_render_writes_page_plots_and_data_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "benchmarks.md"
    assert main(["render", str(RECORDED), "--report", str(target)]) == 0
    assert sorted(path.name for path in (tmp_path / "benchmarks").iterdir()) == [
        "cold-start.svg",
        "latency-echo-json.svg",
        "memory.svg",
        "results.json",
        "throughput.svg",
    ]
    assert (tmp_path / "benchmarks" / "results.json").read_text() == RECORDED.read_text()
    assert "10.00x (10x)" in capsys.readouterr().out


def test_names_are_escaped_in_drawings():
    drawing = bar_chart("<a & b>", "", [BarPanel('"quoted"', "<unit>", [Bar("<ours>", "#000000", 1.0)])])
    assert {"<a & b>", '"quoted"', "<unit>", "<ours>"} <= set(texts(drawing))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (3, 40, [2, 5, 10, 20, 50]),
        (1, 1, [1, 2]),
        (0.15, 900, [0.1, 1, 10, 100, 1000]),
    ],
)
def test_logarithmic_ticks_enclose_the_values(low: float, high: float, expected: list[float]):
    assert log_ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("largest", [0.003, 0.7, 1, 37_517, 218])
def test_steps_give_a_handful_of_ticks(largest: float):
    assert 3 <= largest / nice_step(largest) <= 5


def test_progress_tells_time_gone_and_left():
    now = [0.0]
    lines: list[str] = []
    progress = Progress(100, clock=lambda: now[0], write=lines.append)
    now[0] = 60.0
    progress.step(50)
    progress.say("half")
    assert lines == ["[1:00 gone, about 1:00 left] half\n"]
