"""Plots and tables of the autoscaler's simulation, from its results."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.charts import LinePanel, Series, line_chart, nice_step
from benchmarks.svg import Drawing

__all__ = ["TABLES", "draw", "tables", "write"]

Results = dict[str, Any]
COLORS = {"busy + waiting": "#2563eb", "busy": "#d97706", "steady": "#059669", "bursty": "#7c3aed"}
SHORTEST = 1e-4  # what has not waited is drawn here: the axis is logarithmic


def write(results: Results, page: Path) -> None:
    """Draw into the folder beside the page, and put the tables between the page's marks."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in draw(results).items():
        (folder / name).write_text(drawing)
    if page.exists():
        page.write_text(with_tables(page.read_text(), results))


def with_tables(text: str, results: Results) -> str:
    for name, lines in tables(results).items():
        table = "\n".join(lines)
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", rf"\g<1>\n{table}\n\n\2", text, flags=re.DOTALL)
    return text


# plots


def draw(results: Results) -> dict[str, str]:
    return {
        "delay.svg": delays(results),
        "cost.svg": costs(results),
        "timeline.svg": timeline(results),
        "nodes.svg": nodes(results),
    }


def rows(results: Results, load: str, metric: str) -> list[Results]:
    return [row for row in results["loads"] if (row["load"], row["metric"]) == (load, metric)]


def delays(results: Results) -> str:
    panels = [
        LinePanel(
            f"{title}, bursty arrivals",
            [
                Series(metric, COLORS[metric], [(row["rate"], max(row[key], SHORTEST)) for row in found])
                for metric in ("busy + waiting", "busy")
                if (found := rows(results, "bursty", metric))
            ],
        )
        for key, title in (("p99", "p99"), ("p999", "p99.9"))
    ]
    subtitle = "what the autoscaler looks at; cold start 10 s; both axes logarithmic; steady arrivals wait for nothing"
    return line_chart("Time in the queue", subtitle, panels, "requests a second", "seconds")


def costs(results: Results) -> str:
    """Replica-seconds over the seconds that requests really took."""
    panels = [
        LinePanel(
            f"{load} arrivals",
            [
                Series(metric, COLORS[metric], [(row["rate"], cost(row, results)) for row in found])
                for metric in ("busy + waiting", "busy")
                if (found := rows(results, load, metric))
            ],
        )
        for load in ("steady", "bursty")
    ]
    subtitle = "replica-seconds paid for one second of run(); the target of 70 % alone would be 1.43"
    return line_chart("Cost", subtitle, panels, "requests a second", "replicas over busy replicas")


def cost(row: Results, results: Results) -> float:
    return float(row["mean_replicas"] / (row["rate"] * results["service_seconds"]))


def nodes(results: Results) -> str:
    series = [
        Series(load, COLORS[load], [(row["nodes"], row[load] / 1000) for row in results["nodes"] if row[load] > 0])
        for load in ("steady", "bursty")
    ]
    subtitle = "the highest rate at which 99 % wait less than 0.1 s, every replica of every node running"
    return line_chart("What a cluster carries", subtitle, [LinePanel("", series)], "nodes", "1,000 requests a second")


def timeline(results: Results) -> str:
    """Three rows of linear axes under one another: rate, replicas, queue."""
    drawing = Drawing(1048, 560, "Four times the load for two minutes")
    drawing.text(24, 32, "Four times the load for two minutes", 19, bold=True)
    drawing.text(24, 52, "1,000 to 4,000 requests a second, cold start 10 s", 12, fill="#6b7280")
    for n, metric in enumerate(results["timeline"]):
        drawing.rectangle(24 + n * 160, 66, 20, 4, COLORS[metric])
        drawing.text(50 + n * 160, 72, metric, 12)
    for n, (key, title) in enumerate((("rates", "requests a second"), ("replicas", "replicas"), ("queued", "waiting"))):
        lines = {metric: found[key] for metric, found in results["timeline"].items()}
        times = next(iter(results["timeline"].values()))["times"]
        strip(drawing, 90 + n * 152, title, times, lines)
    return drawing.render()


def strip(drawing: Drawing, top: float, title: str, times: Sequence[float], lines: dict[str, Sequence[float]]) -> None:
    left, right, bottom = 90.0, 1020.0, top + 120
    largest = max(max(values) for values in lines.values()) or 1.0
    step = nice_step(largest)
    drawing.text(left, top + 4, title, 12, bold=True)

    def at(second: float, value: float) -> tuple[float, float]:
        return left + (right - left) * second / times[-1], bottom - (bottom - top - 12) * value / largest

    for n in range(int(largest / step) + 1):
        y = at(0, n * step)[1]
        drawing.line(left, y, right, y)
        drawing.text(left - 6, y + 4, f"{n * step:,.10g}", 11, "end", "#6b7280")
    for second in range(0, int(times[-1]) + 1, 60):
        drawing.text(at(second, 0)[0], bottom + 15, f"{second} s", 11, "middle", "#6b7280")
    for metric, values in lines.items():
        drawing.polyline([at(second, value) for second, value in zip(times, values, strict=True)], COLORS[metric])


# tables


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]


def seconds(value: float) -> str:
    return "0" if value < 5e-4 else f"{1000 * value:,.0f} ms" if value < 1 else f"{value:,.1f} s"


def load_table(results: Results) -> list[str]:
    head = ("arrivals", "looks at", "requests/s", "waited", "p50", "p99", "p99.9", "replicas, mean (most)", "cost")
    body = [
        (
            row["load"],
            row["metric"],
            f"{row['rate']:,.0f}",
            f"{100 * row['waited']:.1f} %",
            *(seconds(row[key]) for key in ("p50", "p99", "p999")),
            f"{row['mean_replicas']:,.0f} ({row['most_replicas']:,})",
            f"{cost(row, results):.2f}",
        )
        for row in results["loads"]
    ]
    return table(head, body)


def cold_table(results: Results) -> list[str]:
    body = [
        (
            row["metric"],
            f"{row['cold_start_seconds']} s",
            seconds(row["p99"]),
            seconds(row["p999"]),
            f"{row['mean_replicas']:,.0f} ({row['most_replicas']:,})",
        )
        for row in results["cold_starts"]
    ]
    return table(("looks at", "cold start", "p99", "p99.9", "replicas, mean (most)"), body)


def limit_table(results: Results) -> list[str]:
    body = [
        (
            row["metric"],
            f"{row['maximum']:,}",
            f"{100 * row['peak_utilisation']:.0f} %",
            seconds(row["p99"]),
            seconds(row["p999"]),
            f"{row['mean_replicas']:,.0f}",
        )
        for row in results["limits"]
    ]
    return table(("looks at", "maximum", "busy in a burst", "p99", "p99.9", "replicas, mean"), body)


def service_table(results: Results) -> list[str]:
    body = [
        (row["load"], row["service"], seconds(row["p99"]), seconds(row["p999"]), f"{row['mean_replicas']:,.1f}")
        for row in results["distributions"]
    ]
    return table(("arrivals", "service time", "p99", "p99.9", "replicas, mean"), body)


def node_table(results: Results) -> list[str]:
    body = [
        (f"{row['nodes']:,}", f"{row['replicas']:,}", f"{row['steady']:,.0f}", f"{row['bursty']:,.0f}")
        for row in results["nodes"]
    ]
    return table(("nodes", "replicas", "steady, requests/s", "bursty, requests/s"), body)


TABLES: dict[str, Callable[[Results], list[str]]] = {
    "loads": load_table,
    "cold-starts": cold_table,
    "limits": limit_table,
    "service-times": service_table,
    "nodes": node_table,
}


def tables(results: Results) -> dict[str, list[str]]:
    return {name: make(results) for name, make in TABLES.items()}
