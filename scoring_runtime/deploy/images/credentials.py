"""Who to be at a registry: from flags, or from where docker and podman keep their logins."""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scoring_runtime.errors import RegistryError

__all__ = ["Credentials", "find_credentials"]

HELPER_SECONDS = 30


@dataclass(frozen=True)
class Credentials:
    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # in place of a password, for an OAuth 2 token service

    def __bool__(self) -> bool:
        return bool(self.user or self.identity_token)

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credentials(registry: str, environ: Mapping[str, str] | None = None) -> Credentials:
    """Of the first login file that knows the registry; none is no error, for many images need none."""
    for path in login_files(os.environ if environ is None else environ):
        document = read(path)
        found = from_helper(document, registry) or from_auths(document.get("auths") or {}, registry)
        if found:
            return found
    return Credentials()


def login_files(environ: Mapping[str, str]) -> list[str]:
    home = environ.get("HOME", "")
    docker = environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker")
    runtime = environ.get("XDG_RUNTIME_DIR")
    podman = environ.get("REGISTRY_AUTH_FILE") or (os.path.join(runtime, "containers", "auth.json") if runtime else "")
    return [path for path in (os.path.join(docker, "config.json"), podman) if path]


def read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RegistryError(f"{path} cannot be read as a file of logins: {error}. Log in anew, or move it.") from error
    return document if isinstance(document, dict) else {}


def names_of(registry: str) -> list[str]:
    """docker files its hub under an address that is years old."""
    return [registry, *(["https://index.docker.io/v1/", "index.docker.io"] if registry == "docker.io" else [])]


def from_auths(auths: Mapping[str, Any], registry: str) -> Credentials | None:
    for name in names_of(registry):
        entry = auths.get(name) or auths.get(f"https://{name}")
        if not isinstance(entry, dict):
            continue
        if entry.get("identitytoken"):
            return Credentials(identity_token=entry["identitytoken"])
        try:
            user, _, password = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise RegistryError(f"The login for {registry} is damaged. Log in anew: docker login {registry}") from error
        if user:
            return Credentials(user, password)
    return None


def from_helper(document: Mapping[str, Any], registry: str) -> Credentials | None:
    """Programs named docker-credential-<helper>, which take the registry on stdin."""
    helpers = document.get("credHelpers") or {}
    name = next((helpers[one] for one in names_of(registry) if one in helpers), None)
    if name is None:
        auths = document.get("auths") or {}  # a store keeps an empty entry there for each login
        name = document.get("credsStore") if any(one in auths for one in names_of(registry)) else None
    if not name:
        return None
    program = f"docker-credential-{name}"
    for one in names_of(registry)[::-1]:
        try:
            done = subprocess.run(
                [program, "get"], input=one, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
            )
            answer = json.loads(done.stdout) if done.returncode == 0 else {}
        except (OSError, subprocess.TimeoutExpired, ValueError) as error:
            raise RegistryError(
                f"The login for {registry} is kept by {program}, which does not answer: {error}. "
                "Install it, or give --username and --password-stdin."
            ) from error
        if answer.get("Username") == "<token>":
            return Credentials(identity_token=answer["Secret"])
        if answer.get("Username"):
            return Credentials(answer["Username"], answer["Secret"])
    return None
