"""Flags that commands of `az ml` carry and that mean nothing without Azure: taken, and said to be without effect."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ["add_azure_flags", "say_unused"]

EVERYWHERE = ("-g/--resource-group", "--subscription-id")


def add_azure_flags(parser: Any, *more: str) -> None:
    """As "-g/--resource-group"; each takes a value. They are not shown in --help."""
    for flags in (*EVERYWHERE, *more):
        parser.add_argument(*flags.split("/"), action=Unused, help=argparse.SUPPRESS)


def say_unused(arguments: argparse.Namespace) -> None:
    for flag in getattr(arguments, "unused", ()):
        print(f"{flag} is not needed here: it has no effect.", file=sys.stderr)


class Unused(argparse.Action):
    def __init__(self, option_strings: Any, dest: str, **options: Any) -> None:
        super().__init__(option_strings, "unused", default=argparse.SUPPRESS, **options)

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        namespace.unused = (*getattr(namespace, "unused", ()), option_string)
