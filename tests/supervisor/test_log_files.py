"""Logs that turn over, and that survive a full disk."""

from __future__ import annotations

from pathlib import Path

from scoring_runtime.supervisor.log_files import LogFiles, last_lines


def test_log_turns_over_and_keeps_a_few(tmp_path: Path) -> None:
    log = LogFiles(str(tmp_path / "log"), max_bytes=10, kept=2)
    for number in range(8):
        log.write(b"line %d\n" % number)
    log.close()

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "log": "line 7\n",
        "log.1": "line 6\n",
        "log.2": "line 5\n",
    }


def test_log_goes_on_where_it_was(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        log = LogFiles(str(tmp_path / "log"))
        log.write(text)
        log.close()

    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_full_disk_drops_lines_and_stops_nobody() -> None:
    log = LogFiles("/dev/full")
    log.write(b"lost\n")
    log.close()

    assert log.dropped == 5


def test_missing_folder_drops_lines(tmp_path: Path) -> None:
    log = LogFiles(str(tmp_path / "nowhere" / "log"))
    log.write(b"lost\n")

    assert log.dropped == 5


def test_last_lines_go_back_into_older_files(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("3\n4\n")
    (tmp_path / "log.1").write_text("1\n2\n")
    path = str(tmp_path / "log")

    assert last_lines(path, 3) == "2\n3\n4\n"
    assert last_lines(path, 1) == "4\n"
    assert last_lines(path, 9) == "1\n2\n3\n4\n"
    assert last_lines(path, 0) == ""
    assert last_lines(str(tmp_path / "none"), 5) == ""
