"""What is said about a server that would not start."""

from __future__ import annotations

import os
import sys

from scoring_runtime.supervisor.identity import identify, is_same, kill_group
from scoring_runtime.supervisor.instance import end_in_words

LOG = """\
2026-11-21 12:48:39,598 E [21798] azmlinfsrv - User's init function failed
2026-11-21 12:48:39,598 E [21798] azmlinfsrv - ScriptInitError: init() of score.py raised KeyError: 'a'.
Traceback (most recent call last):
KeyError: 'a'
Fix init(); it has to return before the service accepts requests.
2026-11-21 12:48:40,186 I [21796] gunicorn.error - Starting gunicorn 27.0.1
2026-11-21 12:48:40,186 E [21796] gunicorn.error - Worker (pid:21798) exited with code 3.
"""


def test_reason_is_the_named_error_with_its_lines() -> None:
    assert end_in_words(LOG, 3) == (
        "ScriptInitError: init() of score.py raised KeyError: 'a'.\n"
        "Traceback (most recent call last):\n"
        "KeyError: 'a'\n"
        "Fix init(); it has to return before the service accepts requests."
    )


def test_reason_of_a_server_that_could_not_even_log() -> None:
    assert end_in_words("SettingsError: WORKER_COUNT: expected a number\n", 2) == (
        "SettingsError: WORKER_COUNT: expected a number"
    )


def test_reason_without_a_named_error_is_how_it_ended_and_the_last_lines() -> None:
    assert end_in_words("a\n\nb\nc\nd\ne\nf\n", 1) == "It ended with exit code 1. It said last:\nb\nc\nd\ne\nf"
    assert end_in_words("", 1) == "It ended with exit code 1, saying nothing. See its logs."


def test_reason_of_one_that_was_killed_is_the_signal() -> None:
    assert end_in_words("ValueError: of an earlier request\n", -9) == (
        "It ended with SIGKILL. It said last:\nValueError: of an earlier request"
    )


def test_process_is_known_by_more_than_its_number() -> None:
    me = identify(os.getpid())

    assert is_same(me)
    assert not is_same({**me, "started": "1"})
    assert not is_same({**me, "boot": "another"})
    assert not is_same(None)


def test_dead_process_is_not_the_same_even_before_it_is_buried() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    was = {**identify(pid)}
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert not is_same(was)
    os.waitpid(pid, 0)
    kill_group(pid, 9)  # nobody is there, and nobody minds
