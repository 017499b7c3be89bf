"""Sends a request to a service as its clients do, with the credentials that this workspace knows."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from scoring_runtime.errors import ServiceFailed

__all__ = ["Answer", "decoded", "post", "wait_for_key"]

Answer = tuple[int, bytes]  # status and body


def post(uri: str, body: str | bytes, bearer: str = "", certificate: str = "", timeout: float = 300.0) -> Answer:
    """One POST of JSON. Proxies are not asked: the service is named by its own address. Raises ServiceFailed."""
    data = body.encode() if isinstance(body, str) else body
    try:
        return ask("POST", uri, data, bearer, certificate, timeout)
    except (OSError, http.client.HTTPException) as error:
        raise ServiceFailed(
            f"{uri} does not answer: {error or type(error).__name__}. See how it is: scoring service list"
        ) from None


def wait_for_key(uri: str, bearer: str, certificate: str = "", seconds: float = 5.0) -> None:
    """Until the server knows a key that was changed under its feet, or does not answer, or time is up."""
    deadline = time.monotonic() + seconds
    swagger = f"{uri.removesuffix('/score')}/swagger.json"
    try:
        while ask("GET", swagger, None, bearer, certificate, seconds)[0] == 401 and time.monotonic() < deadline:
            time.sleep(0.02)
    except (OSError, http.client.HTTPException):
        pass


def ask(method: str, uri: str, data: bytes | None, bearer: str, certificate: str, timeout: float) -> Answer:
    url = urlsplit(uri)
    headers = {"Content-Type": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context(cadata=certificate or None)
        connection = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
    try:
        connection.request(method, url.path, data, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def decoded(answer: Answer, uri: str) -> Any:
    """The JSON of a 200. Raises ServiceFailed with status and body for every other."""
    status, body = answer
    if status != 200:
        text = body.decode(errors="replace")
        raise ServiceFailed(f"{uri} answered {status}, expected 200: {text[:2000]}")
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
