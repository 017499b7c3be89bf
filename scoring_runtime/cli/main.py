"""`scoring <noun> <verb>`: one file for each noun beside this one, imported when it is named."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NoReturn

from scoring_runtime import __version__

__all__ = ["NOUNS", "main"]

NOUNS = {
    "model": "register, find, download and delete models",
    "environment": "what scripts run in: write, register, list and lock it",
    "image": "build, push, pull and export images, without a daemon",
    "check": "find what would go wrong with a score.py where it will run",
    "deploy": "run a score.py with its models as a service",
    "service": "list, call, update and delete services; their keys and logs",
    "batch": "score files and tables with a score.py",
}


def parser(noun: str | None) -> argparse.ArgumentParser:
    """All nouns with their help, and the verbs of the one that is named."""
    result = argparse.ArgumentParser(prog="scoring", description=f"scoring-runtime {__version__}")
    result.add_argument("--version", action="version", version=f"scoring-runtime {__version__}")
    nouns = result.add_subparsers(dest="noun", required=True, metavar="noun")
    for name, help in NOUNS.items():
        if name == noun:
            importlib.import_module(f"scoring_runtime.cli.{name}").add_to(nouns, help)
        else:
            nouns.add_parser(name, help=help)
    return result


def main(argv: list[str] | None = None) -> NoReturn:
    """Each noun's module offers add_to(nouns, help); each verb sets `command`, called with arguments and the rest."""
    argv = sys.argv[1:] if argv is None else argv
    noun = next((word for word in argv if not word.startswith("-")), None)
    arguments, rest = parser(noun).parse_known_args(argv)
    sys.exit(arguments.command(arguments, rest))
