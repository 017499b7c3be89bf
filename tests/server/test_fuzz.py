"""Anything that a machine can think of, against oracles: json, a parser of query strings, our own OpenAPI document."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.test_hostile import replies, talk
from tests.serving import JSON, Server, serving

ECHO = "import json\ndef init():\n    pass\ndef run(raw_data):\n    return json.loads(raw_data)\n"

RAW = """
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
def init():
    pass
@rawhttp
def run(request):
    return {"args": list(request.args.items(multi=True)), "x": request.headers.get("x-fuzz"), "path": request.path,
            "size": len(request.get_data())}
"""

SCHEMA = """
import numpy as np
import pandas as pd
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema
def init():
    pass
@input_schema("frame", PandasParameterType(pd.DataFrame({"a": [1], "b": ["x"]})))
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("factor", StandardPythonParameterType(2.0))
@output_schema(StandardPythonParameterType(1.0))
def run(frame, data, factor):
    return float(np.nansum(data)) * 0 + len(frame)
"""

bounded = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(text, tmp_path_factory.mktemp(name)))
            for name, text in {"echo": ECHO, "raw": RAW, "schema": SCHEMA}.items()
        }


def clean(server: Server) -> bool:
    return "Traceback" not in server.err() and len(server.workers()) == 1


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=30),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=30,
)


@given(value=anything, ascii=st.booleans())
@bounded
def test_json_goes_in_and_out_as_the_json_module_reads_and_writes_it(
    servers: dict[str, Server], value: Any, ascii: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        body = json.dumps(value).encode()
    answer = servers["echo"].client.post("/score", content=body, headers=JSON)
    assert answer.status_code == 200
    assert json.loads(answer.content) == (value if value is not None else {})
    assert same_floats(json.loads(answer.content), value)


def same_floats(left: Any, right: Any) -> bool:
    """To the sign of zero, which == does not see."""
    if isinstance(right, float):
        return isinstance(left, float) and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(right, list):
        return all(map(same_floats, left, right))
    if isinstance(right, dict):
        return all(same_floats(left[key], item) for key, item in right.items())
    return True


@given(data=st.binary(max_size=200))
@bounded
def test_bytes_that_are_mostly_no_json_are_never_a_server_error(servers: dict[str, Server], data: bytes) -> None:
    answer = servers["schema"].client.post("/score", content=data, headers=JSON)
    assert answer.status_code == 400
    assert "message" in answer.json()


@given(value=anything)
@bounded
def test_json_that_is_not_what_was_declared_is_400(servers: dict[str, Server], value: Any) -> None:
    body = {"frame": [{"a": 1, "b": "x"}], "data": value, "factor": 1.0}
    for changed in (value, body, {**body, "data": [[1.0, 2.0]], "frame": value}):
        answer = servers["schema"].client.post("/score", content=json.dumps(changed), headers=JSON)
        assert answer.status_code in (200, 400), (changed, answer.text)


@given(value=st.binary(max_size=100))
@bounded
def test_a_header_value_arrives_as_it_was_or_is_refused(servers: dict[str, Server], value: bytes) -> None:
    request = b"GET /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Fuzz: " + value + b"\r\n\r\n"
    for reply in replies(talk(servers["raw"], request)):
        assert reply.status in (200, 400)
        if reply.status == 200 and b"\r" not in value and b"\n" not in value:
            assert json.loads(reply.body)["x"] == value.decode("latin-1").strip(" \t")


@given(pairs=st.lists(st.tuples(st.text(max_size=10), st.text(max_size=10)), max_size=8))
@bounded
def test_a_query_is_read_as_it_was_written(servers: dict[str, Server], pairs: list[tuple[str, str]]) -> None:
    query = urlencode(pairs, errors="replace")
    [reply] = replies(talk(servers["raw"], get(query.encode())))
    assert reply.status == 200
    assert json.loads(reply.body)["args"] == grouped(pairs)


@given(data=st.binary(max_size=60))
@bounded
def test_any_percent_encoded_query_is_read_as_the_standard_library_does(
    servers: dict[str, Server], data: bytes
) -> None:
    query = quote_from_bytes(data, safe="=&+;/?")
    [reply] = replies(talk(servers["raw"], get(query.encode())))
    assert reply.status == 200
    expected = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    got = json.loads(reply.body)["args"]
    assert [len(pair) for pair in got] == [2] * len(expected)
    if not any("\udc80" <= letter <= "\udcff" for pair in expected for text in pair for letter in text):
        assert got == grouped(expected)


@given(data=st.binary(max_size=60))
@bounded
def test_any_bytes_in_the_target_are_an_answer_below_500(servers: dict[str, Server], data: bytes) -> None:
    for name in ("raw", "echo", "schema"):
        for reply in replies(talk(servers[name], get(data))):
            assert reply.status < 500
    assert clean(servers["raw"])


def grouped(pairs: list[tuple[str, str]]) -> list[list[str]]:
    """As a MultiDict has them: the values of one name together, where that name came first."""
    names = list(dict.fromkeys(name for name, _ in pairs))
    return [[name, value] for name in names for other, value in pairs if other == name]


def get(query: bytes) -> bytes:
    return b"GET /score?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % query


REQUESTS = [
    b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull",
    b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nnull\r\n0\r\nX: y\r\n\r\n",
    b"GET /score?a=1&b=%20 HTTP/1.1\r\nHost: x\r\nX-Request-Id: 1\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"OPTIONS /swagger.json?version=3 HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n\r\n",
]

mutations = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["cut", "insert", "double", "swap"]), st.binary(max_size=4)),
    min_size=1,
    max_size=5,
)


@given(request=st.sampled_from(REQUESTS), following=st.sampled_from(REQUESTS), changes=mutations)
@settings(bounded, max_examples=300)
def test_mutated_requests_are_never_a_server_error(
    servers: dict[str, Server], request: bytes, following: bytes, changes: list[tuple[int, str, bytes]]
) -> None:
    for place, how, data in changes:
        place %= len(request) + 1
        if how == "cut":
            request = request[:place] + request[place + len(data) + 1 :]
        elif how == "insert":
            request = request[:place] + data + request[place:]
        elif how == "double":
            request = request[:place] + request[max(0, place - 10) :]
        else:
            request = request[place:] + request[:place]
    received = talk(servers["raw"], request + following)
    statuses = [int(line[9:12]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert all(status < 500 for status in statuses), (request, statuses)
    assert clean(servers["raw"])


def test_our_openapi_document_describes_what_we_answer(servers: dict[str, Server]) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    server = servers["schema"]
    document = server.client.get("/swagger.json", params={"version": "3"}).json()
    document["servers"] = [{"url": server.url}]
    schema = schemathesis.openapi.from_dict(document)
    asked = []

    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(bounded, max_examples=40, suppress_health_check=list(HealthCheck))
        def conforms(case: Any) -> None:
            body = case.body if isinstance(case.body, (dict, list, str, int, float, type(None))) else None
            sent = {} if case.method.upper() == "GET" else {"content": json.dumps(body), "headers": JSON}
            answer: httpx.Response = server.client.request(case.method, case.path, **sent)  # type: ignore[arg-type]
            asked.append((case.path, answer.status_code))
            assert answer.status_code < 500
            documented = case.operation.definition.raw["responses"]
            assert str(answer.status_code) in documented or "default" in documented
            if answer.headers.get("content-type", "").startswith("application/json"):
                answer.json()

        conforms()
    assert {path for path, _ in asked} >= {"/score", "/"}
    assert 200 in {status for path, status in asked if path == "/score"}
    assert clean(server)
