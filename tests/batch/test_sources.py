"""Finding input files: folders, globs, URLs, in one order."""

from __future__ import annotations

import sys
from pathlib import Path

import fsspec
import pytest

from scoring_runtime.batch.sources import Source, download, find, kind_of, read_range, walk, without_glob
from scoring_runtime.errors import BatchInputError


@pytest.fixture
def tree(tmp_path):
    for name in ("b.csv", "a.csv", "sub/c.csv", ".hidden", "_SUCCESS", "_temporary/d.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    return tmp_path


def names(sources: list[Source]) -> list[str]:
    return [source.path.rpartition("/")[2] for source in sources]


def test_a_folder_gives_its_files_sorted_without_hidden_ones(tree):
    assert names(find([str(tree)])) == ["a.csv", "b.csv", "c.csv"]


def test_a_file_named_twice_is_there_once_and_patterns_keep_their_order(tree):
    assert names(find([str(tree / "b.csv"), str(tree / "*.csv")])) == ["b.csv", "a.csv"]
    assert names(find([str(tree / "**/c.csv")])) == ["c.csv"]


def test_a_pattern_without_files_is_an_error(tree):
    with pytest.raises(BatchInputError, match=r"No input file matches '.*nothing\*'"):
        find([str(tree / "nothing*")])


@pytest.mark.parametrize(
    ("paths", "asked", "kind"),
    [
        (["a.csv", "b.TSV"], "auto", "csv"),
        (["a.ndjson"], "auto", "jsonl"),
        (["a.csv", "b.parquet"], "auto", "files"),
        (["a.png"], "auto", "files"),
        (["a.csv"], "files", "files"),
    ],
)
def test_the_kind_is_what_all_names_say(paths, asked, kind):
    assert kind_of([Source(path, 0, "") for path in paths], asked) == kind


def test_urls_go_through_fsspec(tmp_path):
    memory = fsspec.filesystem("memory")
    for name in ("x/2.csv", "x/1.csv"):
        memory.pipe(f"/in/{name}", b"0123456789")
    sources = find(["memory://in/x"])
    assert names(sources) == ["1.csv", "2.csv"]
    assert sources[0].size == 10
    assert sources[0].stamp
    assert read_range(sources[0].path, 2, 3) == b"234"
    copy = download(sources[0].path, str(tmp_path))
    assert Path(copy).read_bytes() == b"0123456789"
    assert names(find(["memory://in/x/*.csv"])) == ["1.csv", "2.csv"]


def test_an_unknown_protocol_and_a_missing_fsspec_say_what_to_do(monkeypatch):
    with pytest.raises(BatchInputError, match="cannot be opened"):
        find(["nosuch://a"])
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(BatchInputError, match="pip install 'scoring-runtime\\[batch-remote\\]'"):
        find(["memory://a"])


def test_a_file_that_became_shorter_is_noticed(tree):
    with pytest.raises(BatchInputError, match="has become shorter"):
        read_range(str(tree / "a.csv"), 0, 2)


def test_a_link_to_nothing_and_an_unreadable_folder_are_named(tree):
    with pytest.raises(BatchInputError, match=r"The folder .*nowhere cannot be read: No such file"):
        list(walk(str(tree / "nowhere")))
    (tree / "link.csv").symlink_to(tree / "nowhere")
    with pytest.raises(BatchInputError, match=r"link.csv cannot be read: No such file"):
        find([str(tree)])


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [("a/b", "a/b"), ("a/*.csv", "a"), ("*.csv", "."), ("/*/b", "/"), ("s3://b/x/**/c", "s3://b/x")],
)
def test_the_folder_that_a_pattern_looks_into(pattern, folder):
    assert without_glob(pattern) == folder
