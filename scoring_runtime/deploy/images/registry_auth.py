"""How a registry lets us in: it answers 401 with a challenge, which a password or a token service meets."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Mapping

from scoring_runtime.deploy.images.credentials import Credentials
from scoring_runtime.deploy.images.registry_http import BROKEN, Transport
from scoring_runtime.errors import RegistryError

__all__ = ["Authorizer", "challenge_of"]

PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


def challenge_of(header: str) -> tuple[str, dict[str, str]]:
    """`Bearer realm="...",service="...",scope="..."` as a scheme and its parameters."""
    scheme, _, rest = header.strip().partition(" ")
    return scheme.lower(), {name.lower(): quoted or plain for name, quoted, plain in PARAMETER.findall(rest)}


class Authorizer:
    """Makes the Authorization header; keeps a token for each scope."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self.transport = transport
        self.credentials = credentials
        self.basic = False
        self.tokens: dict[tuple[str, ...], str] = {}
        self.lock = threading.Lock()

    def headers(self, scopes: tuple[str, ...]) -> dict[str, str]:
        if self.basic:
            return {"Authorization": self.credentials.basic}
        token = self.tokens.get(scopes)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def meet(self, challenge: str, scopes: tuple[str, ...], registry_url: str) -> None:
        """So that headers() has what was asked for. Raises RegistryError."""
        scheme, parameters = challenge_of(challenge)
        with self.lock:
            if scheme == "basic":
                self.refuse_without_login()
                self.basic = True
            elif scheme == "bearer" and "realm" in parameters:
                self.tokens[scopes] = self.token(parameters, scopes, registry_url)
            else:
                raise RegistryError(
                    f"The registry {self.transport.registry} asks for {challenge!r}; Basic and Bearer are known here."
                )

    def refuse_without_login(self) -> None:
        if not self.credentials.user:
            raise RegistryError(
                f"The registry {self.transport.registry} wants a login, and none is known. Log in with "
                f"`docker login {self.transport.registry}` (or podman), or give --username and --password-stdin."
            )

    def token(self, parameters: Mapping[str, str], scopes: tuple[str, ...], registry_url: str) -> str:
        realm = parameters["realm"]
        if registry_url.startswith("https:") and not realm.startswith("https:"):
            raise RegistryError(f"The registry {self.transport.registry} sends logins to {realm}, which is not HTTPS.")
        query = [("service", parameters["service"])] if "service" in parameters else []
        query += [("scope", scope) for scope in scopes]
        if self.credentials.identity_token:
            form = [("grant_type", "refresh_token"), ("refresh_token", self.credentials.identity_token)]
            data = urllib.parse.urlencode([*query, *form, ("client_id", "scoring-runtime")]).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self.transport.send("POST", realm, kind, data)
        else:
            headers = {"Authorization": self.credentials.basic} if self.credentials.user else {}
            joint = "&" if "?" in realm else "?"
            answer = self.transport.send("GET", realm + joint + urllib.parse.urlencode(query), headers)
        if answer.status != 200:
            raise RegistryError(
                f"The registry {self.transport.registry} does not accept the login"
                f"{f' of {self.credentials.user}' if self.credentials.user else ''}: {answer.status} "
                f"{answer.complaint()}. Log in anew: docker login {self.transport.registry}"
            )
        try:
            document = json.loads(answer.read())
            return str(document.get("token") or document["access_token"])
        except (ValueError, KeyError, AttributeError, *BROKEN) as error:
            raise RegistryError(f"{realm} answered without a token.") from error
