"""Cuts files into pieces that can be read on their own: none spans two files, none splits a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from scoring_runtime.batch.compression import Content, is_compressed, plain_name
from scoring_runtime.batch.job import Size
from scoring_runtime.batch.sources import Source, open_source
from scoring_runtime.errors import BatchInputError

__all__ = ["BLANK", "Piece", "cut", "read_header", "separator_of"]

BYTES_READ = 4 * 1024 * 1024
NEWLINE, QUOTE = b'\n"'
BLANK = b"\n\r \t"
BLANKS = numpy.frombuffer(BLANK, numpy.uint8)
Numbers = numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class Piece:
    """A part of one file. `start` and `length` count rows in parquet and arrow, else bytes of what is decompressed."""

    path: str
    start: int
    length: int
    first_row: int
    rows: int
    #: The row group or record batch it lies in, 0 in a compressed file; reading its pieces in order decodes that once.
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


def cut(source: Source, kind: str, size: Size, *, header: bool = True) -> Iterator[Piece]:
    """The pieces of one table, in order. `header`: whether the first line of a CSV file has names."""
    try:
        yield from cut_csv(source, size, header) if kind == "csv" else CUTTERS[kind](source, size)
    except (OSError, ValueError, NotImplementedError) as error:  # what Arrow raises is one of these, too
        raise BatchInputError(
            f"{source.path} cannot be read as {kind}: {error}. Mend it, leave it out, or choose another --input-format."
        ) from error


def separator_of(path: str) -> str:
    """Between the values of a CSV file's line."""
    return "\t" if plain_name(path).lower().endswith(".tsv") else ","


def cut_csv(source: Source, size: Size, header: bool) -> Iterator[Piece]:
    with Content(source.path) as file:
        start = len(read_header(file.readline, source.path)) if header else 0
        yield from cut_lines(source.path, file.read, size, start=start, quotes=True)


def read_header(readline: Callable[[], bytes], path: str) -> bytes:
    """The first record of a CSV file, which may hold quoted line breaks, with the blank lines before it."""
    header = b""
    while not header.strip(BLANK):
        line = readline()
        if not line:
            return header
        header += line
    while header.count(b'"') % 2:
        more = readline()
        if not more:
            raise BatchInputError(f"{path}: the header line opens a quote that is never closed.")
        header += more
    return header


def cut_jsonl(source: Source, size: Size) -> Iterator[Piece]:
    with Content(source.path) as file:
        yield from cut_lines(source.path, file.read, size, start=0, quotes=False)


def cut_lines(path: str, read: Callable[[int], bytes], size: Size, *, start: int, quotes: bool) -> Iterator[Piece]:
    """Pieces of about size.amount bytes, or of exactly so many rows, that end with a line's end."""
    # A line of tabs is a row without values where tabs are what separates them.
    ends = RowEnds(start, quotes, BLANK.replace(separator_of(path).encode(), b""))
    begin, first_row = start, 0
    group = 0 if is_compressed(path) else -1
    while data := read(BYTES_READ):
        places, rows = ends.within(data)
        # places[i]: past the end of a line; rows[i]: how many rows there are up to there, since the file's beginning
        at = next_cut(places, rows, begin, first_row, size)
        while at < len(places):
            if rows[at] > first_row:
                yield Piece(path, begin, int(places[at]) - begin, first_row, int(rows[at]) - first_row, group)
            begin, first_row = int(places[at]), int(rows[at])
            at = next_cut(places, rows, begin, first_row, size)
    left = ends.rows - first_row
    if left:
        yield Piece(path, begin, ends.place - begin, first_row, left, group)


def next_cut(places: Numbers, rows: Numbers, begin: int, first_row: int, size: Size) -> int:
    """Where the piece that begins there is full; len(places) if it is not yet."""
    if size.in_bytes:
        return int(numpy.searchsorted(places, begin + size.amount))
    return int(numpy.searchsorted(rows, first_row + size.amount))


class RowEnds:
    """Finds the line breaks that end a row: not those inside quotes. Takes a file block by block, 1 GB/s."""

    def __init__(self, place: int, quotes: bool, blank: bytes = BLANK) -> None:
        self.place = place
        #: Rows so far, with one that has begun and not ended yet.
        self.rows = 0
        self._quotes = quotes
        self._blank = blank
        self._inside = 0
        self._begun = False

    def within(self, data: bytes) -> tuple[Numbers, Numbers]:
        """The places past each row's end in the next block, and the number of rows up to each."""
        text = numpy.frombuffer(data, numpy.uint8)
        ends = numpy.flatnonzero(text == NEWLINE)
        if self._quotes and (self._inside or b'"' in data):
            marks = numpy.flatnonzero(text == QUOTE)
            ends = ends[(numpy.searchsorted(marks, ends) + self._inside) % 2 == 0]
            self._inside = (self._inside + len(marks)) % 2
        before = self.rows - self._begun
        rows = before + numpy.cumsum(self._not_blank(data, text, ends))
        places = self.place + ends + 1
        tail = data[ends[-1] + 1 :] if len(ends) else data
        self._begun = bool(tail.strip(self._blank)) or (self._begun and not len(ends))
        self.rows = int(rows[-1] if len(ends) else before) + self._begun
        self.place += len(data)
        return places, rows

    def _not_blank(self, data: bytes, text: Numbers, ends: Numbers) -> Numbers:
        """For each line whether there is more on it than white space; mostly its first byte says so."""
        begins = numpy.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
        result: Numbers = ~numpy.isin(text[begins], BLANKS)
        for line in numpy.flatnonzero(~result):
            result[line] = bool(data[begins[line] : ends[line]].strip(self._blank))
        if self._begun and len(ends):
            result[0] = True
        return result


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
    "jsonl": cut_jsonl,
    "parquet": cut_parquet,
    "arrow": cut_arrow,
}
