"""`scoring service plan` and `scoring service profile`: how many replicas, and of what size."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from scoring_runtime.cli.output import Steps, guarded, show

__all__ = ["add_plan", "add_profile"]


def add_plan(verbs: Any) -> None:
    """The verb `plan`, below a noun."""
    parser = verbs.add_parser("plan", help="how many replicas a load needs")
    parser.add_argument("--rps", type=float, required=True, metavar="N", help="requests a second")
    parser.add_argument("--seconds", type=float, required=True, metavar="S", help="how long one takes")
    parser.add_argument("--concurrency", type=int, default=1, metavar="N", help="run() calls at a time in a replica")
    parser.add_argument("--utilization", type=float, default=0.7, metavar="SHARE", help="how busy replicas are to be")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=strict(parser, plan))


def plan(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy.sizing.sizing import plan_size

    size = plan_size(arguments.rps, arguments.seconds, arguments.concurrency, arguments.utilization)
    show(size.document(), arguments.json, size.lines)


def strict(parser: argparse.ArgumentParser, verb: Callable[[argparse.Namespace], None]) -> Any:
    """A flag that nobody knows is an error, not ignored."""

    def command(arguments: argparse.Namespace, rest: list[str]) -> int:
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return guarded(lambda: verb(arguments))

    return command


def add_profile(verbs: Any) -> None:
    """The verb `profile`, below a noun."""
    parser = verbs.add_parser("profile", help="measure a service at rising load, and recommend its size")
    parser.add_argument("service", help="its name, or http(s)://host:port/score")
    parser.add_argument("-d", "--data", default="{}", metavar="JSON", help="the sample request, or @FILE")
    parser.add_argument("--key", help="the service's key or token; default: SCORING_KEY, or that of the named service")
    parser.add_argument("-w", "--workspace", metavar="FOLDER", help="where the named service is")
    parser.add_argument("--ca", metavar="FILE", help="trust the certificates in this PEM file")
    parser.add_argument("--rps", type=float, metavar="N", help="the load that it is meant for")
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="seconds to measure (60)")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the curve")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and no progress")
    parser.set_defaults(command=strict(parser, profile))


def profile(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy.sizing.curve import as_svg, as_text
    from scoring_runtime.deploy.sizing.open_loop import Caller
    from scoring_runtime.deploy.sizing.profile import profile_service
    from scoring_runtime.errors import DeployError

    data = arguments.data
    try:
        if data.startswith("@"):
            with open(data[1:], "rb") as file:
                body = file.read()
        else:
            body = data.encode()
        url, key = address(arguments)
        caller = Caller(url, body, key, authority=arguments.ca)
    except OSError as error:
        raise DeployError(f"{error.filename or arguments.ca}: {error.strerror or error}. Name a file.") from None
    result = profile_service(caller, seconds=arguments.duration, rps=arguments.rps, say=Steps(arguments.json))
    if arguments.plot:
        with open(arguments.plot, "w", encoding="utf-8") as file:
            file.write(as_svg(result.steps, result.capacity))
        print(f"The curve is in {arguments.plot}", file=sys.stderr)
    show(result.document(), arguments.json, lambda: f"{as_text(result.steps)}\n\n{advice_lines(result.advice)}")


def address(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """Where the service is, and what opens it."""
    key = arguments.key or os.environ.get("SCORING_KEY")
    if "://" in arguments.service:
        return arguments.service, key
    from scoring_runtime.deploy import Webservice, Workspace
    from scoring_runtime.errors import DeployError

    service = Webservice(Workspace(arguments.workspace), arguments.service)
    if not service.scoring_uri:
        raise DeployError(
            f"{service.name} has no address: it is {service.state}. See: scoring service logs {service.name}"
        )
    return service.scoring_uri, key or service.credential() or None


def advice_lines(advice: dict[str, Any]) -> str:
    """What the numbers mean, one a line."""
    words = {
        "capacity_rps": "requests/s that one replica can do",
        "bound_by": "what limits it",
        "cpu": "processors a replica",
        "memory_gb": "GB of memory a replica",
        "workers": "WORKER_COUNT",
        "max_concurrent_requests": "SCORING_MAX_CONCURRENT_REQUESTS, if the script may run in threads",
        "scoring_timeout_ms": "SCORING_TIMEOUT_MS",
        "replicas": f"replicas for {advice.get('rps', 0):g} requests/s at 70 % utilization",
    }
    lines = [f"{advice[name]!s:>10}  {text}" for name, text in words.items() if name in advice]
    probes = ", ".join(f"{name} {value}" for name, value in advice["probes"].items())
    lines.append(f"    probes  {probes}; `scoring check` says how long a start takes")
    if not advice["reliable"]:
        lines.append("This machine was too busy to keep the schedule: measure again, or from another one.")
    return "\n".join(lines)
