"""Sends a request to a service as its clients do, with the credentials that this workspace knows."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from scoring_runtime.errors import ServiceFailed

__all__ = ["Answer", "decoded", "post"]

Answer = tuple[int, bytes]  # status and body


def post(uri: str, body: str | bytes, bearer: str = "", certificate: str = "", timeout: float = 300.0) -> Answer:
    """One POST of JSON. Proxies are not asked: the service is named by its own address. Raises ServiceFailed."""
    url = urlsplit(uri)
    data = body.encode() if isinstance(body, str) else body
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
        connection.request("POST", url.path, data, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServiceFailed(
            f"{uri} does not answer: {error or type(error).__name__}. See how it is: scoring service list"
        ) from None
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
