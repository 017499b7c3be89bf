"""Turns what run() returned, or raised, into an answer: status, header block, body."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from inspect import isasyncgen, isgenerator
from typing import Any

from scoring_runtime.api.encode import allow_nan_by_default, to_json
from scoring_runtime.api.response import AMLResponse, as_response
from scoring_runtime.errors import RequestError

__all__ = ["Answer", "Encoder", "error_answer", "message_json"]

logger = logging.getLogger("azmlinfsrv")

# The identifiers belong to the front, which knows what the client sent.
FRONT_HEADERS = frozenset({"x-request-id", "x-ms-request-id", "x-ms-client-request-id"})

# Of a body that the client has already, nothing is said again.
ENTITY = frozenset({"content-type", "content-length", "content-encoding", "content-language", "allow", "expires"})

SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
INTERNAL_ERROR = "An unexpected internal error occurred. Check the logs for more info."


MAX_HEAD_CHARACTERS = 64 * 1024  # more would not fit into a frame


class Answer:
    """What goes back to the front."""

    __slots__ = ("body", "head", "own_ids", "status", "stream")

    def __init__(
        self,
        status: int,
        head: bytes,
        body: bytes = b"",
        stream: Iterator[bytes] | AsyncIterator[bytes] | None = None,
        own_ids: list[tuple[str, str]] | None = None,
    ) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.stream = stream
        self.own_ids = own_ids


class Encoder:
    """Encodes results; NaN and Infinity as null unless allowed."""

    def __init__(self, allow_nan: bool) -> None:
        self.allow_nan = allow_nan
        allow_nan_by_default(allow_nan)  # for what scripts encode by AMLResponse(json_str=True)

    def __call__(self, result: Any, elapsed_ms: float) -> Answer:
        if isinstance(result, AMLResponse) or not isinstance(result, PLAIN):
            response = as_response(result)
            if response is not None:
                return self.response(response, elapsed_ms)
            if isgenerator(result) or isasyncgen(result):
                return self.response(AMLResponse(result, 200), elapsed_ms)
        body = self.json(result)
        return Answer(
            200,
            b"Content-Type: application/json\r\nContent-Length: %d\r\n"
            b"x-ms-run-function-failed: False\r\nx-ms-run-fn-exec-ms: %.3f\r\n" % (len(body), elapsed_ms),
            body,
        )

    def json(self, result: Any) -> bytes:
        """json.dumps' own text."""
        return b"{}" if result is None else to_json(result, allow_nan=self.allow_nan)

    def response(self, response: AMLResponse, elapsed_ms: float) -> Answer:
        logger.info("run() output is HTTP Response")
        status, pairs, body = response.wire()
        size = sum(len(name) + len(value) for name, value in pairs)
        if size > MAX_HEAD_CHARACTERS:
            raise ValueError(f"The response's headers have {size} characters, {MAX_HEAD_CHARACTERS} are the most.")
        lines = []
        own_ids = []
        failed = status >= 500
        for name, value in pairs:
            lower = name.lower()
            if lower in FRONT_HEADERS:
                own_ids.append((lower, value))
            elif not (failed and lower == "x-ms-run-function-failed") and not (status == 304 and lower in ENTITY):
                lines.append(f"{name}: {value}\r\n")
        if failed:
            lines.append("x-ms-run-function-failed: True\r\n")
        lines.append(f"x-ms-run-fn-exec-ms: {elapsed_ms:.3f}\r\n")
        if isinstance(body, bytes) and status not in (204, 304) and status >= 200:
            lines.append(f"Content-Length: {len(body)}\r\n")
        head = "".join(lines).encode("latin-1")
        if isinstance(body, bytes):
            return Answer(status, head, body, own_ids=own_ids or None)
        return Answer(status, head, stream=body, own_ids=own_ids or None)


PLAIN = (dict, list, str, int, float, tuple, type(None))


def message_json(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def error_answer(error: RequestError) -> Answer:
    body = message_json(str(error))
    return Answer(
        error.status,
        b"Content-Type: application/json\r\nContent-Length: %d\r\nx-ms-run-function-failed: %s\r\n"
        % (len(body), b"True" if error.run_failed else b"False"),
        body,
    )
