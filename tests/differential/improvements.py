"""Every deliberate difference between ours and the reference: one row each, with both answers.

A case that is named here is checked against its two columns; any other case must be answered alike. The names of
the rows are those that docs/compatibility.md lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from .compare import FAILED_RUN, INTERNAL_ERROR, Differs, Expected, message

HTML_500 = Expected(500, matches="<title>Internal Server Error</title>", headers=(("content-type", "text/html"),))
HTML_400 = Expected(400, matches="<title>Bad Request</title>", headers=(("content-type", "text/html"),))
JSON_400 = Expected(400, matches=r'^\{"message": ".+"\}$', headers=(("content-type", "application/json"),))
BROKEN = Expected(None)


# The cases that ask for health and get it.
HEALTH = (
    *(
        f"routing/{name}"
        for name in (
            "health",
            "health-query",
            "health-with-body",
            "double-slash-health",
            "absolute-form-health",
            "head-health",
            "if-none-match-is-ignored",
            "if-modified-since-is-ignored",
            "accept-is-ignored",
        )
    ),
    "cors/one-health",
    "identifiers/health-given",
    "identifiers/health-head-given",
)


@dataclass(frozen=True)
class Improvement:
    """A difference that users are better off with, and the cases that show it."""

    name: str
    sentence: str
    cases: Mapping[str, Differs]


def encoded(**values: Any) -> dict[str, Differs]:
    """Results that the reference cannot encode, and what they become."""
    return {
        f"results/{name.replace('_', '-')}": Differs(INTERNAL_ERROR, Expected(200, json=value))
        for name, value in values.items()
    }


def refused(prefix: str, texts: Mapping[str, str], reference: Expected = FAILED_RUN) -> dict[str, Differs]:
    """Bodies that become a 400 whose message matches, where the reference answers 500."""
    ours = {
        name: Expected(400, matches=text, headers=(("x-ms-run-function-failed", "False"),))
        for name, text in texts.items()
    }
    return {f"{prefix}{name}": Differs(reference, expected) for name, expected in ours.items()}


def valued(prefix: str, **pairs: tuple[Any, Any]) -> dict[str, Differs]:
    """200 on both sides, with two different JSON values (as text: NaN is one of them)."""
    return {
        f"{prefix}{name.replace('_', '-')}": Differs(
            Expected(200, body=theirs.encode()), Expected(200, body=ours.encode())
        )
        for name, (theirs, ours) in pairs.items()
    }


def origin(reference: str | None, ours: str | None, *, vary: tuple[bool, bool] = (False, False)) -> Differs:
    sides = []
    for value, varies in zip((reference, ours), vary, strict=True):
        headers = tuple(
            pair
            for pair in (("access-control-allow-origin", value), ("vary", "Origin" if varies else None))
            if pair[1] is not None
        )
        absent = ("access-control-allow-origin",) if value is None else ()
        sides.append(Expected(200, headers=headers, absent=absent))  # type: ignore[arg-type]
    return Differs(*sides)


def handed_on(text: str) -> Differs:
    return Differs(Expected(200, json={"type": "str", "value": ""}), Expected(200, json={"type": "str", "value": text}))


IMPROVEMENTS: tuple[Improvement, ...] = (
    Improvement(
        "results-encoded",
        "numpy, pandas, datetime, bytes (base64), dataclass and the like are encoded, not refused.",
        encoded(
            ndarray=[1.5, 2.5],
            ndarray_2d=[[0, 1], [2, 3]],
            ndarray_inside={"result": [1, 2]},
            ndarray_bool=[True, False],
            ndarray_0d=3,
            numpy_int64=7,
            numpy_float32=0.5,
            numpy_bool=True,
            numpy_int_inside={"n": 5},
            data_frame=[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
            data_series=[1, 2, 3],
            datetime="2024-01-02T03:04:05",
            date="2024-01-02",
            bytes="YWJj",
            bytearray="YWJj",
            dataclass={"x": 1, "name": "p"},
            dataclass_inside=[{"x": 1, "name": "p"}],
            set=[1],
            enum="red",
            decimal="1.5",
            uuid="00000000-0000-0000-0000-000000000001",
        ),
    ),
    Improvement(
        "coroutines-awaited",
        "A run() that returns a coroutine is awaited, one that is a generator is streamed.",
        {
            "results/coroutine": Differs(INTERNAL_ERROR, Expected(200, json={"awaited": True})),
            "results/generator": Differs(
                INTERNAL_ERROR, Expected(200, body=b"ab", headers=(("transfer-encoding", "chunked"),))
            ),
        },
    ),
    Improvement(
        "nan-is-null",
        "NaN and Infinity are no JSON: they become null, with one warning a process, unless SCORING_ALLOW_NAN=true.",
        valued("results/", nan=("NaN", "null"), infinities=("[Infinity, -Infinity, 1.5]", "[null, null, 1.5]"))
        | valued("results/", nan_inside=('{"a": NaN, "b": 1}', '{"a": null, "b": 1}'), numpy_nan=("NaN", "null"))
        | valued("responses/", json_nan=("NaN", "null"))
        | valued("rawhttp/", json_nan=("[NaN]", "[null]"))
        | valued("schema/", nan_in_undeclared=('[5, "z", NaN]', '[5, "z", null]'))
        | {
            "schema/python-infinite-float": Differs(
                Expected(200, matches='"ratio": Infinity'), Expected(200, matches='"ratio": null')
            )
        },
    ),
    Improvement(
        "own-timeout-error",
        "A TimeoutError that the script raises itself is a failed run, not the scoring deadline.",
        {
            f"results/raises-timeout-{name}": Differs(
                Expected(500, json=message("Scoring timeout after 3600000 ms")), FAILED_RUN
            )
            for name in ("error", "subclass")
        }
        | {
            "timeouts/own-timeout-error": Differs(
                Expected(500, json=message("Scoring timeout after 200 ms")), FAILED_RUN
            ),
            "timeouts/own-timeout-error-without-limit": Differs(
                Expected(500, json=message("Scoring timeout after 0 ms")), FAILED_RUN
            ),
        },
    ),
    Improvement(
        "swallowed-timeout",
        "A script that swallows the deadline's exception still times out for its caller.",
        {
            "timeouts/swallowed": Differs(
                Expected(200, json="swallowed TimeoutError"),
                Expected(
                    500,
                    json=message("Scoring timeout after 200 ms"),
                    headers=(("x-ms-run-function-failed", "True"),),
                ),
            )
        },
    ),
    Improvement(
        "base-exceptions",
        "SystemExit, KeyboardInterrupt and their kind in run() are a JSON 500, and the worker lives.",
        {
            f"lifecycle/{name}": Differs(HTML_500, FAILED_RUN)
            for name in ("exit", "exit-0", "interrupt", "base", "generator-exit")
        },
    ),
    Improvement(
        "forms-as-sent",
        "A form-encoded body reaches an undecorated run() as it was sent.",
        {
            "plain/form-body": handed_on("a=1&b=2"),
            "plain/form-body-json-in-it": handed_on('{"data": [1]}'),
            "plain/multipart-body": handed_on(
                '--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--XX--\r\n'
            ),
        },
    ),
    Improvement(
        "real-requests",
        "isinstance(request, AMLRequest) is true.",
        {
            "rawhttp/isinstance": Differs(Expected(200, json=False), Expected(200, json=True)),
        },
    ),
    Improvement(
        "rawhttp-marks-a-function",
        "@rawhttp on a helper does not change how run() is called.",
        {
            "loading/rawhttp-on-a-helper": Differs(Expected(200, json="LocalProxy"), Expected(200, json="str")),
        },
    ),
    Improvement(
        "health-is-text",
        "The health answer is text/plain, as Swagger and probes expect.",
        {
            name: Differs(
                Expected(200, headers=(("content-type", "text/html; charset=utf-8"),)),
                Expected(200, headers=(("content-type", "text/plain; charset=utf-8"),)),
                rest=True,
            )
            for name in HEALTH
        },
    ),
    Improvement(
        "response-messages",
        "AMLResponse writes a dict as JSON and bytes-like as bytes; other iterables are a failed run.",
        {
            "responses/iterable-dict": Differs(Expected(200, body=b"ab"), Expected(200, json={"a": 1, "b": 2})),
            "responses/iterable-bytearray": Differs(BROKEN, Expected(200, body=b"abc")),
            "responses/iterable-list-of-text": Differs(Expected(200, body=b"ab"), FAILED_RUN),
            "responses/iterable-tuple": Differs(Expected(200, body=b"ab"), FAILED_RUN),
            "responses/integer-message": Differs(HTML_500, FAILED_RUN),
            "responses/json-bytes": Differs(FAILED_RUN, Expected(200, json="YWJj")),
            "responses/json-unserialisable": Differs(FAILED_RUN, Expected(200, json=[1, 2])),
        },
    ),
    Improvement(
        "one-content-type",
        "A Content-Type of the script's own replaces the default, however it is spelled.",
        {
            f"responses/content-type-{name}": Differs(
                Expected(200, headers=(("content-type", default), ("content-type", own))),
                Expected(200, headers=(("content-type", own),)),
            )
            for name, default, own in (
                ("lower-case", "text/html; charset=utf-8", "text/csv"),
                ("with-json", "application/json", "application/problem+json"),
                ("with-none", "application/json", "text/csv"),
            )
        },
    ),
    Improvement(
        "broken-first-piece",
        "A generator that fails before its first piece is a plain 500.",
        {"streaming/breaks-at-once": Differs(HTML_500, FAILED_RUN)},
    ),
    Improvement(
        "unreadable-bodies",
        "A body that is no UTF-8, too deep or holds too long a number is the client's error.",
        refused("schema/", {"invalid-utf8": "UTF-8|utf-8", "too-deep": "", "number-too-long": ""}, INTERNAL_ERROR),
    ),
    Improvement(
        "conversion-errors",
        "A value that a schema cannot take is a 400 that names the parameter, what was expected and what came.",
        refused(
            "schema/python-",
            {
                "float-for-int": "number.*1.5",
                "text-for-int": "number.*str",
                "null-for-int": "number.*(null|None)",
                "int-for-text": "name.*int",
                "int-for-bool": "flag.*int",
                "dict-for-list": "items",
                "list-for-dict": "mapping",
                "broken-base64": "raw",
            },
        )
        | refused(
            "schema/numpy-",
            dict.fromkeys(
                (
                    "no-rows",
                    "too-few-columns",
                    "too-many-columns",
                    "too-few-dimensions",
                    "too-many-dimensions",
                    "ragged",
                    "words",
                    "object-instead-of-list",
                    "number-instead-of-list",
                    "text-instead-of-list",
                    "null",
                ),
                "data",
            )
            | {"kinds-ints-from-words": "ints"},
        )
        | refused(
            "schema/",
            {
                "pandas-too-few-columns": "data",
                "pandas-too-many-columns": "data",
                "pandas-words-for-ints": "data",
                "pandas-null-in-int-column": "data",
                "pandas-empty-list": "data",
                "pandas-number": "data",
                "pandas-text": "data",
                "orient-split-unknown-key": "split",
                "nested-not-a-dict": "Inputs",
                "optional-wrong-type": "number",
                "get-text-that-is-a-number": "b",
                "get-one-value-for-an-array": "data",
            },
        ),
    ),
    Improvement(
        "table-of-one-record",
        "A table in the records orient may be one record without its list.",
        {
            "schema/pandas-single-record": Differs(
                FAILED_RUN,
                Expected(200, matches=r"\[\[1, 'x', 0.5\]\]", headers=(("content-type", "application/json"),)),
            )
        },
    ),
    Improvement(
        "protocol-errors",
        "What is no HTTP is refused in JSON, and a request without Host or with a broken chunk is the client's error.",
        {
            "routing/bad-chunk-size": Differs(INTERNAL_ERROR, JSON_400),
            "routing/http-1.1-without-host": Differs(Expected(200), JSON_400),
            **{
                f"routing/{name}": Differs(HTML_400, JSON_400)
                for name in (
                    "not-http",
                    "percent-encoded-slash",
                    "bad-content-length",
                    "negative-content-length",
                    "header-without-colon",
                    "unknown-version",
                )
            },
            "plain/headers-chunked": Differs(HTML_400, JSON_400),
        },
    ),
    Improvement(
        "wider-limits",
        "Request lines and headers longer than the reference takes are served.",
        {
            "plain/query-very-long-integer": Differs(
                Expected(414), Expected(200, json={"type": "str", "value": '{"a": "' + "9" * 4400 + '"}'})
            )
        },
    ),
    Improvement(
        "cors-origins",
        "Without an Origin no origin is named; for * the answer is a plain *.",
        {
            "cors/one-no-origin": origin("http://a.test", None),
            "cors/one-empty-origin": origin("http://a.test", None),
            "cors/list-no-origin": origin("http://B.test", None, vary=(True, False)),
            "cors/star": origin("http://a.test", "*", vary=(True, False)),
            "cors/star-null": origin("null", "*", vary=(True, False)),
            "cors/preflight-star": origin("http://a.test", "*", vary=(True, False)),
            "cors/preflight-no-origin": origin("http://a.test", None),
            "settings/config-under-a-flag-swagger": origin("http://flag.test", None),
        },
    ),
    Improvement(
        "config-file-origins",
        "AML_CORS_ORIGINS counts in config.json too: the reference reads no AML_ key from the file.",
        {
            f"settings/config-{name}-cors": Differs(
                Expected(200, absent=("access-control-allow-origin",)),
                Expected(200, headers=(("access-control-allow-origin", "http://file.test"),)),
                rest=True,
            )
            for name in ("in-app-root", "by-flag", "by-variable", "beside-script", "names-the-script")
        },
    ),
    Improvement(
        "imports",
        "The old import paths work in every form, with no Azure package installed.",
        {
            f"imports/{name}": Differs(Expected(200, json="ModuleNotFoundError"), Expected(200, json="imported"))
            for name in ("contrib-module", "contrib-rawhttp", "model", "core-model", "monitoring", "monitoring-v2")
        },
    ),
)


@cache
def differences() -> dict[str, Differs]:
    return {case: differs for row in IMPROVEMENTS for case, differs in row.cases.items()}
