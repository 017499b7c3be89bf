"""Schema-decorated run(): content types, bodies, parameters and conversion."""

from __future__ import annotations

import pytest

from .compare import Case, params
from .servers import service
from .wire import Headers, chunked_request, json_request, request

PYTHON = service("schema_python.py")
REQUIRED = service("schema_required.py")
NUMPY = service("schema_numpy.py")
KINDS = service("schema_numpy_kinds.py")
PANDAS = service("schema_pandas.py")
ORIENTS = service("schema_pandas_orients.py")
NESTED = service("schema_nested.py")
OUTPUT = service("schema_output_only.py")
OPTIONAL = service("schema_optional.py")

AB = '{"a": 5, "b": "z"}'


def typed(name: str, kind: str | None, body: bytes | str = AB) -> Case:
    headers = [] if kind is None else [("Content-Type", kind)]
    return Case(f"schema/type-{name}", request("POST", body=body, headers=headers), REQUIRED)


def required(name: str, body: bytes | str, headers: Headers = ()) -> Case:
    return Case(f"schema/{name}", json_request(body, headers=headers), REQUIRED)


def python(name: str, body: bytes | str, headers: Headers = ()) -> Case:
    return Case(f"schema/python-{name}", json_request(body, headers=headers), PYTHON)


def numpy(name: str, body: str) -> Case:
    return Case(f"schema/numpy-{name}", json_request(body), NUMPY)


def kinds(name: str, body: str) -> Case:
    return Case(f"schema/numpy-kinds-{name}", json_request(body), KINDS)


def table(name: str, body: str) -> Case:
    return Case(f"schema/pandas-{name}", json_request(body), PANDAS)


def orient(name: str, body: str) -> Case:
    return Case(f"schema/orient-{name}", json_request(body), ORIENTS)


def get(name: str, query: str, what=REQUIRED) -> Case:
    return Case(f"schema/get-{name}", request("GET", f"/score{query}"), what)


CONTENT = [
    typed("json", "application/json"),
    typed("json-charset", "application/json; charset=utf-8"),
    typed("json-upper-case", "Application/JSON"),
    typed("plus-json", "application/vnd.api+json"),
    typed("text-plus-json", "text/x+json"),
    typed("absent", None),
    typed("text", "text/plain"),
    typed("form", "application/x-www-form-urlencoded"),
    typed("multipart", "multipart/form-data; boundary=X"),
    typed("empty", ""),
    typed("json-lookalike", "application/jsonx"),
    typed("wrong-and-empty", "text/plain", ""),
    typed("two-joined", "application/json, text/plain"),
]

BODIES = [
    required("good", AB),
    required("empty-body", ""),
    required("malformed", '{"a": 1,'),
    required("trailing-garbage", AB + "x"),
    required("leading-spaces", " \n\t" + AB + "\n"),
    required("only-spaces", "   "),
    required("single-quotes", "{'a': 1}"),
    required("trailing-comma", '{"a": 1,}'),
    required("line-and-column-in-error", '{"a": 1,\n "b": }'),
    required("bare-word", "hello"),
    required("list", "[1, 2]"),
    required("number", "5"),
    required("text", '"text"'),
    required("null", "null"),
    required("true", "true"),
    required("byte-order-mark", b"\xef\xbb\xbf" + AB.encode()),
    required("utf16", AB.encode("utf-16")),
    required("utf16-le", AB.encode("utf-16-le")),
    required("utf32", AB.encode("utf-32")),
    required("invalid-utf8", b'{"a": 1, "b": "\xff"}'),
    required("too-deep", "[" * 200_000),
    required("number-too-long", '{"a": ' + "9" * 5000 + ', "b": "x"}'),
    required("missing-first", '{"b": "z"}'),
    required("missing-second", '{"a": 5}'),
    required("missing-both", "{}"),
    required("extra-keys", '{"a": 5, "b": "z", "c": 1, "d": null}'),
    required("undeclared-parameter", '{"a": 5, "b": "z", "undeclared": [1]}'),
    required("names-are-case-sensitive", '{"A": 5, "b": "z"}'),
    required("duplicate-keys-last-wins", '{"a": 1, "a": 2, "b": "z"}'),
    required("nan-in-extra-key", '{"a": 5, "b": "z", "c": NaN}'),
    required("nan-in-undeclared", '{"a": 5, "b": "z", "undeclared": NaN}'),
    required("non-ascii-text", '{"a": 5, "b": "żółć 😀"}'),
    required("escaped-surrogate", '{"a": 5, "b": "\\ud800"}'),
    required("control-character", '{"a": 5, "b": "\x01"}'),
    Case(
        "schema/chunked",
        chunked_request([b'{"a": 5,', b' "b": "z"}'], [("Content-Type", "application/json")]),
        REQUIRED,
    ),
]

PYTHON_CASES = [
    python("all-defaults", "{}"),
    python("all-given", '{"number": 2, "ratio": 1.5, "name": "n", "flag": true, "items": [9], "mapping": {"k": 2}}'),
    python("headers", "{}", [("x-mine", "v")]),
    python("forged-headers-are-ignored", '{"request_headers": {"X-Mine": "forged"}}', [("X-Mine", "real")]),
    python("true-passes-as-int", '{"number": true}'),
    python("int-stays-int-for-float", '{"ratio": 3}'),
    python("float-for-int", '{"number": 1.5}'),
    python("text-for-int", '{"number": "5"}'),
    python("null-for-int", '{"number": null}'),
    python("int-for-text", '{"name": 5}'),
    python("int-for-bool", '{"flag": 1}'),
    python("dict-for-list", '{"items": {}}'),
    python("list-for-dict", '{"mapping": []}'),
    python("list-of-other-items", '{"items": ["a", null]}'),
    python("dict-of-other-keys", '{"mapping": {"zzz": "q"}}'),
    python("empty-containers", '{"items": [], "mapping": {}}'),
    python("base64", '{"raw": "aGVsbG8="}'),
    python("broken-base64", '{"raw": "a"}'),
    python("big-int", '{"number": 123456789012345678901234567890}'),
    python("infinite-float", '{"ratio": 1e400}'),
    Case("schema/python-nothing-optional-given", json_request('{"number": 0}'), OPTIONAL),
    Case("schema/optional-wrong-type", json_request('{"number": "x"}'), OPTIONAL),
    Case("schema/optional-falsy-passes", json_request('{"number": ""}'), OPTIONAL),
    Case("schema/optional-null", json_request('{"number": null}'), OPTIONAL),
    Case("schema/optional-empty", json_request("{}"), OPTIONAL),
    Case("schema/unconverted-passes-anything", json_request('{"number": 1, "loose": "text"}'), OPTIONAL),
]

NUMPY_CASES = [
    numpy("good", '{"data": [[1, 2, 3]]}'),
    numpy("more-rows", '{"data": [[1, 2, 3], [4.5, 5, 6]]}'),
    numpy("no-rows", '{"data": []}'),
    numpy("number-text-converts", '{"data": [["1.5", 2, 3]]}'),
    numpy("null-becomes-nan", '{"data": [[null, 2, 3]]}'),
    numpy("nan", '{"data": [[NaN, Infinity, -Infinity]]}'),
    numpy("booleans", '{"data": [[true, false, 1]]}'),
    numpy("too-few-columns", '{"data": [[1, 2]]}'),
    numpy("too-many-columns", '{"data": [[1, 2, 3, 4]]}'),
    numpy("too-few-dimensions", '{"data": [1, 2, 3]}'),
    numpy("too-many-dimensions", '{"data": [[[1, 2, 3]]]}'),
    numpy("ragged", '{"data": [[1, 2, 3], [1]]}'),
    numpy("words", '{"data": [["a", "b", "c"]]}'),
    numpy("object-instead-of-list", '{"data": {"a": 1}}'),
    numpy("number-instead-of-list", '{"data": 5}'),
    numpy("text-instead-of-list", '{"data": "abc"}'),
    numpy("null", '{"data": null}'),
    numpy("missing", "{}"),
    numpy("big-integers", '{"data": [[9007199254740993, 1e308, 5e-324]]}'),
    kinds("defaults-are-converted", "{}"),
    kinds("ints", '{"ints": [1, -2, 3]}'),
    kinds("ints-from-floats", '{"ints": [1.5, 2.0]}'),
    kinds("ints-from-booleans", '{"ints": [true]}'),
    kinds("ints-from-words", '{"ints": ["x"]}'),
    kinds("texts", '{"texts": ["hello", "é"]}'),
    kinds("texts-from-numbers", '{"texts": [1, 2]}'),
    kinds("flags", '{"flags": [true, false, 1, 0]}'),
    kinds("free-shape", '{"free": [1, 2, 3]}'),
    kinds("float32", '{"single": [0.1, 1e10]}'),
]

PANDAS_CASES = [
    table("good", '{"data": [{"a": 1, "b": "x", "c": 0.5}]}'),
    table("rows", '{"data": [{"a": 1, "b": "x", "c": 0.5}, {"a": 2, "b": "y", "c": 1}]}'),
    table("other-order", '{"data": [{"c": 0.5, "a": 1, "b": "x"}]}'),
    table("int-as-text", '{"data": [{"a": "5", "b": "x", "c": "1.5"}]}'),
    table("null-float", '{"data": [{"a": 1, "b": "x", "c": null}]}'),
    table("null-text", '{"data": [{"a": 1, "b": null, "c": 0.5}]}'),
    table("too-few-columns", '{"data": [{"a": 1}]}'),
    table("too-many-columns", '{"data": [{"a": 1, "b": "x", "c": 0.5, "d": 1}]}'),
    table("words-for-ints", '{"data": [{"a": "word", "b": "x", "c": 0.5}]}'),
    table("null-in-int-column", '{"data": [{"a": null, "b": "x", "c": 0.5}]}'),
    table("single-record", '{"data": {"a": 1, "b": "x", "c": 0.5}}'),
    table("list-of-lists", '{"data": [[1, "x", 0.5]]}'),
    table("empty-list", '{"data": []}'),
    table("number", '{"data": 5}'),
    table("text", '{"data": "x"}'),
    orient("defaults-are-converted", "{}"),
    orient("split", '{"split": {"columns": ["a", "b"], "index": [7], "data": [[1, 2]]}}'),
    orient("split-without-index", '{"split": {"columns": ["a", "b"], "data": [[1, 2]]}}'),
    orient("values", '{"values": [[1, 2], [3, 4]]}'),
    orient("index", '{"index": {"r1": {"a": 1, "b": 2}, "r2": {"a": 3, "b": 4}}}'),
    orient("columns", '{"columns": {"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}}}'),
    orient("free-shape", '{"free": [{"z": 1}]}'),
    orient("split-unknown-key", '{"split": {"rows": []}}'),
]

NESTED_CASES = [
    Case("schema/nested-good", json_request('{"Inputs": {"WebServiceInput0": [{"a": 1.5, "b": "x"}]}}'), NESTED),
    Case(
        "schema/nested-parameters",
        json_request('{"Inputs": {"WebServiceInput0": [{"a": 2, "b": "y"}]}, "GlobalParameters": 3.5}'),
        NESTED,
    ),
    Case("schema/nested-missing-table", json_request('{"Inputs": {}}'), NESTED),
    Case("schema/nested-not-a-dict", json_request('{"Inputs": [1]}'), NESTED),
    Case("schema/nested-lower-case", json_request('{"inputs": {}}'), NESTED),
    Case("schema/output-only", json_request('{"data": [1]}'), OUTPUT),
    Case("schema/output-only-wrong-type", request("POST", body="{}"), OUTPUT),
    Case("schema/output-only-missing", json_request("{}"), OUTPUT),
    Case("schema/output-only-factor", json_request('{"data": null, "factor": "x"}'), OUTPUT),
]

GET_CASES = [
    get("good", "?a=5&b=z"),
    get("missing", "?a=5"),
    get("none", ""),
    get("text-that-is-a-number", "?a=5&b=6"),
    get("quoted-number-is-text", "?a=5&b=%226%22"),
    get("extra", "?a=5&b=z&c=1"),
    get("repeated", "?a=5&b=z&undeclared=1&undeclared=x"),
    get("array-as-json", "?data=[[1,2,3]]", NUMPY),
    get("one-value-for-an-array", "?data=1", NUMPY),
    get("repeated-rows", "?data=[1,2,3]&data=[4,5,6]", NUMPY),
    get("table", "?data=[{%22a%22:1,%22b%22:%22x%22,%22c%22:2}]", PANDAS),
    get("defaults", "", PYTHON),
    Case(
        "schema/get-content-type-is-not-needed",
        request("GET", "/score?a=1&b=z", headers=[("Content-Type", "text/plain")]),
        REQUIRED,
    ),
    Case("schema/options", request("OPTIONS", "/score"), REQUIRED),
    Case("schema/head", request("HEAD", "/score?a=1&b=x"), REQUIRED),
    Case("schema/put", request("PUT", "/score", AB), REQUIRED),
]


@pytest.mark.parametrize("case", params(CONTENT + BODIES))
def test_body_is_accepted_or_refused_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(PYTHON_CASES + NESTED_CASES))
def test_values_convert_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(NUMPY_CASES))
def test_arrays_convert_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(PANDAS_CASES))
def test_tables_convert_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(GET_CASES))
def test_get_and_other_methods_alike(check_case, case):
    check_case(case)
