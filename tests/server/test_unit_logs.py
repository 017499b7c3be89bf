"""Access lines are never lost while somebody reads them, and never in the way when nobody does."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.errors import SettingsError
from scoring_runtime.server import logs
from scoring_runtime.settings import Settings

LINE = (0.25, "POST", "/score", 200, 1.5, 2, 2, "127.0.0.1", "1.1", "-", "agent")


@pytest.fixture
def access() -> Iterator[list[logs.AccessLog]]:
    made: list[logs.AccessLog] = []
    yield made
    for log in made:
        log.close()


def test_every_line_is_written_before_close_returns(
    capfd: pytest.CaptureFixture[str], access: list[logs.AccessLog]
) -> None:
    log = logs.AccessLog(plain=True)
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


def test_lines_beyond_the_limit_are_counted_and_said(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "PENDING_LINES", 5)
    monkeypatch.setattr(logging.getLogger("azmlinfsrv"), "propagate", True)
    log = logs.AccessLog(plain=True)
    log.pending = 6
    for _ in range(3):
        log.add(LINE)
    log.flush()
    assert (log.dropped, log.lines) == (3, [])
    log.pending = 0
    log.add(LINE)
    log.close()
    assert "3 access log lines were dropped" in caplog.text
    assert capfd.readouterr().out.count("gunicorn.access") == 1


def test_with_a_logging_json_lines_are_records(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    for name in ("azmlinfsrv", "gunicorn.access"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
        logging.getLogger(name).manager._clear_cache()  # type: ignore[attr-defined]
    log = logs.AccessLog(plain=False)
    log.add(LINE)
    log.close()
    assert "POST /score 200 1.500ms 2" in caplog.text
    assert '"POST /score HTTP/1.1" 200 2 "-" "agent"' in caplog.text


def test_a_reader_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        log = logs.AccessLog(plain=True)
        log.add(LINE)
        log.flush()
        log.add(LINE)
        log.close()
        assert (log.thread.is_alive(), log.pending) == (False, 0)


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
    import sys

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
