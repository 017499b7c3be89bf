"""The four plots of a measurement: throughput, latency by rate, memory, cold start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.charts import Bar, BarPanel, LinePanel, Series, bar_chart, line_chart
from benchmarks.figures import PERCENTILES, Spread, spread

__all__ = ["draw", "throughput", "write"]

COLORS = {
    "ours": "#0b6bcb",
    "azmlinfsrv": "#c2410c",
    "uvicorn-bare": "#6b7280",
    "fastapi": "#0f9d76",
    "litserve": "#7c3aed",
    "bentoml": "#db2777",
    "mlserver": "#a16207",
}
Results = dict[str, Any]


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in draw(results).items():
        (folder / name).write_text(drawing)


def draw(results: Results) -> dict[str, str]:
    """File name to SVG, of the parts that were measured."""
    drawings = {"throughput.svg": _throughput(results), "memory.svg": _memory(results)}
    if any(results["cold"].values()):
        drawings["cold-start.svg"] = _cold_start(results)
    for work in results["open"]:
        drawings[f"latency-{work}.svg"] = _latency(results, work)
    return drawings


def throughput(results: Results, work: str, server: str) -> Spread | None:
    """Requests a second over the rounds that count, or None."""
    rounds = results["closed"].get(work, {}).get(server, {}).get("rounds", [])
    return spread([each["requests_per_second"] for each in rounds if not each["void"]])


def _throughput(results: Results) -> str:
    def bar(work: str, server: str) -> Bar | None:
        found = throughput(results, work, server)
        if found is None:
            return None
        return Bar(_title(results, server), COLORS[server], found.median, found.low, found.high)

    method = results["method"]
    subtitle = (
        f"closed loop, {method['connections']} connections, one worker; medians of rounds ({method['rounds']}), "
        f"the line from the slowest to the fastest; longer is better"
    )
    return bar_chart("Throughput", subtitle, _panels(results, results["closed"], "requests a second", bar))


def _memory(results: Results) -> str:
    def bar(work: str, server: str) -> Bar | None:
        row = results["memory"][work].get(server)
        if row is None:
            return None
        largest, total = row["largest"]["pss_mib"], row["total_pss_mib"]
        return Bar(_title(results, server), COLORS[server], largest, pale=total, text=f"{largest:.0f} / {total:.0f}")

    count = results["method"]["memory_requests"]
    subtitle = f"PSS after {count} requests; solid: the largest process, pale: all processes; shorter is better"
    return bar_chart("Memory", subtitle, _panels(results, results["memory"], "MiB", bar))


def _cold_start(results: Results) -> str:
    def bar(work: str, server: str) -> Bar | None:
        row = results["cold"][work].get(server)
        if row is None:
            return None
        healthy, scored = spread(row["healthy_seconds"]), spread(row["scored_seconds"])
        assert healthy is not None
        assert scored is not None
        text = f"{healthy.median:.2f} s"
        title = _title(results, server)
        return Bar(title, COLORS[server], healthy.median, healthy.low, healthy.high, pale=scored.median, text=text)

    subtitle = "from start to the first healthy answer (solid) and the first scored answer (pale); shorter is better"
    return bar_chart("Cold start", subtitle, _panels(results, results["cold"], "seconds", bar))


def _panels(
    results: Results, works: dict[str, Any], unit: str, bar: Callable[[str, str], Bar | None]
) -> list[BarPanel]:
    panels = []
    for work in works:
        unable = results["unable"].get(work, {})
        bars = [
            bar(work, server)
            or Bar(_title(results, server), COLORS[server], None, remark=unable.get(server, "not measured"))
            for server in results["servers"]
        ]
        panels.append(BarPanel(results["works"][work]["title"], unit, bars))
    return panels


def _latency(results: Results, work: str) -> str:
    runs = results["open"][work]
    panels = []
    for percent in PERCENTILES:
        key = f"p{percent:g}"
        series = [
            Series(_title(results, server), COLORS[server], [(run["rate"], run["latency_ms"][key]) for run in kept])
            for server, kept in ((name, [run for run in each if not run["rejected"]]) for name, each in runs.items())
            if kept
        ]
        panels.append(LinePanel(f"{key} of {results['works'][work]['title']}", series))
    subtitle = "open loop at fixed rates, latency from the intended send time; both axes logarithmic; lower is better"
    return line_chart("Latency by rate", subtitle, panels, "requests a second", "milliseconds")


def _title(results: Results, server: str) -> str:
    title: str = results["servers"][server]["title"]
    return title
