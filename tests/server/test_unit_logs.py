"""Access lines are never lost while somebody reads them, and never in the way when nobody does."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoring_runtime.errors import SettingsError
from scoring_runtime.server import logs, outlets
from scoring_runtime.settings import Settings
from tests.serving import until

LINE = (0.25, "POST", "/score", 200, 1.5, 2, 2, "127.0.0.1", "1.1", "-", "agent")


@pytest.fixture
def access() -> Iterator[list[outlets.AccessLog]]:
    made: list[outlets.AccessLog] = []
    yield made
    for log in made:
        log.close()


def test_every_line_is_written_before_close_returns(
    capfd: pytest.CaptureFixture[str], access: list[outlets.AccessLog]
) -> None:
    log = outlets.AccessLog(plain=True)
    for _ in range(5000):
        log.add(LINE)
        if len(log.lines) == 100:
            log.flush()
    log.close()
    out = capfd.readouterr().out.splitlines()
    assert len(out) == 10_000
    assert out[0].endswith("azmlinfsrv - POST /score 200 1.500ms 2")
    assert out[0].startswith("1970-01-01 00:00:00,250 I [")
    assert out[1].endswith(
        'gunicorn.access - 127.0.0.1 - - [01/Jan/1970:00:00:00 +0000] "POST /score HTTP/1.1" 200 2 "-" "agent"'
    )


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end to read of what is stdout now: 4 KiB, and then writing waits."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    monkeypatch.setattr(outlets, "outlets", {})
    with os.fdopen(writer, "w") as stream:
        for module in (logs, outlets):
            monkeypatch.setattr(module, "sys", SimpleNamespace(stdout=stream, stderr=stream))
        yield reader
        os.set_blocking(reader, False)
        for outlet in outlets.outlets.values():
            until(lambda outlet=outlet: (read(reader) or True) and not outlet.pending)
    os.close(reader)


def read(fd: int) -> str:
    try:
        return os.read(fd, 4096).decode()
    except BlockingIOError:
        return ""


def test_lines_beyond_the_limit_are_counted_and_said(pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "PENDING_LINES", 100)
    log = outlets.AccessLog(plain=True)

    for _ in range(203):
        log.add(LINE)
        log.flush()
    text = ""
    while "were dropped" not in text:
        text += read(pipe)
    os.set_blocking(pipe, False)  # the last line is here a moment before it counts as written
    while "gunicorn.access" not in text or log.outlet.pending:
        text += read(pipe)

    assert f"azmlinfsrv - {log.outlet.dropped} log lines were dropped" in text
    assert log.outlet.accepted + log.outlet.dropped == 203


def test_close_waits_a_second_for_a_reader_who_is_not_there(pipe: int) -> None:
    log = outlets.AccessLog(plain=True)
    for _ in range(100):
        log.add(LINE)
    start = time.monotonic()

    log.close()

    assert 0.9 < time.monotonic() - start < 2


def test_close_waits_no_second_time(pipe: int) -> None:
    log = outlets.AccessLog(plain=True)
    for _ in range(100):
        log.add(LINE)
    log.close()
    start = time.monotonic()

    log.close()

    assert time.monotonic() - start < 0.9


def test_a_slow_reader_gets_everything(pipe: int) -> None:
    log = outlets.AccessLog(plain=True)
    for _ in range(1500):
        log.add(LINE)
    os.set_blocking(pipe, False)
    closing = threading.Thread(target=log.close)
    text = ""

    closing.start()
    while closing.is_alive():
        text += read(pipe)
        time.sleep(0.03)
    text += read(pipe)

    assert text.count("\n") == 3000


def test_lines_of_one_stream_stay_in_order(pipe: int, restored: None) -> None:
    logs.set_up(Settings.load({}, {}))
    log = outlets.AccessLog(plain=True)

    for n in range(5):
        logging.getLogger("azmlinfsrv").warning("line %s", n)
        log.add(LINE)
        log.flush()
    log.close()

    found = [line.rpartition("- ")[2].split()[0] for line in os.read(pipe, 65536).decode().splitlines()]
    assert [word for word in found if word in ("line", "POST")] == ["line", "POST"] * 5


def test_a_thread_starts_with_the_first_line_and_is_none_of_the_scripts(pipe: int) -> None:
    before = threading.enumerate()
    log = outlets.AccessLog(plain=True)

    log.flush()

    assert not log.outlet.started
    log.add(LINE)
    log.close()
    assert (log.outlet.started, threading.enumerate()) == (True, before)


def test_where_no_thread_can_be_started_lines_are_written_all_the_same(
    pipe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    log = outlets.AccessLog(plain=True)

    log.add(LINE)
    log.flush()

    assert os.read(pipe, 4096).count(b"\n") == 2


def test_a_worker_writes_at_once(pipe: int) -> None:
    handler = logs.handler(logs.sys.stdout)
    record = logging.LogRecord("azmlinfsrv", logging.INFO, "", 0, "from %s", ("a worker",), None)
    pid = os.fork()
    if not pid:
        handler.emit(record)
        os._exit(len(outlets.outlets))

    assert os.waitpid(pid, 0)[1] == 0
    assert b"azmlinfsrv - from a worker\n" in os.read(pipe, 4096)


def test_a_crash_loses_no_last_words_where_somebody_reads(pipe: int, restored: None) -> None:
    pid = os.fork()
    if not pid:
        logs.set_up(Settings.load({}, {}))
        logging.getLogger("azmlinfsrv").info("last words")
        os._exit(0)

    assert os.waitpid(pid, 0)[1] == 0
    assert b"last words" in os.read(pipe, 4096)


def test_a_child_that_sets_up_logging_has_a_thread_of_its_own(pipe: int, restored: None) -> None:
    logs.set_up(Settings.load({}, {}))
    for _ in range(100):
        logging.getLogger("azmlinfsrv").info("x" * 80)  # the thread is in the middle of it
    pid = os.fork()
    if not pid:
        logs.set_up(Settings.load({}, {}))
        logging.getLogger("azmlinfsrv").info("from the new front")
        outlets.drain_all()
        os._exit(0)
    text = ""

    while "from the new front" not in text:
        text += read(pipe)

    assert os.waitpid(pid, 0)[1] == 0


def test_with_a_logging_json_lines_are_records(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    for name in ("azmlinfsrv", "gunicorn.access"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
        logging.getLogger(name).manager._clear_cache()  # type: ignore[attr-defined]
    log = outlets.AccessLog(plain=False)
    log.add(LINE)
    log.close()
    assert "POST /score 200 1.500ms 2" in caplog.text
    assert '"POST /score HTTP/1.1" 200 2 "-" "agent"' in caplog.text


def test_a_reader_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        log = outlets.AccessLog(plain=True)
        log.add(LINE)
        log.flush()
        log.add(LINE)
        log.close()
        assert log.outlet.pending == 0


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 2}', "\x00"])
def test_a_bad_logging_json_is_a_settings_error(tmp_path: Path, text: str, restored: None) -> None:
    (tmp_path / "logging.json").write_text(text)
    with pytest.raises(SettingsError, match=r"logging\.json: expected a JSON file"):
        logs.set_up(Settings.load({}, {"app_root": str(tmp_path)}))


def test_a_logging_json_beside_the_script_is_found(tmp_path: Path, restored: None) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "logging.json").write_text(json.dumps({"version": 1, "incremental": True}))
    settings = Settings.load({}, {"app_root": str(tmp_path), "entry_script": "src/score.py"})
    assert logs.find_logging_json(settings) == str(tmp_path / "src" / "logging.json")
    logs.set_up(settings)
    assert logs.find_logging_json(Settings.load({}, {"app_root": str(tmp_path)})) is None


@pytest.fixture
def restored() -> Iterator[None]:
    """The loggers as they were."""
    names = ("", "azmlinfsrv", "gunicorn.access", "gunicorn.error")
    loggers = [logging.getLogger(name) for name in names]
    before = [(log.handlers[:], log.level, log.propagate, log.filters[:]) for log in loggers]
    yield
    for log, (handlers, level, propagate, filters) in zip(loggers, before, strict=True):
        log.handlers[:], log.propagate, log.filters[:] = handlers, propagate, filters
        log.setLevel(level)


def test_print_is_a_record_unless_it_goes_elsewhere(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    monkeypatch.setattr(builtins, "print", builtins.print)
    monkeypatch.setattr(logging.getLogger("azmlinfsrv"), "propagate", True)
    logs.hook_print()
    hooked = builtins.print
    logs.hook_print()
    assert builtins.print is hooked  # once
    with caplog.at_level(logging.INFO, "azmlinfsrv.print"):
        hooked("a", 1, sep="-")
        hooked("b", "c", sep=None)
    hooked("elsewhere", file=sys.stderr)
    assert [record.getMessage() for record in caplog.records if record.name == "azmlinfsrv.print"] == ["a-1", "b c"]
    assert capsys.readouterr().err.endswith("elsewhere\n")
