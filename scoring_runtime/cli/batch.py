"""`scoring batch run|show`: flags over a YAML file over defaults, then the run, then its exit code."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.batch.job import Job
    from scoring_runtime.batch.record import Record

__all__ = ["add_to"]

HERE = ("local", "ray", "spark")
#: The engines that a flag is for, where it is not for all.
ENGINES_OF = {
    "address": ("ray", "spark"),
    "image": ("kubernetes",),
    "claim": ("kubernetes",),
    "nodes": ("ray", "spark", "kubernetes"),
    "share": ("local",),
    "restart": HERE,
    "retry_failed": HERE,
    "models": HERE,
}
EXIT_CODES = """\
exit codes: 0 done, also with failed items that the thresholds allow; 2 a wrong flag or key; 3 the script cannot be
loaded, or its init() raised; 4 no input, or it cannot be read; 5 a threshold was crossed, or nothing succeeded;
6 the output folder holds another run, is in use, or cannot be written;
130 Ctrl-C, 143 SIGTERM (the same command continues)"""


def add_to(nouns: Any, help: str) -> None:
    noun = nouns.add_parser("batch", help=help)
    verbs = noun.add_subparsers(dest="verb", required=True, metavar="verb")
    add_run(verbs)
    show = verbs.add_parser("show", help="how a run stands")
    show.add_argument("output", help="its output folder")
    show.add_argument("--json", action="store_true", help="the whole record")
    show.set_defaults(command=show_command)


def add_run(verbs: Any) -> None:
    run = verbs.add_parser(
        "run",
        help="score, or continue scoring, an input into an output folder",
        epilog=EXIT_CODES + "\nArguments that are not listed here go to the script.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = run.add_argument
    add("script", nargs="?", help="score.py, with run(mini_batch) or written for online serving")
    add("--input", dest="inputs", nargs="+", action="extend", metavar="PATH", help="files, folders, globs or URLs")
    add("--output", metavar="FOLDER", help="where results, errors.jsonl, run.json and logs/ go")
    add("--config", metavar="YAML", help="a parallel_run_config, or a v2 batch deployment; flags override it")
    add("--input-format", choices=("auto", "files", "csv", "jsonl", "parquet", "arrow"))
    add("--style", choices=("auto", "mini-batch", "online"), help="how run() wants to be called (auto: by its look)")
    add("--columns", type=names, help="only these columns of a table, separated by commas")
    add("--header", type=names, help="the columns of CSV files without a header line; none: Column1, Column2, ...")
    add("--mini-batch-size", metavar="N|SIZE", help="files or rows (100), or bytes (1MB); default: 10 files, 1MB")
    add("--partition-keys", type=names, help="one mini-batch for each combination of these columns or path keys")
    add("--output-action", choices=("append_row", "summary_only"))
    add("--output-format", choices=("text", "csv", "jsonl", "parquet"))
    add("--output-file", metavar="NAME", help="default: parallel_run_step.txt (.csv, .jsonl, .parquet)")
    add("--model-dir", metavar="FOLDER", help="AZUREML_MODEL_DIR")
    add(
        "--model",
        dest="models",
        action="append",
        metavar="NAME[:N]",
        help="a registered model, in its place; repeatable",
    )
    add("--workspace", metavar="FOLDER", help="where --model is registered; default: SCORING_WORKSPACE, else yours")
    add("--side-input", dest="side_inputs", action="append", type=pair, metavar="NAME=PATH", help="--NAME PATH")
    add("--error-threshold", type=int, metavar="N", help="failed items that are allowed; -1 (default): any number")
    add("--allowed-failed-count", type=int, metavar="N", help="failed mini-batches that are allowed")
    add("--allowed-failed-percent", type=float, metavar="P")
    add("--run-timeout", dest="run_timeout_seconds", type=float, metavar="SECONDS", help="for one run(); default 60")
    add("--read-timeout", dest="read_timeout_seconds", type=float, metavar="SECONDS", help="for its data; default 600")
    add("--max-tries", type=int, metavar="N", help="for one mini-batch; default 3")
    add("--processes", type=int, metavar="N", help="default: one for each GPU, else for each processor")
    add("--share-model", action="store_true", default=None, help="init() once, its memory shared by all processes")
    add("--logging-level", choices=("DEBUG", "INFO", "WARNING"))
    monitor = ("--monitor-interval", "--resource_monitor_interval")
    add(*monitor, dest="monitor_interval_seconds", type=float, metavar="SECONDS", help="logs/perf; 600, 0 is off")
    add("--profiling-module", "--profiling_module", choices=("cProfile",), help="profiles of run() in logs/perf")
    add("--engine", choices=("local", "ray", "spark", "kubernetes"), default="local")
    add("--address", help="of the Ray cluster or Spark master; default: one on this machine")
    add("--image", help="for --engine kubernetes: the image that has script and model")
    add("--claim", help="for --engine kubernetes: the volume claim that holds input and output")
    add("--nodes", type=int, default=0, help="shares that an engine works on at a time")
    add("--share", help="do only the mini-batches of share K of N, given as K/N")
    add("--restart", action="store_true", help="begin anew, and drop what the output folder holds of a run")
    add("--retry-failed", action="store_true", help="try the mini-batches again that failed in an earlier run")
    add("--json", action="store_true", help="print the record as JSON; no progress bar")
    run.set_defaults(command=run_command)


def names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def pair(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, got {text!r}")
    return name, os.path.abspath(path)


def job_from(arguments: argparse.Namespace, rest: list[str]) -> Job:
    """Raises SettingsError; says on stderr what a YAML file names and this runtime does not need."""
    from scoring_runtime.batch.config import read_config
    from scoring_runtime.batch.job import Job
    from scoring_runtime.errors import SettingsError

    if rest and not rest[0].startswith("-"):
        raise SettingsError("arguments", rest[0], "a flag", "The script takes --name value; inputs go behind --input.")
    values: dict[str, Any] = {}
    if arguments.config:
        values, ignored = read_config(arguments.config, arguments.inputs or [], arguments.input_format or "auto")
        for line in ignored:
            print(f"{arguments.config}: {line}", file=sys.stderr)
    flags = {field.name: getattr(arguments, field.name, None) for field in fields(Job)}
    values.update({name: value for name, value in flags.items() if value is not None})
    for name, fix in (("script", "scoring batch run score.py ..."), ("inputs", "--input"), ("output", "--output")):
        if not values.get(name):
            raise SettingsError(name.rstrip("s"), "nothing", "a path", f"Give it: {fix}")
    models = arguments.models or values.pop("models", None)
    if models and not arguments.model_dir:
        from scoring_runtime.cli.batch_models import folder_of

        values["model_dir"] = folder_of(models, arguments.workspace)
    values.pop("models", None)
    values["arguments"] = (*values.get("arguments", ()), *rest)
    for name in ("inputs", "side_inputs"):
        values[name] = tuple(values.get(name, ()))
    return Job(**values)


def run_command(arguments: argparse.Namespace, rest: list[str]) -> int:
    import signal

    from scoring_runtime.errors import BatchError, ScoringRuntimeError, ScriptError

    def terminated(number: int, frame: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminated)
    try:
        refuse_flags_of_others(arguments)
        job = job_from(arguments, rest)
        record = perform(job, arguments)
    except KeyboardInterrupt as stop:
        print("\nStopped. The same command continues.", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    except ScoringRuntimeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, BatchError) else 3 if isinstance(error, ScriptError) else 2
    if record is not None:
        tell(record, arguments.json)
    return 0


def refuse_flags_of_others(arguments: argparse.Namespace) -> None:
    """Flags that the engine would not look at."""
    from scoring_runtime.errors import SettingsError

    for name, engines in ENGINES_OF.items():
        value = getattr(arguments, name)
        if value and arguments.engine not in engines:
            flag = "--model" if name == "models" else f"--{name.replace('_', '-')}"
            raise SettingsError(flag, value, f"--engine {' or '.join(engines)} beside it", "Leave one of them out.")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a run like Ctrl-C."""


def perform(job: Job, arguments: argparse.Namespace) -> Record | None:
    """The record, or None where nothing ran: a Kubernetes Job is printed for kubectl."""
    again = {"restart": arguments.restart, "retry_failed": arguments.retry_failed}
    if arguments.engine == "ray":
        from scoring_runtime.batch.engines.ray import run_on_ray

        return run_on_ray(job, arguments.address, arguments.nodes, **again)
    if arguments.engine == "spark":
        from scoring_runtime.batch.engines.spark import run_on_spark

        return run_on_spark(job, arguments.address, arguments.nodes, **again)
    if arguments.engine == "kubernetes":
        import json

        from scoring_runtime.batch.engines.kubernetes import render

        print(json.dumps(render(job, image=arguments.image, claim=arguments.claim, shares=arguments.nodes), indent=1))
        return None
    from scoring_runtime.batch.progress import progress_on
    from scoring_runtime.batch.run import Share, run

    share = Share.parse(arguments.share) if arguments.share else None
    return run(job, share=share, progress=progress_on(sys.stderr, not arguments.json), **again)


def tell(record: Record, as_json: bool) -> None:
    print(record.to_json() if as_json else record.summary())
    if record.output_file and not as_json:
        print(record.output_file)


def show_command(arguments: argparse.Namespace, rest: list[str]) -> int:
    import json

    from scoring_runtime.batch.record import Record, read_record
    from scoring_runtime.errors import BatchError

    if rest:
        print(f"scoring batch show: unknown arguments: {' '.join(rest)}", file=sys.stderr)
        return 2
    try:
        values = read_record(arguments.output)
    except BatchError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    if values is None:
        print(f"{arguments.output} holds no batch run: it has no run.json.", file=sys.stderr)
        return 4
    if values["status"] == "running" and not is_held(arguments.output):
        values.update(status="interrupted", reason="it was killed; the same command continues")
    print(json.dumps(values, indent=1) if arguments.json else Record(**values).summary())
    return 0


def is_held(output: str) -> bool:
    """Whether a process is at work on the run in this folder."""
    from scoring_runtime.batch.locks import locked
    from scoring_runtime.errors import BatchResumeError

    try:
        with locked(os.path.join(output, ".scoring.lock"), wait=False, shared=True):
            return False
    except (BatchResumeError, OSError):  # a folder that cannot be written says nothing of it
        return True
