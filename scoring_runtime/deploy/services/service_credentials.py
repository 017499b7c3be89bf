"""Keys and tokens of a service: what its callers need to be let in."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.services.keys import key_field, new_key, with_key
from scoring_runtime.deploy.services.scoring_client import wait_for_key
from scoring_runtime.deploy.services.tokens import Token, issue
from scoring_runtime.deploy.targets.table import target_of
from scoring_runtime.errors import ServiceFailed

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Secrets, Service
    from scoring_runtime.deploy.services.service_folder import ServiceFolder
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Credentials"]


class Credentials:
    """The part of a Webservice that deals with secrets."""

    name: str
    workspace: Workspace
    folder: ServiceFolder

    @property
    def service(self) -> Service:
        raise NotImplementedError

    def get_keys(self) -> tuple[str, str]:
        """Primary and secondary."""
        service = self.service
        if service.auth != "key":
            raise ServiceFailed(f"{self.name} has no keys: its auth is {service.auth!r}. Update it with auth_enabled.")
        secrets = self.in_force(service)
        return secrets.primary_key, secrets.secondary_key

    def regen_key(self, key: str, set_key: str | None = None) -> None:
        """Replace the "Primary" or the "Secondary" one; the other goes on working."""
        name = key_field(key, set_key)
        self.get_keys()
        with self.folder.changing("regen-key"):
            service = self.service
            secrets = with_key(service.secrets, name, set_key or new_key())
            self.folder.write_secrets(secrets)
            changed = replace(service, secrets=secrets)
            host = target_of(self.workspace, changed)
            uri = host.status(changed).scoring_uri
            if service.compute_type != "local":  # there the server reads the files
                host.apply(changed, lambda text: None)
            elif uri:
                wait_for_key(uri, getattr(secrets, name))

    def token(self) -> Token:
        service = self.service
        if service.auth != "token":
            raise ServiceFailed(
                f"{self.name} takes no tokens: its auth is {service.auth!r}. Update it with token_auth_enabled."
            )
        return issue(service.secrets.token_key, service.part_of or self.name, time.time())

    def get_token(self) -> tuple[str, datetime]:
        """A token, and when to get the next one."""
        token = self.token()
        return token.token, datetime.fromtimestamp(token.refresh_after)

    def get_access_token(self) -> dict[str, Any]:
        token = self.token()
        return {
            "accessToken": token.token,
            "refreshAfter": token.refresh_after,
            "expiryOn": token.expires,
            "tokenType": "Bearer",
        }

    def credential(self) -> str:
        service = self.service
        if service.auth == "token":
            return self.token().token
        return self.in_force(service).primary_key if service.auth == "key" else ""

    def in_force(self, service: Service) -> Secrets:
        """On this machine those in the files, also while an update brings others."""
        return self.folder.secrets() if service.compute_type == "local" else service.secrets
