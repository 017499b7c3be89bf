"""The table of improvements: every row is shown by cases, and by none that no longer exist."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from .compare import Case
from .improvements import IMPROVEMENTS, differences


def all_cases() -> dict[str, Case]:
    """Every case of every module here, by its id."""
    found: dict[str, Case] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f".{path.stem}", __package__)
        for value in vars(module).values():
            for case in value if isinstance(value, list) else ():
                if isinstance(case, Case):
                    assert found.setdefault(case.id, case) == case, f"two cases are called {case.id}"
    return found


def test_there_are_more_than_enough_cases():
    assert len(all_cases()) > 260


def test_every_named_case_exists():
    assert set(differences()) - set(all_cases()) == set()


def test_no_case_is_named_twice():
    names = [case for row in IMPROVEMENTS for case in row.cases]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("row", IMPROVEMENTS, ids=lambda row: row.name)
def test_row_is_shown_and_said(row):
    assert row.cases
    assert row.sentence.endswith(".")
    assert all(case.reference != case.ours for case in row.cases.values()) or row.name == "cors-origins"
