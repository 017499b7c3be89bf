"""`scoring check score.py`: what would go wrong where it will run, found here and in seconds."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from scoring_runtime.cli.output import guarded, show
from scoring_runtime.signals import signal_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scoring_runtime.cli.findings import Finding

__all__ = ["add_to"]

FAILS = 1
LAST = (b'{"stage": "end"', b'"error": ')  # in the last line that there will be


def add_to(nouns: Any, help: str) -> None:
    parser = nouns.add_parser("check", help=help, description="Exit code 1 when something would fail.")
    parser.add_argument("script", help="the score.py")
    parser.add_argument("--input", metavar="FILE", help="a request's body; default: the sample of the schema")
    parser.add_argument("--model_dir", "--model-dir", metavar="FOLDER", help="becomes AZUREML_MODEL_DIR")
    parser.add_argument("--memory", type=float, metavar="GB", help="the memory that it is going to have")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S", help="for everything together (300)")
    parser.add_argument("--quiet", action="store_true", help="only what would go wrong; not what the script prints")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def command(arguments: argparse.Namespace, rest: list[str]) -> int:
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return guarded(lambda: check(arguments))

    parser.set_defaults(command=command)


def check(arguments: argparse.Namespace) -> int:
    from scoring_runtime.cli.findings import ERROR, NOTE, findings, probes
    from scoring_runtime.errors import ScriptLoadError
    from scoring_runtime.script import PACKAGES

    for path in (arguments.script, arguments.input):
        if path and not os.path.isfile(path):
            raise ScriptLoadError(f"{path}: no such file. Name a file: scoring check score.py --input sample.json")
    model_dir = arguments.model_dir or os.environ.get("AZUREML_MODEL_DIR")
    quiet = arguments.quiet or arguments.json
    stages, ended = watch(arguments.script, arguments.input, model_dir, arguments.timeout, quiet)
    found = findings(stages, ended=ended, model_dir=model_dir, memory_gb=arguments.memory, packages=PACKAGES)
    passed = not any(one.level == ERROR for one in found)
    document = {
        "script": arguments.script,
        "passed": passed,
        "findings": [one._asdict() for one in found],
        "stages": stages,
        "settings": probes(stages),
    }
    verdict = f"{arguments.script}: {'nothing stands in its way' if passed else 'this would fail'}"
    if arguments.quiet:
        lines = [one.line() for one in found if one.level != NOTE]
        show(document, arguments.json, lambda: "\n".join([*lines, verdict]))
    else:
        show(document, arguments.json, lambda: f"{text(found, stages)}\n\n{verdict}")
    return 0 if passed else FAILS


def watch(
    script: str, body: str | None, model_dir: str | None, timeout: float, quiet: bool
) -> tuple[list[dict[str, Any]], str]:
    """The stages that the child told, and how it ended: "" when it came to its own end."""
    environ = dict(os.environ)
    if model_dir:
        environ["AZUREML_MODEL_DIR"] = os.path.abspath(model_dir)
    folder = os.path.dirname(os.path.abspath(script))
    environ.setdefault("AML_APP_ROOT", folder)
    reader, writer = os.pipe()
    words = [str(writer), os.path.abspath(script), os.path.abspath(body) if body else ""]
    with open(os.devnull, "wb") as nowhere:
        child = subprocess.Popen(
            [sys.executable, "-m", "scoring_runtime.cli.preflight", *words],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=nowhere if quiet else sys.stderr,
            stderr=nowhere if quiet else None,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    try:
        deadline = time.monotonic() + timeout
        told = read_until(reader, child, deadline)
        stages = [json.loads(line) for line in told.splitlines()]
        if stages and (stages[-1]["stage"] == "end" or "error" in stages[-1]):
            ending(child, timeout)
            return stages, ""
        if time.monotonic() >= deadline:
            return stages, in_words(timeout)
        return stages, ending(child, timeout)
    finally:
        os.close(reader)
        end_all(child)


def read_until(reader: int, child: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Everything until the last stage is told, the child has ended, or the time is over.

    A process that the script has forked may hold the pipe open for ever, so its end alone says too little.
    """
    told = b""
    ended = os.pidfd_open(child.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0 and not any(mark in told for mark in LAST):
                ready = [key.fd for key, _ in selector.select(left)]
                if reader in ready:
                    piece = os.read(reader, 65536)
                    if not piece:
                        break
                    told += piece
                elif ready:
                    break
    finally:
        os.close(ended)
    return told[: told.rfind(b"\n") + 1]


def ending(child: subprocess.Popen[bytes], timeout: float) -> str:
    try:
        code = child.wait(1)
    except subprocess.TimeoutExpired:
        return in_words(timeout)
    return signal_name(-code) if code < 0 else f"exit code {code}"


def in_words(timeout: float) -> str:
    return f"timeout of {timeout:g} s"


def end_all(child: subprocess.Popen[bytes]) -> None:
    """The child, and whatever its script has started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def text(found: Sequence[Finding], stages: Sequence[Mapping[str, Any]]) -> str:
    from scoring_runtime.cli.findings import peak_bytes, probes

    facts = {str(stage["stage"]): stage for stage in stages}
    lines = []
    for name in ("import", "init", "run"):
        if "seconds" in facts.get(name, {}):
            lines.append(f"{name:>7}: {facts[name]['seconds']:.3f} s")
    again = sorted(facts.get("times", {}).get("seconds") or [])
    if again:
        lines.append(f"  again: {again[len(again) // 2]:.4f} s, the median of {len(again)}")
    lines.append(f" memory: {peak_bytes(facts) / 1e6:.0f} MB at its peak")
    lines += [one.line() for one in found]
    settings = probes(stages)
    if settings:
        lines += ["", "Settings that fit this start:"]
        lines += [f"  {name}: {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join(lines)
