"""Keys of a service: made, kept in files that the server reads again when they change, and replaced one at a time."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from scoring_runtime.deploy.services.config_rules import KEY
from scoring_runtime.deploy.services.service import Secrets
from scoring_runtime.errors import ConfigError

__all__ = ["KEYS", "auth_of", "key_field", "new_key", "with_key", "with_keys"]

KEYS = {"primary": "primary_key", "secondary": "secondary_key"}


def new_key() -> str:
    return secrets.token_urlsafe(32)


def auth_of(deployment: Any) -> str:
    """none, key or token, as the deployment configuration has it."""
    if getattr(deployment, "token_auth_enabled", False):
        return "token"
    return "key" if getattr(deployment, "auth_enabled", False) else "none"


def with_keys(kept: Secrets, deployment: Any) -> Secrets:
    """What the configuration gives, what there is already, else new ones. Nobody's keys change by an update."""
    return replace(
        kept,
        primary_key=getattr(deployment, "primary_key", None) or kept.primary_key or new_key(),
        secondary_key=getattr(deployment, "secondary_key", None) or kept.secondary_key or new_key(),
        token_key=kept.token_key or new_key(),
    )


def with_key(kept: Secrets, name: str, value: str) -> Secrets:
    """`name`: a field, as key_field() says."""
    return replace(kept, primary_key=value) if name == "primary_key" else replace(kept, secondary_key=value)


def key_field(name: str, value: str | None) -> str:
    """The field of Secrets that a key's name means. Raises ConfigError, also for a key that is too short."""
    if not isinstance(name, str) or name.lower() not in KEYS:
        raise ConfigError("key", name, "Primary or Secondary")
    if value is not None and not KEY.holds(value):
        raise ConfigError("set_key", "***", KEY.expected, "Leave it out to have one made.")
    return KEYS[name.lower()]
