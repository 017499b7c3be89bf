"""`python -m benchmarks`: measures, prints the table, writes JSON, plots and page; `render` makes those again."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import closed_loop, environments, plots, report
from benchmarks.measure import Measurement, Method
from benchmarks.servers import SERVERS, Server
from benchmarks.works import WORKS, Work, own_work

__all__ = ["main"]

QUICK = Method(
    rounds=1, seconds=1, warmup_seconds=1, open_seconds=1, open_warmup_seconds=0.2, cold_rounds=1, memory_requests=10
)
QUICK_SERVERS = "ours,azmlinfsrv"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.command == "render":
        if options.results is None:
            raise SystemExit("render needs the file of results: python -m benchmarks render RESULTS.json")
        return _write_out(json.loads(options.results.read_text()), options)
    closed_loop.find_wrk()
    works, servers = _chosen(options)
    pythons = _pythons(servers, options.python)
    measurement = Measurement(_method(options), works, servers, pythons, lambda results: _save(results, options.json))
    return _write_out(measurement.run(), options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("command", nargs="?", choices=["measure", "render"], default="measure", help="default: measure")
    add("results", nargs="?", type=Path, help="render: the file that --json wrote")
    add("--works", type=_names(WORKS), help=f"comma-separated, of: {', '.join(WORKS)}")
    add("--servers", type=_names(SERVERS), help=f"comma-separated, of: {', '.join(SERVERS)}")
    add("--rounds", type=int, help="rounds a server and work (default 5); their median counts")
    add("--seconds", type=float, help="length of a round (default 5)")
    add("--connections", type=int, help="connections of the closed loop (default 16)")
    add("--open-works", type=_names(WORKS), help="works that also get the open loop; an empty string: none")
    add("--cold-works", type=_names(WORKS), help="works that also get cold starts; an empty string: none")
    add("--quick", action="store_true", help="one round of one second, few servers: proves that the harness works")
    add("--python", action="append", default=[], metavar="SERVER=PATH", help="use this interpreter, install nothing")
    add("--json", type=Path, help="write the results here, after every work")
    add("--plots", type=Path, help="write SVG plots into this folder")
    add("--report", type=Path, help="write the page here, its plots and results.json in a folder of the same name")
    own = parser.add_argument_group("your own script")
    own.add_argument("--script", type=Path, help="your score.py")
    own.add_argument("--body", type=Path, help="the request's body")
    own.add_argument("--against", type=_names(SERVERS), help="servers to compare with (default azmlinfsrv)")
    own.add_argument("--content-type", help="of the request (default: by the name of the body's file)")
    own.add_argument("--model-dir", type=Path, help="the model folder handed to the servers")
    return parser


def _names(known: Any) -> Any:
    def names(text: str) -> tuple[str, ...]:
        chosen = tuple(filter(None, text.split(",")))
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return chosen

    return names


def _chosen(options: argparse.Namespace) -> tuple[list[Work], list[Server]]:
    """The works and servers to measure; ours is always among them when the script is the user's own."""
    if options.script:
        if not options.body:
            raise SystemExit("--script also needs --body, the file with the request's body")
        names = ("ours", *(name for name in options.against or ("azmlinfsrv",) if name != "ours"))
        unable = [name for name in names if not SERVERS[name].takes_scripts]
        if unable:
            raise SystemExit(f"{', '.join(unable)} cannot run a score.py; --against takes azmlinfsrv")
        work = own_work(options.script, options.body, options.content_type, options.model_dir)
        return [work], [SERVERS[name] for name in names]
    quick_works, all_servers = ("echo-json",), tuple(SERVERS)
    works = options.works or (quick_works if options.quick else tuple(WORKS))
    servers = options.servers or (tuple(QUICK_SERVERS.split(",")) if options.quick else all_servers)
    return [WORKS[name] for name in works], [SERVERS[name] for name in servers]


def _method(options: argparse.Namespace) -> Method:
    base = QUICK if options.quick else Method()
    names = ("rounds", "seconds", "connections", "open_works", "cold_works")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.script:
        given = {"open_works": ("own",), "cold_works": ("own",), **given}
    return dataclasses.replace(base, **given)


def _pythons(servers: Sequence[Server], given: Sequence[str]) -> dict[str, Path]:
    """An interpreter a server: the one named on the command line, else the cached environment's."""
    named = {name: Path(path) for name, _, path in (each.partition("=") for each in given)}
    return {
        server.name: named.get(server.name)
        or environments.ensure(server.name, lambda text: print(text, file=sys.stderr))
        for server in servers
    }


def _kept(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def _write_out(results: dict[str, Any], options: argparse.Namespace) -> int:
    print(report.text_table(results))
    _save(results, options.json)
    if options.plots:
        plots.write(results, options.plots)
    if options.report:
        beside = options.report.with_suffix("")
        plots.write(results, beside)
        _save(results, beside / "results.json")
        others = (_kept(beside / "images.json"), _kept(beside / "deploy.json"))
        options.report.write_text(report.page(results, beside.name, *others))
    for failure in results["failures"]:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if results["failures"] else 0


def _save(results: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except closed_loop.WrkMissing as error:
        sys.exit(str(error))
