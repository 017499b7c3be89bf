"""What a script says about itself."""

from __future__ import annotations

import json

import pytest

from scoring_runtime.api import status


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "facts", {})
    monkeypatch.setattr(status, "gauges", {})
    monkeypatch.setattr(status, "listeners", [])


def test_the_last_word_under_a_name_counts_and_is_a_copy() -> None:
    words = {"bound": ["cpu"]}
    status.report_status("accelerator", {"bound": []})
    status.report_status("accelerator", words)
    words["bound"].append("later")
    status.report_gauge("share", "of  nodes\non it", 1)

    assert json.loads(status.status()) == {
        "facts": {"accelerator": {"bound": ["cpu"]}},
        "gauges": {"share": ["of nodes on it", 1.0]},
    }


def test_who_listens_hears_of_every_change() -> None:
    heard: list[str] = []
    status.on_change(lambda: heard.append(status.status()))

    status.report_status("a", 1)
    status.report_gauge("b", "help", 2)

    assert heard == ['{"facts": {"a": 1}, "gauges": {}}', '{"facts": {"a": 1}, "gauges": {"b": ["help", 2.0]}}']


@pytest.mark.parametrize("name", ["", "Upper", "a-b", "1a", "a\n"])
def test_a_gauge_needs_a_name_that_metrics_can_show(name: str) -> None:
    with pytest.raises(ValueError, match="A gauge's name"):
        status.report_gauge(name, "help", 1)


def test_what_is_not_json_is_refused_where_it_is_said() -> None:
    with pytest.raises(TypeError):
        status.report_status("a", object())
