"""When two answers are the same, and what a named difference looks like."""

from __future__ import annotations

import json as jsonlib
import re
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from .servers import Pair, Server, Service, standing_in
from .wire import Answer, BrokenAnswer

# Belong to the connection, not to the answer: ours keeps connections alive, the reference closes each.
TRANSPORT = {"server", "date", "connection", "keep-alive"}

GENERATED_IDS = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")
UNSET: Any = object()


@dataclass(frozen=True)
class Case:
    """One request to one service."""

    id: str
    raw: bytes
    service: Service
    json: bool = False  # compare what the body parses to, not its bytes


def params(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.id.partition("/")[2] or case.id) for case in cases]


@dataclass(frozen=True)
class Expected:
    """What an answer must be: status, and as much of body and headers as the difference is about."""

    status: int | None  # None: the connection breaks
    body: bytes | None = None
    json: Any = UNSET
    matches: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()

    def check(self, answer: Answer | BrokenAnswer) -> None:
        if self.status is None:
            assert isinstance(answer, BrokenAnswer) or not answer.complete, answer
            return
        assert isinstance(answer, Answer), answer
        seen = (answer.status, answer.headers, answer.body[:2000])
        assert answer.status == self.status, seen
        if self.body is not None:
            assert answer.body == self.body, seen
        if self.json is not UNSET:
            assert jsonlib.loads(answer.body) == self.json, seen
        if self.matches is not None:
            assert re.search(self.matches, answer.body.decode("utf-8", "replace"), re.DOTALL), seen
        for name in {name for name, _ in self.headers}:
            assert answer.values(name) == [value for key, value in self.headers if key == name], seen
        for name in self.absent:
            assert answer.values(name) == [], seen


def message(text: str) -> dict[str, str]:
    return {"message": text}


FAILED_RUN = Expected(
    500,
    json=message("An unexpected error occurred in scoring script. Check the logs for more info."),
    headers=(("x-ms-run-function-failed", "True"),),
)
INTERNAL_ERROR = Expected(
    500,
    json=message("An unexpected internal error occurred. Check the logs for more info."),
    headers=(("x-ms-run-function-failed", "False"),),
)


@dataclass(frozen=True)
class Differs:
    """Both sides of one deliberate difference; with `rest`, whatever neither side names is the same."""

    reference: Expected
    ours: Expected
    rest: bool = False

    def without_named(self, answer: dict[str, Any]) -> dict[str, Any]:
        named = {name for name, _ in (*self.reference.headers, *self.ours.headers)}
        named |= {*self.reference.absent, *self.ours.absent}
        return {**answer, "headers": [pair for pair in answer["headers"] if pair[0] not in named]}


def is_uuid4(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4
    except ValueError:
        return False


def normal(answer: Answer, root: str, *, json: bool = False) -> dict[str, Any]:
    """An answer without what may differ: transport headers, generated ids, times, the server's own folder."""
    ids = answer.values("x-request-id")
    generated = ids[0] if ids and is_uuid4(ids[0]) else None
    headers = []
    for name, value in answer.headers:
        key = name.lower()
        if key in TRANSPORT:
            continue
        if key in GENERATED_IDS and value == generated:
            value = "<generated id>"
        if key == "x-ms-run-fn-exec-ms" and re.fullmatch(r"\d+\.\d{3}", value):
            value = "<ms>"
        if key in ("allow", "access-control-allow-methods"):
            value = ", ".join(sorted(value.split(", ")))  # the reference's order changes from start to start
        if key == "content-length" and (json or root in answer.body.decode("latin-1")):
            value = "<length>"
        headers.append((key, value))
    headers.sort(key=lambda pair: pair[0])  # stable: repeated headers keep their order
    body: Any = answer.body.replace(root.encode(), b"<root>")
    return {
        "status": answer.status,
        "headers": headers,
        "body": jsonlib.loads(body) if json and body else body,
        "complete": answer.complete,
        "interim": answer.interim,
    }


def ask(server: Server, raw: bytes) -> Answer | BrokenAnswer:
    try:
        return server.ask(raw)
    except BrokenAnswer as broken:
        return broken
    except TimeoutError:
        return BrokenAnswer("no answer in time")


def seen(answer: Answer | BrokenAnswer, server: Server, *, json: bool = False) -> Any:
    return "broken" if isinstance(answer, BrokenAnswer) else normal(answer, str(server.root), json=json)


def check(case: Case, pair: Pair, differs: Differs | None) -> None:
    """Equal answers, or the two answers that the table of improvements names."""
    reference, ours = ask(pair.reference, case.raw), ask(pair.ours, case.raw)
    if differs is not None:
        differs.reference.check(reference)
        (differs.reference if standing_in() else differs.ours).check(ours)
        if differs.rest:
            answers = [seen(ours, pair.ours, json=case.json), seen(reference, pair.reference, json=case.json)]
            assert differs.without_named(answers[0]) == differs.without_named(answers[1])
        return
    mine, theirs = seen(ours, pair.ours, json=case.json), seen(reference, pair.reference, json=case.json)
    assert mine == theirs, f"ours: {mine}\nreference: {theirs}\n{ours!r}\n{reference!r}"
