"""What all verbs of `scoring` share: JSON or a table on stdout, progress and errors on stderr, exit codes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scoring_runtime.errors import ScoringRuntimeError

__all__ = ["Steps", "add_common", "guarded", "show", "table"]


def add_common(parser: Any) -> None:
    """The flags of every verb."""
    parser.add_argument(
        "-w", "--workspace", metavar="FOLDER", help="default: SCORING_WORKSPACE, else a folder of yours"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and no progress")


def show(document: Any, as_json: bool, lines: Callable[[], str]) -> None:
    print(json.dumps(document, indent=1) if as_json else lines())


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Columns as wide as what is in them; the heading is the keys."""
    texts = [
        [column.upper() for column in columns],
        *([str(row.get(column, "")) for column in columns] for row in rows),
    ]
    widths = [max(len(line[at]) for line in texts) for at in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in texts
    )


class Steps:
    """Progress: one line a step on stderr, with the seconds since the beginning."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        if not self.quiet:
            print(f"[{time.monotonic() - self.began:6.1f} s] {text}", file=sys.stderr, flush=True)


def guarded(action: Callable[[], int | None]) -> int:
    """Run a verb; an error of ours is one message on stderr and exit code 2."""
    try:
        return action() or 0
    except ScoringRuntimeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of the file system, where nobody closer has said more
        if isinstance(error, BrokenPipeError):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"{where}{error.strerror or error}. Check the path, its permissions, and the free space.", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
