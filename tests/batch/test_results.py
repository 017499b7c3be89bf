"""Results in each output format."""

from __future__ import annotations

import json

import numpy
import pandas
import pyarrow
import pytest

from scoring_runtime.batch.results import count, encoder
from scoring_runtime.errors import BatchError

FRAME = pandas.DataFrame({"id": [1, 2], "label": ["a b", "c"]})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (["a", 1, 2.5, [1, 2]], "a\n1\n2.5\n[1, 2]\n"),
        (("a",), "a\n"),
        (numpy.array([1.5, 2.0]), "1.5\n2.0\n"),
        (numpy.array([[1, 2], [3, 4]]), "[1 2]\n[3 4]\n"),
        ([numpy.arange(2) / 2, numpy.arange(2)], "[0.  0.5]\n[0 1]\n"),
        (FRAME, '1 "a b"\n2 c\n'),
        ([], ""),
    ],
)
def test_append_row_writes_str_of_each_element(result, text):
    assert encoder("append_row", "text", as_json=False)(result).payload.decode() == text


def test_long_array_rows_are_not_shortened():
    rows = numpy.arange(4000).reshape(2, 2000)
    for result in (rows, list(rows)):
        line = encoder("append_row", "text", as_json=False)(result).payload.decode()
        assert line.count("\n") == 2
        assert "..." not in line


def test_answers_of_online_scripts_are_written_as_json():
    encode = encoder("append_row", "text", as_json=True)
    assert encode([{"a": 1}, "text", numpy.float64(2)]).payload == b'{"a": 1}\ntext\n2.0\n'


@pytest.mark.parametrize(
    ("result", "columns", "payload"),
    [
        (FRAME, ("id", "label"), "1,a b\n2,c\n"),
        ([{"p": 0.5}, {"p": 1}], ("p",), "0.5\n1.0\n"),
        ([(1, "x"), (2, "y")], ("0", "1"), "1,x\n2,y\n"),
        (numpy.array([[1, 2]]), ("0", "1"), "1,2\n"),
        ([3, 4], ("result",), "3\n4\n"),
        ([], (), ""),
    ],
)
def test_csv_has_columns_for_whatever_rows_are(result, columns, payload):
    encoded = encoder("append_row", "csv", as_json=False)(result)
    assert (encoded.columns, encoded.payload.decode()) == (columns, payload)


def test_json_lines():
    encode = encoder("append_row", "jsonl", as_json=False)
    lines = encode(FRAME).payload.splitlines()
    assert [json.loads(line) for line in lines] == [{"id": 1, "label": "a b"}, {"id": 2, "label": "c"}]
    assert encode([1, "a"]).payload == b'1\n"a"\n'


def test_parquet_payloads_are_arrow_streams():
    encode = encoder("append_row", "parquet", as_json=False)
    assert pyarrow.ipc.open_stream(encode(FRAME).payload).read_all().to_pydict() == FRAME.to_dict(orient="list")
    assert encode([]).payload == b""


def test_summary_only_writes_nothing():
    assert encoder("summary_only", "text", as_json=False)(["a"]).payload == b""


def test_what_is_no_collection_is_refused():
    assert count(FRAME) == 2
    for result in (None, "a", 1.5, {"a": 1}, object()):
        with pytest.raises(BatchError, match="It should return a list"):
            count(result)
    with pytest.raises(BatchError, match="without dimensions"):
        count(SizedScalar())


class SizedScalar:
    ndim = 0

    def __len__(self) -> int:
        return 1


def test_each_answer_of_an_online_script_is_one_line():
    encode = encoder("append_row", "text", as_json=True)
    answers = ['{\n "a": 1\n}', "two\nlines", '{"b":2}', "plain"]
    assert encode(answers).payload.decode().splitlines() == ['{"a": 1}', '"two\\nlines"', '{"b":2}', "plain"]
