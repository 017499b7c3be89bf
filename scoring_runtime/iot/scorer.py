"""Scores one message over HTTP, on the server beside this process, and waits while that is full or away."""

from __future__ import annotations

import http.client
import logging
import os
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "Endpoint", "Scorer"]

logger = logging.getLogger("scoring-iot")

LOST_ATTEMPTS = 3  # a message on which the server's worker dies so often is answered with its error
LONGEST_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Endpoint:
    """Where the server beside us listens, and how it wants to be spoken to."""

    port: int
    timeout_seconds: float
    certificate: str = ""  # the server's own, where it serves TLS
    key: str = ""
    key_file: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str], port: int, scoring_timeout_ms: int) -> Endpoint:
        folder = environ.get("SCORING_KEYS_DIR", "")
        wants_key = environ.get("SCORING_AUTH", "none").lower() == "key"
        return cls(
            port,
            scoring_timeout_ms / 1000 + 30 if scoring_timeout_ms else 86_400.0,
            environ.get("SCORING_TLS_CERT", ""),
            environ.get("SCORING_PRIMARY_KEY", "") if wants_key else "",
            os.path.join(folder, "primaryKey") if wants_key and folder else "",
        )

    def connect(self) -> http.client.HTTPConnection:
        if not self.certificate:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_seconds)
        context = ssl.create_default_context(cafile=self.certificate)
        context.check_hostname = False  # it is this certificate or none; its name is the device's
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=self.timeout_seconds, context=context)

    def authorization(self) -> dict[str, str]:
        key = self.key
        if self.key_file and os.path.isfile(self.key_file):  # read again: it may have been rotated
            with open(self.key_file, encoding="utf-8") as file:
                key = file.read().strip()
        return {"Authorization": f"Bearer {key}"} if key else {}


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json"


class Scorer:
    """One connection, for one thread."""

    def __init__(self, endpoint: Endpoint, stopping: threading.Event) -> None:
        self.endpoint = endpoint
        self.stopping = stopping
        self.connection: http.client.HTTPConnection | None = None

    def score(self, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        """The server's answer; None when we are told to stop before there is one."""
        lost, wait = 0, 0.1
        while not self.stopping.is_set():
            try:
                answer, retry_after = self.ask(body, headers)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                logger.warning("The server does not answer (%s); the message waits.", error)
            else:
                lost += answer.status == 502
                if answer.status != 503 and not (answer.status == 502 and lost < LOST_ATTEMPTS):
                    return answer
                wait = max(wait, retry_after)
            self.stopping.wait(min(wait, LONGEST_WAIT_SECONDS))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        return None

    def ask(self, body: bytes, headers: Mapping[str, str]) -> tuple[Answer, float]:
        if self.connection is None:
            self.connection = self.endpoint.connect()
        self.connection.request("POST", "/score", body, {**headers, **self.endpoint.authorization()})
        response = self.connection.getresponse()
        answer = Answer(response.status, response.read(), response.headers.get("Content-Type", "application/json"))
        return answer, number(response.headers.get("Retry-After"))

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0
