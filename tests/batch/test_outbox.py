"""Results gather while the disk is busy, up to a number and a size."""

from __future__ import annotations

import threading

from scoring_runtime.batch import outbox
from scoring_runtime.batch.commits import Commit
from scoring_runtime.batch.outbox import Outbox
from scoring_runtime.batch.scorer import Scored
from tests.serving import until


def scored(index: int, payload: bytes = b"x") -> Scored:
    return Scored(Commit(index, f"id{index}", 1, 1), payload)


def test_what_has_gathered_is_taken_together_and_after_the_end_nothing():
    box = Outbox()
    for n in range(3):
        box.put(scored(n))
    box.close()
    assert [each.commit.index for each in box.take()] == [0, 1, 2]
    assert box.take() == []


def test_a_full_box_makes_the_runner_wait(monkeypatch):
    monkeypatch.setattr(outbox, "MOST", 2)
    monkeypatch.setattr(outbox, "MOST_BYTES", 10)
    box = Outbox()
    for first, more in ((b"x" * 99, b"x"), (b"x", b"x" * 10)):
        box.put(scored(0, first))
        thread = threading.Thread(target=box.put, args=[scored(1, more)])
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait for room"
        assert [each.commit.index for each in box.take()] == [0]
        thread.join(10)
        assert [each.commit.index for each in box.take()] == [1]


def test_the_committer_is_woken_by_the_first_result():
    box = Outbox()
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.extend(each.commit.index for each in box.take()))
    thread.start()
    box.put(scored(7))
    until(lambda: taken == [7])
    thread.join(10)
