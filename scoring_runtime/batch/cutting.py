"""Cuts files into pieces that can be read on their own: none spans two files, none splits a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scoring_runtime.batch.job import Size
from scoring_runtime.batch.sources import Source, open_source
from scoring_runtime.errors import BatchInputError

__all__ = ["Piece", "cut"]

QUOTED = re.compile(rb'"[^"]*"')
BYTES_READ = 1024 * 1024


@dataclass(frozen=True)
class Piece:
    """A part of one file. `start` and `length` count bytes in csv and jsonl, rows in parquet and arrow."""

    path: str
    start: int
    length: int
    first_row: int
    rows: int
    #: The row group or record batch it lies in; reading its pieces in order decodes that once.
    group: int = -1
    #: Which of its rows, as (first, past the last), where partition_keys pick some.
    picked: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> list[Any]:
        return [self.path, self.start, self.length, self.first_row, self.rows, self.group, self.picked]

    @classmethod
    def from_json(cls, values: list[Any]) -> Piece:
        path, start, length, first_row, rows, group, picked = values
        return cls(path, start, length, first_row, rows, group, tuple((first, last) for first, last in picked))

    @property
    def items(self) -> int:
        return sum(last - first for first, last in self.picked) if self.picked else self.rows

    def __str__(self) -> str:
        """How an error file points here: the path, and for tables its rows, counted from 0."""
        if self.picked:
            ranges = ",".join(f"{self.first_row + a}-{self.first_row + b - 1}" for a, b in self.picked)
            return f"{self.path}#rows={ranges}"
        return f"{self.path}#rows={self.first_row}-{self.first_row + self.rows - 1}"


def cut(source: Source, kind: str, size: Size) -> Iterator[Piece]:
    """The pieces of one table, in order."""
    return CUTTERS[kind](source, size)


def cut_csv(source: Source, size: Size) -> Iterator[Piece]:
    with open_source(source.path) as file:
        header = read_header(file.readline, source.path)
        yield from cut_lines(source.path, file.read, size, start=len(header), quotes=True)


def read_header(readline: Callable[[], bytes], path: str) -> bytes:
    """The first record of a CSV file, which may hold quoted line breaks."""
    header = readline()
    while header.count(b'"') % 2:
        more = readline()
        if not more:
            raise BatchInputError(f"{path}: the header line opens a quote that is never closed.")
        header += more
    return header


def cut_jsonl(source: Source, size: Size) -> Iterator[Piece]:
    with open_source(source.path) as file:
        yield from cut_lines(source.path, file.read, size, start=0, quotes=False)


def cut_lines(path: str, read: Callable[[int], bytes], size: Size, *, start: int, quotes: bool) -> Iterator[Piece]:
    """Pieces of about size.amount bytes, or of exactly so many rows, that end with a line's end."""
    row, data, position, ended = 0, b"", 0, False
    find_end = byte_end if size.in_bytes else row_end
    while position < len(data) or not ended:
        end = find_end(data, position, size.amount, quotes)
        if end < 0 and not ended:
            # Twice as much each time, so that looking again from the piece's beginning stays cheap.
            more = read(max(BYTES_READ, len(data) - position))
            data, position, ended = data[position:] + more, 0, not more
            continue
        taken = data[position : end if end >= 0 else len(data)]
        rows = count_rows(taken, quotes)
        if rows:
            yield Piece(path, start, len(taken), row, rows)
        row, start, position = row + rows, start + len(taken), position + len(taken)


def byte_end(data: bytes, position: int, amount: int, quotes: bool) -> int:
    """Past the first line's end at or after `amount` bytes that is not inside quotes; -1 if there is none yet."""
    last = position + amount - 1
    if len(data) <= last:
        return -1
    inside = quotes and data.count(b'"', position, last) % 2 == 1
    return next_end(data, last, inside, quotes) + 1 or -1


def next_end(data: bytes, position: int, inside: bool, quotes: bool) -> int:
    while True:
        end = data.find(b"\n", position)
        if end < 0:
            return -1
        if quotes and data.count(b'"', position, end) % 2:
            inside = not inside
        if not inside:
            return end
        position = end + 1


def row_end(data: bytes, position: int, rows: int, quotes: bool) -> int:
    """Past the end of that many rows; -1 if there are not so many yet."""
    while rows:
        end = next_end(data, position, False, quotes)
        if end < 0:
            return -1
        rows -= bool(data[position:end].strip())
        position = end + 1
    return position


def count_rows(data: bytes, quotes: bool) -> int:
    """Lines that are not blank, a quoted line break not counted."""
    if quotes and b'"' in data:
        data = QUOTED.sub(b"q", data)
    if b"\n\n" in data or b"\n\r" in data or data[:1] in b"\r\n" or b" \n" in data:
        return sum(1 for line in data.split(b"\n") if line.strip())
    return data.count(b"\n") + (not data.endswith(b"\n"))


def cut_parquet(source: Source, size: Size) -> Iterator[Piece]:
    import pyarrow.parquet

    with open_source(source.path) as file:
        metadata = pyarrow.parquet.ParquetFile(file).metadata
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        step = rows_in(size, metadata.row_group(group).total_byte_size, rows)
        yield from steps(source.path, group, first, rows, step)
        first += rows


def cut_arrow(source: Source, size: Size) -> Iterator[Piece]:
    import pyarrow

    with open_source(source.path) as file:
        reader = pyarrow.ipc.open_file(file)
        first = 0
        for group in range(reader.num_record_batches):
            batch = reader.get_batch(group)
            step = rows_in(size, batch.nbytes, batch.num_rows)
            yield from steps(source.path, group, first, batch.num_rows, step)
            first += batch.num_rows


def rows_in(size: Size, group_bytes: int, group_rows: int) -> int:
    if not size.in_bytes:
        return size.amount
    return max(1, size.amount * group_rows // max(1, group_bytes))


def steps(path: str, group: int, first_row: int, rows: int, step: int) -> Iterator[Piece]:
    for start in range(0, rows, step):
        count = min(step, rows - start)
        yield Piece(path, start, count, first_row + start, count, group)


CUTTERS: dict[str, Callable[[Source, Size], Iterator[Piece]]] = {
    "csv": cut_csv,
    "jsonl": cut_jsonl,
    "parquet": cut_parquet,
    "arrow": cut_arrow,
}
