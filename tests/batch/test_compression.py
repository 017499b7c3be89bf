"""Compressed tables: read from the beginning on, with the rows and places of the plain file."""

from __future__ import annotations

import bz2
import gzip
import lzma

import fsspec
import pyarrow
import pytest

from scoring_runtime.batch.compression import Content, ForwardReader, plain_name
from scoring_runtime.batch.run import run
from scoring_runtime.batch.sources import Source, kind_of
from scoring_runtime.errors import BatchInputError

SCRIPT = "def run(mini_batch):\n    return [f'{n} {x}' for n, x in zip(mini_batch['id'], mini_batch['x'])]"


def arrow(name):
    return lambda data: pyarrow.compress(data, codec=name, asbytes=True)


def zstd_frames(data: bytes) -> bytes:
    return b"".join(arrow("zstd")(part) for part in (data[:50], data[50:]))


PACK = {
    "gz": lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd_frames,
    "lz4": arrow("lz4"),
}


@pytest.mark.parametrize("ending", PACK)
def test_a_compressed_table_has_the_answers_and_places_of_the_plain_one(tmp_path, make_job, table, ending):
    path = table(300)
    plain = run(make_job(SCRIPT, mini_batch_size="20"))
    output = (tmp_path / "out" / "parallel_run_step.txt").read_bytes()
    (tmp_path / "data" / f"rows.csv.{ending}").write_bytes(PACK[ending](path.read_bytes()))
    path.unlink()
    packed = run(make_job(SCRIPT, mini_batch_size="20", processes=2), restart=True)
    assert (packed.kind, packed.items, packed.mini_batches) == ("csv", 300, plain.mini_batches)
    assert (tmp_path / "out" / "parallel_run_step.txt").read_bytes() == output


def test_compressed_json_lines_behind_a_url(tmp_path, make_job):
    lines = b"".join(b'{"id": %d, "x": %d}\n' % (n, n * 2) for n in range(50))
    url = f"file://{tmp_path}/rows.jsonl.gz"
    with fsspec.open(url, "wb") as file:
        file.write(gzip.compress(lines))
    record = run(make_job(SCRIPT, inputs=(url,), mini_batch_size="100b"))
    assert (record.items_succeeded, record.items) == (50, 50)
    assert (tmp_path / "out" / "parallel_run_step.txt").read_text().splitlines()[49] == "49 98"


def test_rows_picked_by_a_key_are_found_in_a_compressed_file(tmp_path, make_job):
    (tmp_path / "data").mkdir()
    rows = "".join(f"{'ab'[n % 2]},{n}\n" for n in range(20))
    (tmp_path / "data" / "rows.csv.gz").write_bytes(gzip.compress(f"key,n\n{rows}".encode()))
    script = "def run(mini_batch):\n    return [f'{mini_batch.key[0]} {sum(mini_batch.n)}'] * len(mini_batch)"
    run(make_job(script, partition_keys=("key",)))
    lines = (tmp_path / "out" / "parallel_run_step.txt").read_text().splitlines()
    assert lines == ["a 90"] * 10 + ["b 100"] * 10


@pytest.mark.parametrize(("ending", "kept"), [("gz", 60), ("bz2", 40), ("xz", 60), ("zst", 60)])
def test_a_file_that_is_cut_off_is_refused_with_its_name(tmp_path, make_job, ending, kept):
    (tmp_path / "data").mkdir()
    data = "id,x\n" + "".join(f"{n},{n * n}\n" for n in range(100))
    path = tmp_path / "data" / f"rows.csv.{ending}"
    path.write_bytes(PACK[ending](data.encode())[:-kept])
    with pytest.raises(BatchInputError, match=r"rows\.csv\.\w+ cannot be decompressed"):
        run(make_job(SCRIPT))


def test_ranges_are_read_forward_and_also_backward(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"0123456789"))
    reader = ForwardReader()
    assert [reader.read(str(path), *range_) for range_ in ((0, 3), (5, 2), (3, 2))] == [b"012", b"56", b"34"]
    with pytest.raises(BatchInputError, match="has become shorter"):
        reader.read(str(path), 8, 5)
    with pytest.raises(BatchInputError, match="has become shorter"):
        reader.read(str(path), 20, 5)
    reader.close()


def test_what_is_wrong_with_a_plain_file_is_not_called_compression(tmp_path):
    (tmp_path / "rows.csv").write_text("id\n")
    with Content(str(tmp_path / "rows.csv")) as content:
        content.close()
        with pytest.raises(ValueError, match="closed file"):
            content.read(1)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("a.csv.gz", "csv"), ("a.TSV.ZST", "csv"), ("a.jsonl.bz2", "jsonl"), ("a.parquet.gz", "files"), ("a.gz", "files")],
)
def test_the_ending_before_the_compressions_says_the_kind(path, kind):
    assert kind_of([Source(path, 0, "")], "auto") == kind
    assert plain_name("x/a.csv.gz") == "x/a.csv"
