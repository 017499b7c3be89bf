"""`scoring <noun> <verb>`: one file for each noun beside this one, imported when it is named."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from scoring_runtime import __version__
from scoring_runtime.cli import batch

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="scoring", description=f"scoring-runtime {__version__}")
    result.add_argument("--version", action="version", version=f"scoring-runtime {__version__}")
    nouns = result.add_subparsers(dest="noun", required=True, metavar="noun")
    batch.add_to(nouns)
    return result


def main(argv: list[str] | None = None) -> NoReturn:
    arguments, rest = parser().parse_known_args(argv)
    sys.exit(arguments.command(arguments, rest))
