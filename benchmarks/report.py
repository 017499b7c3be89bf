"""Results to words: the table for the terminal and the markdown page. Nothing here measures anything."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.deployer_tables import deploy_table, image_table, machine_line
from benchmarks.figures import LATENESS_LIMIT_MS, spread
from benchmarks.plots import throughput

__all__ = ["page", "ratio", "text_table"]

Results = dict[str, Any]
BASELINES = ("azmlinfsrv", "uvicorn-bare")
COLD_AIM, MEMORY_AIM = 0.35, 0.5
SHOWN_VERSIONS = (
    "scoring-runtime", "azureml-inference-server-http", "fastapi", "litserve", "bentoml", "mlserver", "flask",
    "gunicorn", "uvicorn", "uvloop", "httptools", "orjson", "pysimdjson", "inference-schema", "numpy", "pandas",
)  # fmt: skip

IMAGES = (
    "`python -m benchmarks.bench_images`: Debian 12 with Python (171 MB), the server and its packages as wheels that "
    "lie here, a model of 64 MB, a script; buildah builds the same five layers from a Dockerfile. New folders and an "
    "empty registry in each round, the two in turn. More about [images](images.md)."
)
DEPLOYS = (
    "`python -m benchmarks.bench_deploy`: a service of this host, from the shell command to the answer, with a warm "
    "environment; the start of Python is inside. More about [services](services.md)."
)

ELSEWHERE = """## Measured elsewhere

- [Batch](batch.md#speed-and-memory): rows a second against a plain loop (`bench_batch.py`)
- [Autoscaling](autoscaling.md): a simulation of waiting, cost and nodes (`bench_autoscaler.py`)"""


def text_table(results: Results) -> str:
    """The medians and ratios, aligned for a terminal."""
    rows = [_throughput_header(results), *_throughput_rows(results), [], _ratio_header(), *_ratio_rows(results)]
    widths = [max(len(row[column]) for row in rows if len(row) > column) for column in range(max(map(len, rows)))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return "\n".join(lines)


def ratio(results: Results, work: str, baseline: str) -> float | None:
    """Our median over the baseline's, or None where either is missing."""
    ours, theirs = throughput(results, work, "ours"), throughput(results, work, baseline)
    return ours.median / theirs.median if ours and theirs else None


def page(results: Results, plots_folder: str, images: Results | None = None, deploys: Results | None = None) -> str:
    """docs/benchmarks.md; `plots_folder` is where the plots lie, relative to the page.

    `images` and `deploys` are what bench_images and bench_deploy kept.
    """
    machine = results["machine"]
    parts = [
        "# Benchmarks",
        "This page is written by `python -m benchmarks`; to change it, measure again "
        f"(or `python -m benchmarks render {plots_folder}/results.json --report ...`).",
        "## Machine and method",
        f"Measured {results['date'][:10]} on {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']} ({machine['system']}), Python {machine['python']}; "
        f"load average before the start {machine['load_before']}.",
        _method(results),
        _table(["server", "how it was run", "versions"], _server_rows(results)),
        "## Throughput",
        _table(_throughput_header(results), _throughput_rows(results)),
        "Requests a second: median (lowest–highest round). “–”: " + (_reasons(results) or "not measured") + ".",
        "Ratios of our figure to theirs, and what we aim at (memory: the largest process, then all of them):",
        _table(_ratio_header(), _ratio_rows(results)),
        f"![Throughput]({plots_folder}/throughput.svg)",
        "## Latency at fixed rates",
        *_latency_parts(results, plots_folder),
        "## Memory",
        f"PSS in MiB after {results['method']['memory_requests']} requests: the largest process (its RSS in brackets), "
        "which is never smaller than the worker that holds the script; then the sum over all processes of the server.",
        _table(["work", *_titles(results)], _by_work(results, "memory", _memory_cell)),
        f"![Memory]({plots_folder}/memory.svg)",
    ]
    if any(results["cold"].values()):
        parts += [
            "## Cold start",
            "Seconds from the start of the process to the first healthy answer, median (lowest–highest), "
            "then to the first scored answer; nothing else was running.",
            _table(["work", *_titles(results)], _by_work(results, "cold", _cold_cell)),
            f"![Cold start]({plots_folder}/cold-start.svg)",
        ]
    if results["failures"]:
        failures = (f"- {failure}" for failure in results["failures"])
        parts += ["## What failed", "\n".join(failures)]
    if images:
        parts += ["## Images", IMAGES, machine_line(images, images["repeats"]), image_table(images)]
    if deploys:
        parts += ["## Services", DEPLOYS, machine_line(deploys, len(deploys["deploy"])), deploy_table(deploys)]
    return "\n\n".join([*parts, ELSEWHERE]) + "\n"


def _method(results: Results) -> str:
    method = results["method"]
    closed = (
        f"Closed loop: wrk, 1 thread, {method['connections']} connections, {method['warmup_seconds']:g} s of warm-up, "
        f"then {method['rounds']} rounds of {method['seconds']:g} s that alternate between the servers; all are alive, "
        "one is loaded. A round with an answer other than 2xx or a socket error is void."
    )
    opened = (
        f"Open loop: a generator in its own process (real-time priority) sends by schedule for "
        f"{method['open_seconds']:g} s over at most {method['open_connections']} connections; latency counts from the "
        f"intended send time, and a run that is itself late by more than {LATENESS_LIMIT_MS:g} ms at p99 is rejected."
    )
    common = (
        "One worker each, numpy kept to one thread for all, logs written to a file. Before measuring, every server's "
        "answer was compared with the first one's."
    )
    return "\n\n".join([closed, opened, common])


def _server_rows(results: Results) -> list[list[str]]:
    rows = []
    for server in results["servers"].values():
        found = server["versions"]
        shown = ", ".join(f"{name} {found[name]}" for name in SHOWN_VERSIONS if name in found)
        rows.append([server["title"], server["note"], f"Python {found['python']}, {shown}"])
    return rows


def _titles(results: Results) -> list[str]:
    return [server["title"] for server in results["servers"].values()]


def _throughput_header(results: Results) -> list[str]:
    return ["requests/s", *_titles(results)]


def _throughput_rows(results: Results) -> list[list[str]]:
    return _by_work(results, "closed", lambda results, work, server: _throughput_cell(results, work, server))


def _throughput_cell(results: Results, work: str, server: str) -> str:
    found = throughput(results, work, server)
    rounds = results["closed"][work].get(server, {}).get("rounds", [])
    void = sum(each["void"] is not None for each in rounds)
    voided = f" ({void} of {len(rounds)} rounds void)" if void else ""
    return f"{found.median:,.0f} ({found.low:,.0f}–{found.high:,.0f}){voided}" if found else f"–{voided}"


def _by_work(results: Results, part: str, cell: Callable[[Results, str, str], str]) -> list[list[str]]:
    return [[work, *(cell(results, work, server) for server in results["servers"])] for work in results[part]]


def _ratio_header() -> list[str]:
    return ["ours over", *(f"{name} (aim)" for name in BASELINES)]


def _ratio_rows(results: Results) -> list[list[str]]:
    def rows(suffix: str, part: str, cell: Callable[[Results, str, str], str]) -> list[list[str]]:
        return [[work + suffix, *(cell(results, work, baseline) for baseline in BASELINES)] for work in results[part]]

    return [
        *rows("", "closed", _ratio_cell),
        *rows(", cold start", "cold", _cold_ratio),
        *rows(", memory", "memory", _memory_ratio),
    ]


def _cold_ratio(results: Results, work: str, baseline: str) -> str:
    ours, theirs = (results["cold"][work].get(server) for server in ("ours", baseline))
    if not ours or not theirs:
        return "–"
    found = statistics.median(ours["healthy_seconds"]) / statistics.median(theirs["healthy_seconds"])
    return f"{found:.2f}x" + (f" (at most {COLD_AIM}x)" if baseline == "azmlinfsrv" else "")


def _memory_ratio(results: Results, work: str, baseline: str) -> str:
    """The largest process against theirs, then everything against everything."""
    ours, theirs = (results["memory"][work].get(server) for server in ("ours", baseline))
    if not ours or not theirs:
        return "–"
    largest = ours["largest"]["pss_mib"] / theirs["largest"]["pss_mib"]
    aim = f" (at most {MEMORY_AIM}x)" if baseline == "azmlinfsrv" else ""
    return f"{largest:.2f}x{aim}, in all {ours['total_pss_mib'] / theirs['total_pss_mib']:.2f}x"


def _ratio_cell(results: Results, work: str, baseline: str) -> str:
    found, aim = ratio(results, work, baseline), results["works"][work]["aims"].get(baseline)
    return (f"{found:.2f}x" if found else "–") + (f" ({aim:g}x)" if aim else "")


def _memory_cell(results: Results, work: str, server: str) -> str:
    row = results["memory"][work].get(server)
    if row is None:
        return "–"
    return f"{row['largest']['pss_mib']:.0f} ({row['largest']['rss_mib']:.0f}); {row['total_pss_mib']:.0f}"


def _cold_cell(results: Results, work: str, server: str) -> str:
    row = results["cold"][work].get(server)
    if row is None:
        return "–"
    healthy, scored = spread(row["healthy_seconds"]), spread(row["scored_seconds"])
    assert healthy is not None
    assert scored is not None
    return f"{healthy.median:.2f} ({healthy.low:.2f}–{healthy.high:.2f}); {scored.median:.2f}"


def _latency_parts(results: Results, plots_folder: str) -> list[str]:
    if not results["open"]:
        return ["Not measured."]
    parts = []
    for work, servers in results["open"].items():
        rows = [
            [results["servers"][server]["title"], f"{run['rate']:,.0f}", run["origin"], *_latency_cells(run)]
            for server, runs in servers.items()
            for run in runs
        ]
        header = ["server", "rate /s", "chosen as", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "own lateness p99 ms"]
        parts += [f"### {work}", f"![Latency]({plots_folder}/latency-{work}.svg)", _table(header, rows)]
    return parts


def _latency_cells(run: dict[str, Any]) -> list[str]:
    lateness = f"{run['lateness_ms'].get('p99', float('nan')):.2f}"
    if run["rejected"]:
        return [f"rejected: {run['rejected']}", "", "", "", lateness]
    return [f"{run['latency_ms'][key]:.2f}" for key in ("p50", "p90", "p99", "p99.9")] + [lateness]


def _reasons(results: Results) -> str:
    """Every reason why a server did not do a work, once: `LitServe, raw-1mb: reads JSON and forms only`."""
    works: dict[tuple[str, str], list[str]] = {}
    for work, unable in results["unable"].items():
        for server, reason in unable.items():
            works.setdefault((results["servers"][server]["title"], reason), []).append(work)
    return "; ".join(f"{title}, {', '.join(names)}: {reason}" for (title, reason), names in works.items())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
