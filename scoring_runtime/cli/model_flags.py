"""The flags of `scoring model`: those of `az ml model`, and a few shorter ways."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, TypeAlias

from scoring_runtime.cli.azure_flags import add_azure_flags, say_unused
from scoring_runtime.cli.output import add_common, guarded

__all__ = [
    "Command",
    "add_download",
    "add_list",
    "add_one",
    "add_register",
    "add_update",
    "finish",
    "key_or_pair",
    "pair",
]

FRAMEWORKS = "Custom, Onnx, ScikitLearn, TensorFlow, TfKeras, PyTorch or Multi"
Command: TypeAlias = Callable[[argparse.Namespace], None]


def add_register(verbs: Any, command: Command) -> None:
    verb = verbs.add_parser("register", help="store a file or folder as the next version of a name", allow_abbrev=False)
    add = verb.add_argument
    add("-n", "--name", required=True, help="letters, digits, '-', '_' and '.'; at most 255")
    add("-p", "--model-path", required=True, metavar="PATH", help="file or folder; links in it are followed")
    add("-d", "--description", metavar="TEXT")
    add("--tag", dest="tags", action="append", type=pair, default=[], metavar="KEY=VALUE", help="repeatable")
    add(
        "--property",
        dest="properties",
        action="append",
        type=pair,
        default=[],
        metavar="KEY=VALUE",
        help="stays for ever",
    )
    add("--model-framework", metavar="NAME", help=FRAMEWORKS)
    add("--model-framework-version", metavar="VERSION")
    add("--child-path", dest="child_paths", action="append", metavar="PATH", help="only this of the folder; repeatable")
    add("--sample-input", metavar="FILE", help="a request, stored with the model")
    add("--sample-output", metavar="FILE")
    add_resources(verb)
    add("-t", "--output-metadata-file", metavar="FILE", help="write the model's id to it, as JSON")
    add("--dry-run", action="store_true", help="check everything, store nothing")
    add_azure_flags(verb, "--asset-path", "--experiment-name", "-r/--run-id", "--path")
    finish(verb, command)


def add_resources(verb: Any) -> None:
    verb.add_argument("--cc", dest="cpu", type=float, metavar="CORES", help="what a deployment without config asks for")
    verb.add_argument("--gb", dest="memory_in_gb", type=float, metavar="GB", help="memory, likewise")
    verb.add_argument("--gc", dest="gpu", type=int, metavar="COUNT", help="GPUs, likewise")


def add_list(verbs: Any, command: Command) -> None:
    verb = verbs.add_parser("list", help="what is registered", allow_abbrev=False)
    add = verb.add_argument
    add("-n", "--model-name", "--name", dest="name", help="only versions of this one")
    add("-l", "--latest", action="store_true", help="only the newest version of each name")
    add("--tag", dest="tags", action="append", type=key_or_pair, metavar="KEY[=VALUE]", help="only with this tag")
    add("--property", dest="properties", action="append", type=key_or_pair, metavar="KEY[=VALUE]")
    add("--model-framework", metavar="NAME", help=FRAMEWORKS)
    add("--dataset-id", metavar="ID")
    add("--run-id", metavar="ID", help="finds nothing: models are registered from files")
    add_azure_flags(verb)
    finish(verb, command)


def add_one(verbs: Any, name: str, help: str, command: Command) -> Any:
    """A verb for one version, which may be named in three ways."""
    verb = verbs.add_parser(name, help=help, allow_abbrev=False)
    verb.add_argument("model", nargs="?", metavar="NAME[:VERSION]", help="without a version: the latest")
    verb.add_argument("-i", "--model-id", metavar="NAME:VERSION")
    verb.add_argument("-n", "--model-name", "--name", dest="name")
    verb.add_argument("--version", type=int)
    add_azure_flags(verb)
    return finish(verb, command)


def add_download(verbs: Any, command: Command) -> None:
    verb = add_one(verbs, "download", "write the file or folder somewhere, every byte verified", command)
    verb.add_argument("-t", "--target-dir", default=".", metavar="FOLDER", help="default: here")
    verb.add_argument("--overwrite", action="store_true", help="replace what is there, file by file")
    verb.add_argument("--dry-run", action="store_true", help="only say what would be written")


def add_update(verbs: Any, command: Command) -> None:
    verb = add_one(verbs, "update", "change tags and description, add properties", command)
    add = verb.add_argument
    add(
        "--add-tag",
        "--tag",
        dest="tags",
        action="append",
        type=pair,
        default=[],
        metavar="KEY=VALUE",
        help="repeatable",
    )
    add("--remove-tag", dest="remove_tags", action="append", default=[], metavar="KEY")
    add("--add-property", "--property", dest="properties", action="append", type=pair, default=[], metavar="KEY=VALUE")
    add("-d", "--description", metavar="TEXT")
    add("--sample-input", metavar="FILE")
    add("--sample-output", metavar="FILE")
    add_resources(verb)
    add("--dry-run", action="store_true", help="only show what it would become")


def finish(verb: Any, command: Command) -> Any:
    add_common(verb)

    def run(arguments: argparse.Namespace, rest: list[str]) -> int:
        if rest:
            verb.error(f"unrecognized arguments: {' '.join(rest)}")
        say_unused(arguments)
        return guarded(lambda: command(arguments))

    verb.set_defaults(command=run)
    return verb


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def key_or_pair(text: str) -> str | tuple[str, str]:
    return pair(text) if "=" in text else text
