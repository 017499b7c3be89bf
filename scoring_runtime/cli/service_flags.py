"""Flags that `scoring deploy` and the verbs of `scoring service` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, TypeAlias

from scoring_runtime.cli.azure_flags import add_azure_flags, say_unused
from scoring_runtime.cli.output import add_common, guarded

__all__ = ["add_verb", "add_waiting", "finish", "key_or_pair", "pair"]

Command: TypeAlias = Callable[[argparse.Namespace], "int | None"]


def add_verb(verbs: Any, name: str, help: str, command: Command, *aliases: str) -> Any:
    """A verb for one service, named plainly or with -n."""
    verb = verbs.add_parser(name, help=help, aliases=list(aliases), allow_abbrev=False)
    verb.add_argument("service", nargs="?", metavar="NAME")
    verb.add_argument("-n", "--name", dest="named", metavar="NAME", help=argparse.SUPPRESS)
    add_azure_flags(verb)
    return finish(verb, command)


def add_waiting(parser: Any) -> None:
    parser.add_argument("--no-wait", action="store_true", help="return when the host has accepted it")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait; default: for ever")


def finish(parser: Any, command: Command) -> Any:
    """The common flags; and what a flag that nobody knows is answered."""
    add_common(parser)

    def run(arguments: argparse.Namespace, rest: list[str]) -> int:
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        say_unused(arguments)
        return guarded(lambda: command(arguments))

    parser.set_defaults(command=run)
    return parser


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def key_or_pair(text: str) -> str | tuple[str, str]:
    return pair(text) if "=" in text else text
