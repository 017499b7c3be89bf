"""Signed tokens for services with SCORING_AUTH=token; the server checks what is issued here."""

from __future__ import annotations

from typing import NamedTuple

from scoring_runtime.errors import DeployError, MissingPackage

__all__ = ["LIFETIME_SECONDS", "Token", "issue"]

LIFETIME_SECONDS = 12 * 3600
REFRESH_SHARE = 2 / 3  # of its life, after which a client does well to get the next one
SHORTEST_KEY = 32


class Token(NamedTuple):
    """What a client sends as `Authorization: Bearer <token>`; times in seconds since 1970."""

    token: str
    refresh_after: int
    expires: int

    def __repr__(self) -> str:
        return f"<Token that expires at {self.expires}>"


def issue(token_key: str, audience: str, now: float, lifetime: float = LIFETIME_SECONDS) -> Token:
    """A token for the service of that name (its SERVICE_NAME), good from `now` on for `lifetime` seconds."""
    try:
        import jwt
    except ModuleNotFoundError:
        raise MissingPackage("Tokens", "PyJWT", "token") from None
    if len(token_key) < SHORTEST_KEY:
        raise DeployError(
            f"The token key of {audience} has {len(token_key)} characters, and {SHORTEST_KEY} is the least. "
            "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    issued, expires = int(now), int(now + lifetime)
    refresh_after = int(now + lifetime * REFRESH_SHARE)
    claims = {"aud": audience, "iat": issued, "nbf": issued, "exp": expires, "refresh_after": refresh_after}
    return Token(jwt.encode(claims, token_key, algorithm="HS256"), refresh_after, expires)
