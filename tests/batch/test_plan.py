"""Mini-batches: grouped by count, by bytes, or by keys; with identities that follow the input."""

from __future__ import annotations

import os

import pandas
import pytest

from scoring_runtime.batch.plan import MiniBatch, Plan
from scoring_runtime.batch.tables import TableReader
from scoring_runtime.errors import BatchInputError

SCRIPT = "def run(mini_batch):\n    return mini_batch"


@pytest.fixture
def plan_of(tmp_path):
    def make(job):
        folder = tmp_path / "plan"
        folder.mkdir(exist_ok=True)
        return Plan.load_or_make(job, str(folder))

    return make


def names(batch: MiniBatch) -> list[str]:
    return [os.path.basename(piece.path) for piece in batch.pieces]


def test_files_are_grouped_by_count_or_by_bytes(make_job, files, plan_of, tmp_path):
    files(5)  # of 9 bytes each
    by_bytes = plan_of(make_job(SCRIPT, mini_batch_size="20b"))
    assert [names(batch) for batch in by_bytes] == [["000.txt", "001.txt"], ["002.txt", "003.txt"], ["004.txt"]]
    assert (by_bytes.batches, by_bytes.items, by_bytes.files, by_bytes.input_bytes) == (3, 5, 5, 45)


def test_a_file_larger_than_the_size_is_a_mini_batch_of_its_own(make_job, files, plan_of):
    files(2)
    assert [len(batch.pieces) for batch in plan_of(make_job(SCRIPT, mini_batch_size="1b"))] == [1, 1]


def test_the_plan_is_found_again(make_job, files, plan_of):
    files(3)
    job = make_job(SCRIPT, mini_batch_size="2")
    assert list(plan_of(job)) == list(plan_of(job))


def test_identities_are_of_the_input_and_of_what_is_done_with_it(make_job, files, plan_of, tmp_path):
    paths = files(2)

    def identities(script: str) -> list[str]:
        result = [batch.identity for batch in plan_of(make_job(script, mini_batch_size="1"))]
        os.unlink(tmp_path / "plan" / "plan.json")
        return result

    first = identities(SCRIPT)
    assert identities(SCRIPT) == first
    assert not set(identities(SCRIPT + "[:]")) & set(first)
    paths[1].write_text("changed")
    assert not set(identities(SCRIPT)) & set(first)


def test_partition_keys_in_columns_give_one_mini_batch_for_each_combination(make_job, plan_of, tmp_path):
    (tmp_path / "data").mkdir()
    table = pandas.DataFrame({"shop": list("abab") * 3, "day": [1, 1, 2, 2] * 3, "n": range(12)})
    table[:7].to_csv(tmp_path / "data" / "1.csv", index=False)
    table[7:].to_csv(tmp_path / "data" / "2.csv", index=False)
    plan = plan_of(make_job(SCRIPT, partition_keys=("shop", "day")))
    read = [TableReader("csv").read(batch.pieces)["n"].tolist() for batch in plan]
    assert read == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert plan.items == 12


def test_a_key_is_the_same_where_another_row_has_none(make_job, plan_of, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.csv").write_text("shop\n1\n2\n1\n")
    (tmp_path / "data" / "2.csv").write_text("shop,n\n1,1\n,2\n2,3\n")
    plan = plan_of(make_job(SCRIPT, partition_keys=("shop",)))
    assert [batch.items for batch in plan] == [3, 2, 1]


def test_partition_keys_in_paths_need_no_reading(make_job, plan_of, tmp_path):
    for shop in "ab":
        folder = tmp_path / "data" / f"shop={shop}"
        folder.mkdir(parents=True)
        for n in range(2):
            (folder / f"{n}.csv").write_text("x\n1\n2\n")
    tables = plan_of(make_job(SCRIPT, partition_keys=("shop",)))
    assert [(batch.items, names(batch)) for batch in tables] == [(4, ["0.csv", "1.csv"])] * 2
    os.unlink(tmp_path / "plan" / "plan.json")
    as_files = plan_of(make_job(SCRIPT, partition_keys=("shop",), input_format="files"))
    assert [batch.items for batch in as_files] == [2, 2]


def test_an_unknown_partition_key_is_named(make_job, table, plan_of):
    table(3)
    with pytest.raises(BatchInputError, match="expected the columns nosuch"):
        plan_of(make_job(SCRIPT, partition_keys=("nosuch",)))


def test_a_missing_script_is_named(make_job, files, plan_of):
    files(1)
    job = make_job(SCRIPT)
    os.unlink(job.script)
    with pytest.raises(BatchInputError, match=r"score\.py cannot be read"):
        plan_of(job)


def test_a_header_for_what_has_none_is_refused(tmp_path, make_job, files):
    files(1)
    with pytest.raises(BatchInputError, match="--header is for CSV files, these are files"):
        Plan.load_or_make(make_job("", header=("none",)), str(tmp_path))
