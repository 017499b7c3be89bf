"""Pieces of tables as DataFrames, with the types of the whole file."""

from __future__ import annotations

import pandas
import pytest

from scoring_runtime.batch import tables
from scoring_runtime.batch.cutting import Piece, cut
from scoring_runtime.batch.job import Size
from scoring_runtime.batch.sources import find
from scoring_runtime.batch.tables import TableReader
from scoring_runtime.errors import BatchInputError


def pieces_of(path, kind, size="3"):
    return list(cut(find([str(path)])[0], kind, Size.parse(size)))


def frames_of(path, kind, size="3", columns=None):
    reader = TableReader(kind)
    return [reader.read([piece], columns) for piece in pieces_of(path, kind, size)]


@pytest.fixture
def frame():
    return pandas.DataFrame({"id": range(10), "x": [n / 4 for n in range(10)], "name": [f"n{n}" for n in range(10)]})


WRITERS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "parquet": lambda frame, path: frame.to_parquet(path, row_group_size=7),
    "arrow": lambda frame, path: frame.to_feather(path, chunksize=7, compression="uncompressed"),
}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("columns", [None, ("name", "id")])
def test_every_format_gives_the_table_back_piece_by_piece(tmp_path, frame, ending, columns):
    path = tmp_path / f"rows.{ending}"
    WRITERS[ending](frame, path)
    kind = "csv" if ending == "tsv" else ending
    read = pandas.concat(frames_of(path, kind, columns=columns), ignore_index=True)
    pandas.testing.assert_frame_equal(read, frame if columns is None else frame[list(columns)])


def test_a_row_group_is_decoded_once_when_its_pieces_come_in_order(tmp_path, frame, monkeypatch):
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    opened = []
    monkeypatch.setattr(tables, "open_source", lambda name: opened.append(name) or open(name, "rb"))
    frames_of(path, "parquet", "2")
    assert len(opened) == 1


def test_the_pieces_of_a_row_group_can_come_in_any_order(tmp_path, frame):
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    reader = TableReader("parquet")
    read = [list(reader.read([piece])["id"]) for piece in reversed(pieces_of(path, "parquet", "4"))]
    assert read == [[8, 9], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_types_are_the_files_not_the_pieces(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("code,score,empty\n007,1,\n008,2,\nabc,2.5,\n")
    first = frames_of(path, "csv", "1")[0]
    assert first["code"].tolist() == ["007"]
    assert first["score"].dtype == "float64"


def test_only_the_beginning_is_looked_at_for_types(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "SNIFFED_BYTES", 30)
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f'{n},"line {n}\nmore"\n' for n in range(50)))
    assert sum(len(frame) for frame in frames_of(path, "csv", "7")) == 50


def test_a_line_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(BatchInputError, match=r"rows.jsonl#rows=1: not JSON"):
        frames_of(path, "jsonl")


def test_a_file_that_has_changed_is_noticed(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n2\n")
    piece = Piece(str(path), 2, 4, 0, 3)
    with pytest.raises(BatchInputError, match="expected 3 rows, got 2"):
        TableReader("csv").read([piece])


def test_record_batches_over_fsspec(frame):
    import fsspec

    with fsspec.open("memory://tables/rows.arrow", "wb") as file:
        frame.to_feather(file, compression="uncompressed")
    read = pandas.concat(frames_of("memory://tables/rows.arrow", "arrow"), ignore_index=True)
    pandas.testing.assert_frame_equal(read, frame)


def test_a_table_of_numbers_is_read_without_the_interpreter_lock_and_to_the_last_digit(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("id,x\n1,0.1234567890123456789\n2,\n3,9.87654321e-5\n")
    (frame,) = frames_of(path, "csv")
    assert frame["x"].tolist()[::2] == [float("0.1234567890123456789"), 9.87654321e-5]
    assert frame.dtypes.astype(str).to_dict() == {"id": "int64", "x": "float64"}
    assert frame["x"].isna().tolist() == [False, True, False]


def test_numbers_that_turn_out_to_be_something_else_are_read_by_pandas(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "SNIFFED_BYTES", 8)
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3,4\n5,some\n6.5,7\n")
    last = frames_of(path, "csv", "2", columns=("b", "a"))[1]
    assert last["a"].tolist() == [5.0, 6.5]
    assert last["b"].tolist() == ["some", "7"]


@pytest.mark.parametrize(
    ("text", "header", "columns"),
    [
        ("1,2.5\n3,4\n", ("none",), ["Column1", "Column2"]),
        ('1,"a, b"\n3,c\n', ("id", "a name, quoted"), ["id", "a name, quoted"]),
    ],
)
def test_a_csv_file_without_a_header_line(tmp_path, text, header, columns):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    pieces = list(cut(find([str(path)])[0], "csv", Size.parse("1"), header=False))
    reader = TableReader("csv", header)
    frames = [reader.read([piece]) for piece in pieces]
    assert [list(frame.columns) for frame in frames] == [columns, columns]
    assert pandas.concat(frames)[columns[0]].tolist() == [1, 3]


def test_names_for_another_number_of_columns_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("1,2\n")
    with pytest.raises(BatchInputError, match="--header names 3 columns, its first line has 2 values"):
        TableReader("csv", ("a", "b", "c")).read([Piece(str(path), 0, 4, 0, 1)])


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("blank-first.csv", "\n \r\nid,name\n1,x\n\n2,y\n", [(1, "x"), (2, "y")]),
        ("no-values.tsv", "id\tname\n1\tx\n\t\n2\ty\n", [(1, "x"), (None, None), (2, "y")]),
        ("twice.csv", "id,id,name\n1,2,x\n", [(1, 2, "x")]),
        ("byte-order-mark.csv", "\ufeffid,name\n1,x\n", [(1, "x")]),
        ("byte-order-mark.jsonl", '\ufeff{"id": 1, "name": "x"}\n', [(1, "x")]),
    ],
)
def test_unusual_text_files_are_read_as_they_are_meant(tmp_path, name, text, rows):
    path = tmp_path / name
    path.write_bytes(text.encode())
    frames = frames_of(path, "jsonl" if name.endswith("jsonl") else "csv", "1")
    read = pandas.concat(frames).astype(object).where(lambda frame: frame.notna(), None)
    assert list(read.itertuples(index=False, name=None)) == rows


def test_a_byte_order_mark_is_no_part_of_the_first_value_without_a_header_line(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbf1,x\n2,y\n")
    (piece,) = cut(find([str(path)])[0], "csv", Size.parse("9"), header=False)
    assert TableReader("csv", ("none",)).read([piece])["Column1"].tolist() == [1, 2]


def test_a_text_among_fractions_makes_the_column_texts_in_its_piece_only(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "SNIFFED_BYTES", 8)
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n1.5,2\n2.5,3\n3.5,4\nunknown,5\n")
    frames = frames_of(path, "csv", "2")
    assert [frame["x"].tolist() for frame in frames] == [[1.5, 2.5], ["3.5", "unknown"]]


def test_text_that_is_not_utf8_says_how_to_convert_it(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("id,name\n1,café\n".encode("latin-1"))
    with pytest.raises(BatchInputError, match=r"rows.csv#rows=0-0: not UTF-8: .*iconv"):
        frames_of(path, "csv")
