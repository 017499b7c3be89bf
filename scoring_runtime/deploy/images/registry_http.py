"""HTTP as registries need it: bounded waits, tries again what may pass, and names what is wrong with the connection."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, Any

from scoring_runtime.errors import RegistryError

__all__ = ["BROKEN", "Answer", "Body", "PlainHttp", "Transport", "backoff"]

TIMEOUT_SECONDS = 60.0  # for each operation on the socket
TRIES = 5
FIRST_PAUSE_SECONDS = 0.3
LONGEST_PAUSE_SECONDS = 30.0
PASSING = {408, 429, 500, 502, 503, 504}
SMALL_BYTES = 8 << 20  # more is no error message and no manifest

BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)  # a connection that ends too early

Body = bytes | Callable[[], Iterable[bytes]] | None  # a callable begins anew at each try


@dataclass
class Answer:
    """A response, errors too; read() or close() it."""

    status: int
    headers: Message[str, str]
    url: str  # after redirects
    stream: IO[bytes] = field(repr=False)

    def read(self) -> bytes:
        """Raises OSError or HTTPException where it ends before it should."""
        with self.stream:
            data = self.stream.read(SMALL_BYTES)
        expected = self.headers.get("Content-Length", "")
        if expected.isdigit() and len(data) < min(int(expected), SMALL_BYTES):
            raise http.client.IncompleteRead(data, int(expected) - len(data))
        return data

    def close(self) -> None:
        self.stream.close()

    def complaint(self) -> str:
        """What the registry says is wrong."""
        try:
            data = self.read()
        except BROKEN:
            return ""
        try:
            errors = json.loads(data)["errors"]
            return "; ".join(f"{one.get('code', '')}: {one.get('message', '')}" for one in errors)
        except (ValueError, KeyError, TypeError, AttributeError):
            return data[:200].decode(errors="replace").strip()


class Transport:
    """To one registry. `insecure` allows a certificate that nobody vouches for, and plain HTTP."""

    def __init__(
        self, registry: str, insecure: bool = False, ca_file: str | None = None, loopback: bool = False
    ) -> None:
        self.registry = registry
        self.insecure = insecure
        self.tries = TRIES
        self.pause: Callable[[float], None] = time.sleep
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:  # an ssl.SSLError is one
            said = error.strerror if error.filename or not isinstance(error, ssl.SSLError) else error.reason
            raise RegistryError(
                f"--ca-file: {ca_file}: expected a file of certificates as PEM, got: {said}. Correct it."
            ) from None
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context), Redirects()]
        if loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        self.opener = urllib.request.build_opener(*handlers)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        tries: int | None = None,
    ) -> Answer:
        """Whatever the status; what may pass is tried again. Raises RegistryError when there is no answer."""
        tries = tries or self.tries
        for attempt in range(1, tries + 1):
            try:
                answer = self.once(method, url, headers or {}, body)
            except (OSError, http.client.HTTPException) as error:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                if attempt == tries or isinstance(reason, ssl.SSLError):
                    raise self.unreachable(reason, attempt) from error
                self.pause(backoff(attempt))
                continue
            if answer.status not in PASSING or attempt == tries:
                return answer
            wait = answer.headers.get("Retry-After", "")
            answer.close()
            self.pause(min(float(wait), LONGEST_PAUSE_SECONDS) if wait.isdigit() else backoff(attempt))
        raise AssertionError("unreachable")

    def once(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Answer:
        request = urllib.request.Request(url, method=method, data=body() if callable(body) else body)
        for name, value in headers.items():
            if name == "Authorization":  # is for this host, not for where it sends us
                request.add_unredirected_header(name, value)
            else:
                request.add_header(name, value)
        try:
            response = self.opener.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, url, error)
        return Answer(response.status, response.headers, response.url, response)

    def unreachable(self, reason: Any, attempts: int) -> RegistryError:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return RegistryError(
                f"The registry {self.registry} is not trusted: {reason.verify_message}. Give the certificate of its "
                "authority with --ca-file, add it to the system's, or allow it with --insecure."
            )
        if isinstance(reason, ssl.SSLError):
            return PlainHttp(
                f"The registry {self.registry} does not speak HTTPS ({reason.reason or reason}). If it is meant to "
                "speak plain HTTP, allow it with --insecure."
            )
        return RegistryError(
            f"The registry {self.registry} cannot be reached: {reason or type(reason).__name__} "
            f"({attempts} tries). Is the name right, does it run, and is there a way to it?"
        )


class PlainHttp(RegistryError):
    """What answers does not know TLS."""


class Redirects(urllib.request.HTTPRedirectHandler):
    """Only where nothing is sent, and never from HTTPS to less."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise RegistryError(
                f"The registry sends us from HTTPS to {newurl.partition('?')[0]}, which is not followed."
            )
        if req.get_method() not in ("GET", "HEAD"):
            return None
        result = super().redirect_request(req, fp, code, msg, headers, newurl)
        if result is not None:
            result.method = req.get_method()
        return result


def backoff(attempt: int) -> float:
    """Twice as long each time, and never the same for two clients."""
    longest: float = min(FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)
