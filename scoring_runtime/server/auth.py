"""Who may call: a bearer key or a signed token, looked at when the headers are here and before the body is read.

/  /livez  /readyz     never need one: probes have none
everything else        needs one on the service's port
the health port        answers probes, /metrics and /info, and nothing else, once keys or TLS are on
"""

from __future__ import annotations

import time
from hmac import compare_digest
from typing import Protocol

from scoring_runtime.errors import Misdirected, RequestError, SettingsError, Unauthorized
from scoring_runtime.server.keys import Keys
from scoring_runtime.settings import Settings

__all__ = ["Guard", "KeyGuard", "ProbeGuard", "TokenGuard", "choose_guard", "is_preflight"]

HEALTH = frozenset({"/", "/livez", "/readyz"})
PROBES = HEALTH | {"/metrics", "/info"}
LEEWAY_SECONDS = 10  # between two clocks
KNOWN_TOKENS = 4096
LONGEST_TOKEN = 8192


class Guard(Protocol):
    """Stands before every path of a port."""

    def refusal(self, path: str, found: dict[bytes, bytes]) -> RequestError | None:
        """What to answer instead; None when the request may pass."""
        ...

    def change(self, keys: Keys) -> None:
        """From now on these."""
        ...


def choose_guard(settings: Settings, keys: Keys) -> Guard | None:
    if settings.auth == "key":
        return KeyGuard(keys)
    if settings.auth == "token":
        return TokenGuard(keys, settings.service_name)
    return None


class KeyGuard:
    """One of two keys, compared in constant time."""

    def __init__(self, keys: Keys) -> None:
        self.change(keys)

    def change(self, keys: Keys) -> None:
        self.first = f"Bearer {keys.primary}".encode()
        self.second = f"Bearer {keys.secondary or keys.primary}".encode()

    def refusal(self, path: str, found: dict[bytes, bytes]) -> RequestError | None:
        shown = found.get(b"authorization")
        if shown is not None and (compare_digest(shown, self.first) | compare_digest(shown, self.second)):
            return None
        if path in HEALTH:
            return None
        shown = credentials(shown)
        if not shown:
            return Unauthorized("This service needs a key: send the header `Authorization: Bearer <key>`.")
        header = b"Bearer " + shown  # however it was spelled
        if compare_digest(header, self.first) | compare_digest(header, self.second):
            return None
        return Unauthorized("The key is not one of this service's keys.", "The key is not known")


class TokenGuard:
    """A JSON Web Token signed with the token key (HS256), for this service, in its time.

    One that was good is remembered until it expires: from then on it costs a look into a dict.
    """

    def __init__(self, keys: Keys, audience: str) -> None:
        try:
            import jwt
        except ModuleNotFoundError:
            raise SettingsError(
                "SCORING_AUTH", "token", "the package PyJWT", "Install it: pip install 'scoring-runtime[token]'"
            ) from None
        self.jwt = jwt
        self.audience = audience
        self.change(keys)

    def change(self, keys: Keys) -> None:
        self.key = keys.token
        self.known: dict[bytes, float] = {}

    def refusal(self, path: str, found: dict[bytes, bytes]) -> RequestError | None:
        shown = found.get(b"authorization")
        if shown is not None and self.known.get(shown, 0.0) > time.time():
            return None
        if path in HEALTH:
            return None
        token = credentials(shown)
        if not shown or not token:
            return Unauthorized("This service needs a token: send the header `Authorization: Bearer <token>`.")
        try:
            expires = self.expiry(token)
        except self.jwt.ExpiredSignatureError:
            return Unauthorized("The token has expired. Get a new one.", "The token has expired")
        except self.jwt.ImmatureSignatureError:
            return Unauthorized("The token is not valid yet.", "The token is not valid yet")
        except self.jwt.InvalidAudienceError:
            return Unauthorized("The token is for another service.", "The token is for another audience")
        except self.jwt.PyJWTError:
            return Unauthorized("The token is not one of this service's.", "The token is not valid")
        self.remember(shown, expires)
        return None

    def expiry(self, token: bytes) -> float:
        if len(token) > LONGEST_TOKEN:
            raise self.jwt.DecodeError("too long")
        claims = self.jwt.decode(
            token,
            self.key,
            algorithms=["HS256"],
            audience=self.audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "aud"]},
        )
        return float(claims["exp"]) + LEEWAY_SECONDS

    def remember(self, shown: bytes, expires: float) -> None:
        if len(self.known) >= KNOWN_TOKENS:
            now = time.time()
            self.known = {header: until for header, until in self.known.items() if until > now}
            while len(self.known) >= KNOWN_TOKENS:
                del self.known[next(iter(self.known))]  # the oldest
        self.known[shown] = expires


class ProbeGuard:
    """The health port beside a port with keys or TLS: no score goes that way, and no key is sent there in the clear."""

    def __init__(self, port: int) -> None:
        self.port = port

    def change(self, keys: Keys) -> None: ...

    def refusal(self, path: str, found: dict[bytes, bytes]) -> RequestError | None:
        return None if path in PROBES else Misdirected(self.port)


def credentials(shown: bytes | None) -> bytes:
    """What follows `Bearer`, in whatever case that is written; empty without."""
    scheme, _, rest = (shown or b"").strip().partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" else b""


def is_preflight(method: bytes, found: dict[bytes, bytes]) -> bool:
    """A browser's question before the request; it cannot carry a key."""
    return method == b"OPTIONS" and b"origin" in found and b"access-control-request-method" in found
