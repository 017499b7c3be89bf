"""The json.loads that scripts get: what the standard library's gives, whatever the document."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring_runtime.api.json_loads import faster, shallow

loads = faster(json.loads)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=40,
)
DIGITS = st.text("0123456789", min_size=1, max_size=25)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "+", "0"]),
    DIGITS,
    st.sampled_from(["", "."]) | DIGITS.map(".{}".format),
    st.sampled_from(["", "e", "E+"]) | st.integers(-400, 400).map("e{}".format),
)
PIECES = st.sampled_from(["[", "]", "{", "}", ",", ":", '"', '"a"', "\\ud83d", "\\u0000", "NaN", "null", " ", "\ufeff"])


def outcome(read: Any, document: Any) -> tuple[str, object]:
    """The value with all types told apart (and NaN equal to itself), or the error with its text and position."""
    try:
        return "value", exact(read(document))
    except Exception as error:
        return type(error).__name__, (str(error), getattr(error, "pos", None), repr(error.__context__))


def exact(value: Any) -> object:
    if isinstance(value, float):
        return "float", struct.pack("d", value)
    if isinstance(value, list):
        return "list", [exact(item) for item in value]
    if isinstance(value, dict):
        return "dict", [(key, exact(item)) for key, item in value.items()]
    return type(value).__name__, value


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_json_writes_is_read_the_same(value: object, ascii: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    assert outcome(loads, text) == outcome(json.loads, text)


@given(NUMBERS, st.sampled_from(["{}", "[{}]", " {}", '{{"a":{}}}', '"{}"', "[1,{}]", "[-{}]"]))
@example("9223372036854775808", "[-{}]")
@example("9223372036854775809", "[-{}]")
@example("18446744073709551616", "{}")
@example("18446744073709551616", "{}.0")
@example("1797693134862315" + "9" * 293, "{}")
@example("1e400", "{}")
@example("0", "-{}")
@example("0.1234567890123456789012345", "[{}]")
def test_a_number_is_read_the_same_or_refused_the_same(number: str, around: str) -> None:
    text = around.format(number)
    assert outcome(loads, text) == outcome(json.loads, text)
    assert outcome(loads, text.encode()) == outcome(json.loads, text.encode())


@given(st.lists(PIECES | NUMBERS, max_size=8).map("".join))
@example('{"a": 1, "b": 2, "a": 3}')
@example('"\\ud800"')
@example('"\ud800"')
@example("\ufeff1")
@example('"tab\there"')
@example("")
def test_text_that_may_be_no_json_is_read_the_same_or_refused_the_same(text: str) -> None:
    assert outcome(loads, text) == outcome(json.loads, text)


@pytest.mark.parametrize(
    "document",
    [
        '{"é": 1}'.encode("utf-16"),
        '{"é": 1}'.encode("utf-32-le"),
        '{"é": 1}'.encode("utf-8-sig"),
        b'"\xff"',
        b"",
        bytearray(b"[1]"),
        memoryview(b"[1]"),
        None,
        5,
        type("Text", (str,), {})("[1]"),
        "[" * 100_000,
    ],
    ids=lambda document: type(document).__name__,
)
def test_other_kinds_of_documents_are_read_the_same(document: object) -> None:
    assert outcome(loads, document) == outcome(json.loads, document)


@pytest.mark.parametrize("depth", [600, 800, 1_010, 1_023, 10_000])
@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_nesting_has_the_limit_that_it_has_without_us(depth: int, opening: str, closing: str) -> None:
    document = opening * depth + "1" + closing * depth
    kinds = []
    for read in (loads, json.loads):
        try:
            read(document)
        except RecursionError as error:
            kinds.append(str(error))
        else:
            kinds.append("read")
    assert kinds[0] == kinds[1]


def test_many_rows_are_not_deep() -> None:
    rows = [{"a": [1, 2], "b": "}]"}] * 1000
    assert loads(json.dumps(rows)) == rows
    assert shallow(json.dumps([[1.5, 2]] * 1000).encode())
    assert not shallow(b"[" * 600 + b"]" * 600)


def test_whoever_says_more_than_the_document_gets_the_original() -> None:
    assert repr(loads("[1.10]", parse_float=str)) == "['1.10']"
    assert loads('{"a": 1}', object_pairs_hook=list) == [("a", 1)]
    with pytest.raises(TypeError):
        loads("[1]", no_such_thing=1)
    with pytest.raises(TypeError):
        loads()


def test_it_looks_like_the_original() -> None:
    assert (loads.__name__, loads.__module__, loads.__doc__) == ("loads", "json", json.loads.__doc__)
