"""What run() returns, or raises, and what the client gets for it."""

from __future__ import annotations

import json

import pytest

from .compare import Case, params
from .servers import SCRIPTS, service
from .wire import json_request, request

RESULTS = service("results.py")
RESPONSES = service("responses.py")


def names_in(script: str, table: str) -> list[str]:
    """The keys of a table in a script, read from its text: the script itself runs in the servers only."""
    import ast

    tree = ast.parse((SCRIPTS / script).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == table:
            assert isinstance(node.value, ast.Dict)
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise LookupError(table)


VALUES = [
    Case(f"results/{name}", json_request(json.dumps(name)), RESULTS) for name in names_in("results.py", "RESULTS")
]
OWN = [
    Case(f"responses/{name}", json_request(json.dumps(name)), RESPONSES)
    for name in names_in("responses.py", "RESPONSES")
]
WITH_HEADERS = [
    Case(
        f"responses/{name}-beside-the-client's",
        json_request(json.dumps(name), headers=[("x-ms-client-request-id", "c"), ("TraceId", "t")]),
        RESPONSES,
    )
    for name in ("own-request-id", "own-client-request-id", "own-trace-id")
]
OLD_PROTOCOL = [
    Case("results/http-1.0", request("POST", body='"dict"', version="HTTP/1.0"), RESULTS),
    Case("responses/http-1.0", request("POST", body='"status-503"', version="HTTP/1.0"), RESPONSES),
]


@pytest.mark.parametrize("case", params(VALUES + OLD_PROTOCOL[:1]))
def test_value_becomes_the_same_answer(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(OWN + WITH_HEADERS + OLD_PROTOCOL[1:]))
def test_own_response_becomes_the_same_answer(check_case, case):
    check_case(case)
