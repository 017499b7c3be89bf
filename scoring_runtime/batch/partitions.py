"""partition_keys: one mini-batch for each combination of values, in the order in which they first appear.

The keys are looked for in the paths first (`year=2024/month=05/part-0.csv`), then, in tables, among the columns.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from scoring_runtime.batch.cutting import Piece, cut
from scoring_runtime.batch.job import Size
from scoring_runtime.batch.sources import Source
from scoring_runtime.batch.tables import TableReader
from scoring_runtime.errors import BatchInputError

if TYPE_CHECKING:
    import pandas

__all__ = ["partition_files", "partition_table"]

SCANNED = Size(8 * 1024 * 1024, True)


def partition_files(sources: Sequence[Source], keys: Sequence[str]) -> list[list[Source]]:
    """The files of each combination; nothing if the paths do not name the keys."""
    groups: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        named = dict(part.split("=", 1) for part in source.path.split(os.sep) if "=" in part)
        if not all(key in named for key in keys):
            return []
        groups.setdefault(tuple(named[key] for key in keys), []).append(source)
    return list(groups.values())


def partition_table(
    sources: Sequence[Source],
    by_path: list[list[Source]],
    kind: str,
    keys: Sequence[str],
    header: Sequence[str] = (),
) -> Iterator[tuple[Piece, ...]]:
    if by_path:
        for group in by_path:
            yield tuple(piece for source in group for piece in cut(source, kind, SCANNED, header=not header))
        return
    yield from scan(sources, kind, keys, header)


def scan(
    sources: Sequence[Source], kind: str, keys: Sequence[str], header: Sequence[str]
) -> Iterator[tuple[Piece, ...]]:
    """Reads the key columns of everything; holds two numbers for each run of rows with equal keys."""
    reader = TableReader(kind, header)
    pieces: list[Piece] = []
    runs: dict[tuple[Any, ...], list[tuple[int, int, int]]] = {}
    with closing(reader):
        for piece in (piece for source in sources for piece in cut(source, kind, SCANNED, header=not header)):
            for key, first, last in key_runs(reader, piece, keys):
                runs.setdefault(key, []).append((len(pieces), first, last))
            pieces.append(piece)
    for places in runs.values():
        picked: dict[int, list[tuple[int, int]]] = {}
        for number, first, last in places:
            picked.setdefault(number, []).append((first, last))
        yield tuple(with_rows(pieces[number], tuple(rows)) for number, rows in picked.items())


def key_runs(reader: TableReader, piece: Piece, keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], int, int]]:
    """(key, first row, past the last row) for each stretch of rows in the piece that has one key."""
    try:
        frame = reader.read([piece], list(keys))
    except (KeyError, ValueError) as error:
        raise BatchInputError(
            f"partition_keys: expected the columns {', '.join(keys)} in {piece.path}: {error}"
        ) from None
    values = list(zip(*(key_texts(frame[key]) for key in keys), strict=True))
    first = 0
    for row in range(1, len(values) + 1):
        if row == len(values) or values[row] != values[first]:
            yield values[first], first, row
            first = row


def key_texts(column: pandas.Series[Any]) -> Iterable[str]:
    """As text: whole numbers are fractions in a piece where one of them is missing, and still the same keys."""
    texts = column.astype(str)
    return texts.str.removesuffix(".0") if column.dtype.kind == "f" else texts


def with_rows(piece: Piece, picked: tuple[tuple[int, int], ...]) -> Piece:
    return Piece(piece.path, piece.start, piece.length, piece.first_row, piece.rows, piece.group, picked)
