"""The classes that a logging.json may name."""

import logging

import pytest

from scoring_runtime.api.log_config import AMLLogFormatter, RootAccessFilter


def record(message: str) -> logging.LogRecord:
    made = logging.LogRecord("my.logger", logging.WARNING, "f.py", 1, message, None, None)
    made.created, made.msecs, made.process = 0.0, 5.0, 42
    return made


def test_a_line_has_utc_time_level_process_logger_and_message():
    assert AMLLogFormatter().format(record("hello")) == "1970-01-01 00:00:00,005 W [42] my.logger - hello"


def test_a_format_can_be_given():
    assert AMLLogFormatter("{levelname} {message}", style="{").format(record("hello")) == "WARNING hello"


@pytest.mark.parametrize(("message", "shown"), [('"GET / HTTP/1.1" 200', False), ('"GET /score HTTP/1.1" 200', True)])
def test_probes_are_not_shown(message, shown):
    assert RootAccessFilter().filter(record(message)) is shown
