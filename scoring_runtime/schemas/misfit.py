"""A value that run() cannot take: what was expected, what came, and where."""

from __future__ import annotations

from collections.abc import Iterable

from scoring_runtime.errors import BadInput

__all__ = ["Misfit", "shown"]

SHOWN_CHARACTERS = 40


class Misfit(Exception):
    """Raised where the value is looked at; the path grows on the way out, so the happy path never builds one."""

    def __init__(self, expected: str, value: object, path: Iterable[object] = (), reason: object = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.came = shown(value)
        self.path = list(path)
        self.reason = str(reason)

    def under(self, key: object) -> Misfit:
        self.path.insert(0, key)
        return self

    def because(self, reason: object) -> Misfit:
        self.reason = str(reason)
        return self

    def refusal(self, parameter: str) -> BadInput:
        place = "".join(f"/{_escaped(key)}" for key in (parameter, *self.path))
        text = f"The {parameter!r} parameter: expected {self.expected} at {place}, got {self.came}."
        return BadInput(f"{text} {self.reason}" if self.reason else text)


def shown(value: object) -> str:
    """A JSON value in a few words, however large it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int):
        return "an integer of many digits" if value.bit_length() > 128 else f"the integer {value}"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) <= SHOWN_CHARACTERS else f"a string of {len(value)} characters"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)} {'item' if len(value) == 1 else 'items'}"
    if isinstance(value, dict):
        return f"an object with {len(value)} {'key' if len(value) == 1 else 'keys'}"
    return f"a {type(value).__name__}"


def _escaped(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
