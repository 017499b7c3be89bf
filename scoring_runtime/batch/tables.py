"""Reads pieces of tables as DataFrames, and as the records (dicts) that a script for online serving takes."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scoring_runtime.batch.compression import Content, ForwardReader, is_compressed
from scoring_runtime.batch.cutting import BLANK, Piece, read_header, separator_of
from scoring_runtime.batch.sources import is_remote, open_source, read_range
from scoring_runtime.errors import BatchInputError

if TYPE_CHECKING:
    import pandas

__all__ = ["TableReader"]

SNIFFED_BYTES = 1024 * 1024
NUMBERS = {"int64", "float64"}
#: Column1, Column2 and so on, as the product names the columns of a file without a header.
NUMBERED = ("none",)


class TableReader:
    """Reads pieces of one kind. Keeps the last file's head, and its place in the last row group or compressed file.

    `header`: the columns of CSV files whose first line has none; NUMBERED for Column1, Column2 and so on.
    """

    def __init__(self, kind: str, header: Sequence[str] = ()) -> None:
        self.kind = kind
        self._header = tuple(header)
        self._compressed = ForwardReader()
        self._heads: dict[str, Head] = {}
        self._cursor: tuple[object, Iterator[Any]] | None = None

    def close(self) -> None:
        self._compressed.close()

    def read(self, pieces: Sequence[Piece], columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """The rows of the pieces, one after the other, numbered from 0."""
        import pandas

        frames = [self._read(piece, columns) for piece in pieces]
        return frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=True)

    def _read(self, piece: Piece, columns: Sequence[str] | None) -> pandas.DataFrame:
        try:
            frame = getattr(self, f"_{self.kind}")(piece, columns)
        except UnicodeDecodeError as error:
            raise BatchInputError(
                f"{piece}: not UTF-8: {error}. Convert the file, such as with iconv -f WINDOWS-1252 -t UTF-8."
            ) from None
        if len(frame) != piece.rows:
            raise BatchInputError(
                f"{piece}: expected {piece.rows} rows, got {len(frame)}. "
                "The file has changed, or a quote in it is not closed."
            )
        if not piece.picked:
            return frame  # type: ignore[no-any-return]
        rows = [row for first, last in piece.picked for row in range(first, last)]
        return frame.iloc[rows].reset_index(drop=True)  # type: ignore[no-any-return]

    # -- text -------------------------------------------------------------------------------------------------------

    def _csv(self, piece: Piece, columns: Sequence[str] | None) -> pandas.DataFrame:
        head = self._head_of(piece.path)
        body = self._bytes(piece)
        used = list(head.columns if columns is None else columns)
        if head.numbers:
            frame = read_numbers(body, head, used)
            if frame is not None:
                return frame
        return read_any(body, head, used)

    def _bytes(self, piece: Piece) -> bytes:
        read = self._compressed.read if is_compressed(piece.path) else read_range
        data = read(piece.path, piece.start, piece.length)
        return data.removeprefix(codecs.BOM_UTF8) if piece.start == 0 else data

    def _head_of(self, path: str) -> Head:
        if path not in self._heads:
            self._heads = {path: Head(path, self._header)}
        return self._heads[path]

    def _jsonl(self, piece: Piece, columns: Sequence[str] | None) -> pandas.DataFrame:
        import pandas

        frame = pandas.DataFrame.from_records(self.json_records(piece))
        return frame if columns is None else frame[list(columns)]

    def json_lines(self, piece: Piece) -> list[bytes]:
        """The lines that are not blank, as they stand in the file."""
        lines = self._bytes(piece).split(b"\n")
        return [line for line in lines if line.strip(BLANK)]

    def picked_lines(self, piece: Piece) -> list[bytes]:
        lines = self.json_lines(piece)
        if not piece.picked:
            return lines
        return [lines[row] for first, last in piece.picked for row in range(first, last)]

    def json_records(self, piece: Piece) -> list[Any]:
        import json

        records = []
        for number, line in enumerate(self.json_lines(piece)):
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise BatchInputError(f"{piece.path}#rows={piece.first_row + number}: not JSON: {error}") from None
        return records

    # -- Arrow ------------------------------------------------------------------------------------------------------

    def _parquet(self, piece: Piece, columns: Sequence[str] | None) -> pandas.DataFrame:
        """Pieces of a row group come in order, mostly; the group is then decoded once, and never held whole."""
        import pyarrow

        if self._cursor is None or self._cursor[0] != (piece.path, piece.group, piece.first_row, columns):
            batches = parquet_batches(piece, columns)
            skipped = 0
            while skipped < piece.start:
                skipped += next(batches).num_rows
        else:
            batches = self._cursor[1]
        rows = next(batches)
        self._cursor = ((piece.path, piece.group, piece.first_row + piece.rows, columns), batches)
        return pyarrow.Table.from_batches([rows]).to_pandas()  # type: ignore[no-any-return]

    def _arrow(self, piece: Piece, columns: Sequence[str] | None) -> pandas.DataFrame:
        import pyarrow

        with open_source(piece.path) as file:
            reader = pyarrow.ipc.open_file(file if is_remote(piece.path) else pyarrow.memory_map(piece.path))
            batch = reader.get_batch(piece.group).slice(piece.start, piece.length)
            if columns is not None:
                batch = batch.select(list(columns))
            return batch.to_pandas()  # type: ignore[no-any-return]


class Head:
    """The header of a CSV file, and the types that its columns have in the first megabyte.

    Each piece would otherwise guess on its own: 007 in one could be text and in another the number 7.
    """

    def __init__(self, path: str, header: Sequence[str] = ()) -> None:
        self.separator = separator_of(path)
        with Content(path) as file:
            self.line = read_header(file.readline, path)
            sample = file.read(SNIFFED_BYTES)
        if header:
            first = self.line.removeprefix(codecs.BOM_UTF8)
            self.line, sample = self._named(path, first, header), first + sample
        lines = sample if len(sample) < SNIFFED_BYTES else sample[: sample.rfind(b"\n") + 1]
        if lines.count(b'"') % 2:
            lines = lines[: lines.rfind(b"\n", 0, lines.rfind(b'"'))]
        frame = pandas_csv(self.line + lines, self.separator)
        self.columns = list(frame.columns)
        known = {name: str(kind) for name, kind in frame.dtypes.items() if not frame[name].isna().all()}
        self.numbers = known if len(known) == len(frame.columns) and set(known.values()) <= NUMBERS else {}
        #: What pandas is told; whole numbers may still turn out to have fractions or gaps.
        self.types = {name: kind for name, kind in known.items() if kind not in ("int64", "bool")}

    def _named(self, path: str, first: bytes, header: Sequence[str]) -> bytes:
        """The line of names that the file lacks."""
        lines = io.StringIO(first.decode().lstrip("\r\n"), newline="")
        values = len(next(csv.reader(lines, delimiter=self.separator)))
        names = [f"Column{n + 1}" for n in range(values)] if tuple(header) == NUMBERED else list(header)
        if len(names) != values:
            raise BatchInputError(f"{path}: --header names {len(names)} columns, its first line has {values} values.")
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerow(names)
        return text.getvalue().encode()


def read_numbers(body: bytes, head: Head, columns: list[str]) -> pandas.DataFrame | None:
    """A table of numbers by Arrow, which needs no interpreter lock; None if it holds anything else."""
    import pyarrow.csv

    try:
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(body),
            pyarrow.csv.ReadOptions(use_threads=False, column_names=head.columns, block_size=len(body) + 1),
            pyarrow.csv.ParseOptions(delimiter=head.separator, quote_char='"' if b'"' in body else False),
            pyarrow.csv.ConvertOptions(column_types=head.numbers, include_columns=columns),
        )
    except (pyarrow.ArrowInvalid, KeyError):
        return None
    return table.to_pandas()  # type: ignore[no-any-return]


def read_any(body: bytes, head: Head, columns: list[str]) -> pandas.DataFrame:
    text = head.line + body
    try:
        return pandas_csv(text, head.separator, dtype=head.types, usecols=columns)[columns]
    except UnicodeDecodeError:
        raise
    except ValueError:  # a text among what were numbers, as in a column of whole numbers, makes it a column of texts
        types = {name: kind for name, kind in head.types.items() if kind != "float64"}
        return pandas_csv(text, head.separator, dtype=types, usecols=columns)[columns]


def pandas_csv(data: bytes, separator: str, **options: Any) -> pandas.DataFrame:
    import pandas

    frame: pandas.DataFrame = pandas.read_csv(io.BytesIO(data), sep=separator, index_col=False, **options)
    return frame


def parquet_batches(piece: Piece, columns: Sequence[str] | None) -> Iterator[Any]:
    import pyarrow.parquet

    with open_source(piece.path) as file:
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
        step = piece.length if piece.start % piece.length == 0 else piece.start
        yield from table.iter_batches(
            step, row_groups=[piece.group], columns=list(columns) if columns else None, use_threads=False
        )
