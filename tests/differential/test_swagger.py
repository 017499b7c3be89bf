"""/swagger.json: versions, generated documents, documents of the user's own."""

from __future__ import annotations

import json

import pytest

from .compare import Case, params
from .servers import Service, service
from .wire import request

PLAIN = service("plain.py")
HEADERS = service("request_headers.py")
NAMED = service(
    "plain.py", {"SERVICE_NAME": "My Service", "SERVICE_VERSION": "7.2-b", "SERVICE_PATH_PREFIX": "/api/v1/service/x/"}
)
PREFIX_BARE = service("plain.py", {"SERVICE_PATH_PREFIX": "pre"})
PREFIX_SLASH = service("plain.py", {"SERVICE_PATH_PREFIX": "/"})
REQUIRED = service("schema_required.py")
NUMPY = service("schema_numpy.py")
PANDAS = service("schema_pandas.py")
MIXED = service("schema_mixed.py")
OUTPUT = service("schema_output_only.py")
RAW = service("rawhttp.py")


def own(**files: str) -> Service:
    return service("plain.py", files={f"{name.replace('_', '.')}.json": text for name, text in files.items()})


OWN = own(swagger='{"own": "any"}', swagger2='{"own": 2}', swagger3='{"own": 3}')
OWN_2 = own(swagger2='{"own": 2}')
OWN_31 = service("plain.py", files={"swagger3.1.json": '{"own": 3.1}'})
OWN_EMPTY = own(swagger="{}", swagger2="[]", swagger3="null")
OWN_RAW = service("rawhttp.py", files={"swagger.json": '{"b": 1, "a": {"é": [1.0, null]}}'})
OWN_LIST = own(swagger='["not", "an", "object"]')


def case(name: str, what: Service, query: str = "", *, document: bool = True) -> Case:
    return Case(f"swagger/{name}", request("GET", f"/swagger.json{query}"), what, json=document)


VERSIONS = [
    *[
        case(f"version-{name}", PLAIN, f"?version={text}")
        for name, text in [("2", "2"), ("2.0", "2.0"), ("3", "3"), ("3.0", "3.0"), ("3.1", "3.1")]
    ],
    case("default-version", PLAIN),
    case("first-of-repeated", PLAIN, "?version=3&version=2"),
    case("other-parameters", PLAIN, "?x=1&version=3"),
    *[
        case(f"refused-{name}", PLAIN, f"?version={text}", document=False)
        for name, text in [
            ("9", "9"),
            ("2.00", "2.00"),
            ("space", "%203"),
            ("empty", ""),
            ("word", "three"),
            ("3.1.0", "3.1.0"),
            ("quoted", "%222%22"),
            ("v2", "v2"),
        ]
    ],
    case("name-only-version", PLAIN, "?version", document=False),
    case("upper-case-name", PLAIN, "?Version=9"),
]

DOCUMENTS = [
    *[
        case(f"{name}-{version}", what, f"?version={version}")
        for name, what in [
            ("named", NAMED),
            ("prefix-bare", PREFIX_BARE),
            ("prefix-slash", PREFIX_SLASH),
            ("rawhttp", RAW),
            ("required", REQUIRED),
            ("numpy", NUMPY),
            ("pandas", PANDAS),
            ("output-only", OUTPUT),
        ]
        for version in ("2", "3", "3.1")
    ],
    case("request-headers-undecorated", HEADERS),
    case("mixed-list-3", MIXED, "?version=3"),
    case("mixed-list-2-is-not-supported", MIXED, document=False),
    case("mixed-list-unknown-version", MIXED, "?version=9", document=False),
]

OWN_DOCUMENTS = [
    case("own-default", OWN, document=False),
    case("own-2", OWN, "?version=2", document=False),
    case("own-2.0", OWN, "?version=2.0", document=False),
    case("own-3", OWN, "?version=3", document=False),
    case("own-3.1-is-generated", OWN, "?version=3.1"),
    case("own-swagger2-only", OWN_2, document=False),
    case("own-swagger2-only-3-is-generated", OWN_2, "?version=3"),
    case("own-3.1", OWN_31, "?version=3.1", document=False),
    case("own-3.1-only-3-is-generated", OWN_31, "?version=3"),
    case("own-empty-is-ignored-2", OWN_EMPTY),
    case("own-empty-is-ignored-3", OWN_EMPTY, "?version=3"),
    case("own-raw", OWN_RAW, document=False),
    case("own-list", OWN_LIST, document=False),
]


@pytest.mark.parametrize("case", params(VERSIONS))
def test_version_is_understood_alike(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(DOCUMENTS))
def test_document_says_the_same(check_case, case):
    check_case(case)


@pytest.mark.parametrize("case", params(OWN_DOCUMENTS))
def test_user_s_own_document_is_served_alike(check_case, case):
    check_case(case)


def test_prefix_changes_the_document_and_no_route(pairs):
    for server in pairs.get(NAMED).both:
        document = json.loads(server.ask(request("GET", "/swagger.json")).body)

        assert sorted(document["paths"]) == [f"/api/v1/service/x{path}" for path in ("/", "/score", "/swagger.json")]
        assert server.ask(request("POST", "/score")).status == 200
        assert server.ask(request("POST", "/api/v1/service/x/score")).status == 404


def test_swagger_says_which_versions_at_boot(pairs):
    for server in pairs.get(PLAIN).both:
        assert "azmlinfsrv.swagger - Swaggers are prepared for the following versions: [2, 3, 3.1]." in server.stdout
    for server in pairs.get(MIXED).both:
        assert (
            "azmlinfsrv.swagger - Swaggers are prepared for versions [3, 3.1] and skipped for versions [2]."
            in server.stdout
        )
