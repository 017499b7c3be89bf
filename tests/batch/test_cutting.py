"""Pieces of files: together they are the file, and each can be read on its own."""

from __future__ import annotations

import io

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring_runtime.batch import cutting
from scoring_runtime.batch.cutting import Piece, cut, cut_lines, read_header
from scoring_runtime.batch.job import Size
from scoring_runtime.batch.sources import find
from scoring_runtime.errors import BatchInputError

CELLS = st.sampled_from(["a", "7", '"x, y"', '"two\nlines"', '"a ""quote"""', '""', '"three\n\nlines"'])


@given(
    rows=st.lists(CELLS, max_size=40),
    amount=st.integers(1, 60),
    by_bytes=st.booleans(),
    end=st.sampled_from(["\n", ""]),
    block=st.sampled_from([3, 17, 4096]),
)
def test_csv_pieces_make_up_the_file_and_never_split_a_record(rows, amount, by_bytes, end, block):
    body = ("\n".join(f"{n},{cell}" for n, cell in enumerate(rows)) + end).encode() if rows else b""
    read = io.BytesIO(body).read
    pieces = list(cut_lines("f", lambda _: read(block), Size(amount, by_bytes), start=0, quotes=True))
    texts = [body[piece.start : piece.start + piece.length] for piece in pieces]
    assert b"".join(texts) == body
    assert [piece.first_row for piece in pieces] == [sum(p.rows for p in pieces[:n]) for n in range(len(pieces))]
    lengths = [len(pandas.read_csv(io.BytesIO(text), header=None)) for text in texts]
    assert lengths == [piece.rows for piece in pieces]
    assert sum(lengths) == len(rows)
    if not by_bytes:
        assert all(piece.rows == amount for piece in pieces[:-1])


def test_a_piece_larger_than_one_read_is_found_all_the_same(monkeypatch):
    monkeypatch.setattr(cutting, "BYTES_READ", 8)
    body = b"".join(b"%d,abc\n" % n for n in range(100))
    pieces = list(cut_lines("f", io.BytesIO(body).read, Size(33, False), start=5, quotes=True))
    assert [piece.rows for piece in pieces] == [33, 33, 33, 1]
    assert pieces[1].start == 5 + pieces[0].length


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_blank_lines_are_no_rows(monkeypatch, block):
    monkeypatch.setattr(cutting, "BYTES_READ", block)

    def rows(body: bytes) -> list[tuple[int, int, int]]:
        pieces = cut_lines("f", io.BytesIO(body).read, Size(1, False), start=0, quotes=True)
        return [(piece.start, piece.length, piece.rows) for piece in pieces]

    assert rows(b"a\n\nb\n") == [(0, 2, 1), (2, 3, 1)]
    assert rows(b"\na\n \t\n") == [(0, 3, 1)]
    assert rows(b'"a\n\nb"\n') == [(0, 7, 1)]
    assert rows(b"a\r\n\r\nb") == [(0, 3, 1), (3, 3, 1)]
    assert rows(b" a\nb") == [(0, 3, 1), (3, 1, 1)]
    assert rows(b"\n\n\n") == []


def test_a_header_may_hold_quoted_line_breaks():
    assert read_header(io.BytesIO(b'"a\nb",c\n1,2\n').readline, "f") == b'"a\nb",c\n'
    with pytest.raises(BatchInputError, match="opens a quote that is never closed"):
        read_header(io.BytesIO(b'"a,c\n1,2\n').readline, "f")


@pytest.mark.parametrize(("size", "lengths"), [(Size(4, False), [4, 4, 2, 4, 4, 2]), (Size(1, True), [1] * 20)])
def test_row_groups_are_cut_into_rows(tmp_path, size, lengths):
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": range(20)}), path, row_group_size=10)
    pieces = list(cut(find([str(path)])[0], "parquet", size))
    assert [piece.length for piece in pieces] == lengths
    assert [piece.first_row for piece in pieces] == [sum(lengths[:n]) for n in range(len(lengths))]
    assert {piece.group for piece in pieces} == {0, 1}


def test_a_piece_says_where_it_is():
    assert str(Piece("f.csv", 0, 9, 10, 5)) == "f.csv#rows=10-14"
    picked = Piece("f.csv", 0, 9, 10, 5, picked=((0, 1), (3, 5)))
    assert str(picked) == "f.csv#rows=10-10,13-14"
    assert picked.items == 3
    assert Piece.from_json(picked.to_json()) == picked


@pytest.mark.parametrize(("name", "kind"), [("a.parquet", "parquet"), ("a.arrow", "arrow")])
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, name, kind):
    (tmp_path / name).write_text("no table")
    with pytest.raises(BatchInputError, match=rf"{name} cannot be read as {kind}: .*--input-format"):
        list(cut(find([str(tmp_path / name)])[0], kind, Size(1, False)))
