"""Signals by name, those without one included."""

from __future__ import annotations

import signal

import pytest

from scoring_runtime.signals import signal_name


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (15, "SIGTERM"),
        (int(signal.SIGRTMIN), "SIGRTMIN"),
        (signal.SIGRTMIN + 7, "SIGRTMIN+7"),
        (int(signal.SIGRTMAX), "SIGRTMAX"),
        (33, "signal 33"),
    ],
)
def test_every_signal_can_be_named(number: int, name: str) -> None:
    assert signal_name(number) == name
