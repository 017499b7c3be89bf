"""Names of images, and the logins for where they are."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from scoring_runtime.deploy.images.credentials import Credentials, find_credentials
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.errors import RegistryError

HEX = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("team/image", "docker.io/team/image:latest"),
        ("docker://127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
        ("localhost/a", "localhost/a:latest"),
        (f"example.com/a@{HEX}", f"example.com/a@{HEX}"),
        (f"example.com/a:1@{HEX}", f"example.com/a:1@{HEX}"),
    ],
)
def test_names_are_read_as_everywhere(text: str, whole: str) -> None:
    assert str(Reference.parse(text)) == whole


@pytest.mark.parametrize("text", ["Upper/case", "example.com/", "a:b:c", "a@sha256:1", "a:-x", ""])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="is not the name of an image in a registry"):
        Reference.parse(text)


def test_loopback_is_known() -> None:
    texts = ["127.0.0.1:5000/a", "localhost:1/a", "[::1]:5000/a", "example.com/a", "10.0.0.1:80/a"]

    assert [Reference.parse(text).is_loopback for text in texts] == [True, True, True, False, False]


def test_docker_hub_is_served_by_another_host() -> None:
    assert Reference.parse("python").host == "registry-1.docker.io"


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_login_of_docker_is_found_before_that_of_podman(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"a.example": auth("ada", "x:y")}}))
    (tmp_path / "auth.json").write_text(
        json.dumps({"auths": {"a.example": auth("no", "no"), "b.example": auth("bob", "z")}})
    )
    environ = {"DOCKER_CONFIG": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}

    assert find_credentials("a.example", environ) == Credentials("ada", "x:y")
    assert find_credentials("b.example", environ) == Credentials("bob", "z")
    assert not find_credentials("c.example", environ)


def test_hub_and_identity_tokens(tmp_path: Path) -> None:
    auths = {"https://index.docker.io/v1/": auth("ada", "pw"), "t.example": {"identitytoken": "tok"}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    environ = {"DOCKER_CONFIG": str(tmp_path)}

    assert find_credentials("docker.io", environ) == Credentials("ada", "pw")
    assert find_credentials("t.example", environ) == Credentials(identity_token="tok")


def test_no_password_shows_in_repr() -> None:
    shown = repr(Credentials("ada", "hidden-1", "hidden-2"))

    assert "hidden" not in shown
    assert "ada" in shown


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "cannot be read as a file of logins"), ('{"auths": {"a.example": {"auth": "!"}}}', "is damaged")],
)
def test_damaged_logins_are_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(RegistryError, match=reason):
        find_credentials("a.example", {"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    "config", [{"credHelpers": {"a.example": "test"}}, {"credsStore": "test", "auths": {"a.example": {}}}]
)
def test_a_helper_program_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object]) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text('#!/bin/sh\nread name\nprintf \'{"Username": "ada", "Secret": "%s"}\' "$name"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert find_credentials("a.example", {"DOCKER_CONFIG": str(tmp_path)}) == Credentials("ada", "a.example")


def test_a_helper_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"credHelpers": {"a.example": "nowhere"}}')

    with pytest.raises(RegistryError, match="kept by docker-credential-nowhere, which does not answer"):
        find_credentials("a.example", {"DOCKER_CONFIG": str(tmp_path)})
