"""What run() is called with: one reader of jobs, chosen once at boot by how run() is declared."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from scoring_runtime import schemas
from scoring_runtime.api.request import AMLRequest, headers_dict, is_rawhttp
from scoring_runtime.errors import BadInput, ScriptSignatureError, UnsupportedInput
from scoring_runtime.script import Script
from scoring_runtime.server.wire import read_file, unpack

if TYPE_CHECKING:
    import mmap

__all__ = ["Job", "ObjectInput", "RawInput", "TextInput", "choose"]

logger = logging.getLogger("azmlinfsrv.user_script")

RAW, TEXT, OBJECT = "raw", "text", "object"


class Job:
    """One request, as the front sent it."""

    __slots__ = ("body", "body_bytes", "fd", "given", "head", "headers", "id", "memory", "method")

    def __init__(self, frame: tuple[Any, ...], fd: int = -1, memory: mmap.mmap | None = None) -> None:
        self.id: int = frame[0]
        self.head = read_head(frame[2])
        self.method: str = self.head[0]
        self.headers: list[tuple[bytes, bytes]] = self.head[3]
        self.body: bytes | None = frame[3]
        self.body_bytes: int = frame[4]
        self.fd = fd
        self.memory = memory  # the same file, mapped
        self.given: AMLRequest | None = None  # what run() was handed, to be closed after it

    def read(self) -> bytes:
        """The whole body."""
        if self.body is None:
            if self.memory is not None:
                self.body = self.memory[: self.body_bytes]
            else:
                self.body = read_file(self.fd, self.body_bytes)
        return self.body

    def content_type(self) -> bytes:
        for name, value in self.headers:
            if name == b"content-type":
                return value
        return b""

    def request(self) -> AMLRequest:
        method, path, query, headers, client, scheme, version = self.head
        host, port = client or (None, None)
        return AMLRequest(
            method=method,
            path=path,
            query_string=query,
            headers=headers,
            body=self.read() if self.body_bytes < SPOOLED_BYTES else self.file(),
            scheme=scheme,
            remote_addr=host,
            remote_port=port,
            http_version=version,
        )

    def file(self) -> BinaryIO:
        """A large body as a file, from its start."""
        os.lseek(self.fd, 0, os.SEEK_SET)
        return open(self.fd, "rb", closefd=False)

    def close(self) -> None:
        if self.given is not None:
            self.given.close()


# Requests that come one after the other have one head, or a few: nothing in it is changed.
read_head = lru_cache(maxsize=32)(unpack)

SPOOLED_BYTES = 4 * 1024 * 1024  # from here on a script reads its body from the file, not from memory

Arguments = dict[str, Any]


class RawInput:
    """@rawhttp: run() gets the request itself."""

    style = RAW

    def __init__(self, script: Script) -> None:
        self.parameter = script.data_parameters[0].name
        self.target = script.run

    def __call__(self, job: Job) -> Arguments:
        job.given = job.request()
        return {self.parameter: job.given}


class TextInput:
    """Undecorated: the first parameter gets the body as text, or the query as JSON text."""

    style = TEXT

    def __init__(self, script: Script) -> None:
        self.parameter = script.data_parameters[0].name
        self.target = script.run

    def __call__(self, job: Job) -> Arguments:
        if job.method == "GET":
            return {self.parameter: json.dumps(query_values(job))}
        try:
            return {self.parameter: str(job.read(), "utf-8")}
        except UnicodeDecodeError as error:
            raise BadInput(f"Input cannot be decoded as UTF-8: {error}") from None


class ObjectInput:
    """Schema decorators: each parameter gets its member of the JSON object, converted to what was declared."""

    style = OBJECT

    def __init__(self, declared: schemas.Declared) -> None:
        self.target: Callable[..., Any] = declared.target
        self.convert = declared.convert
        self.convert_values = declared.convert_values

    def __call__(self, job: Job) -> Arguments:
        if job.method == "GET":
            return self.convert_values(query_values(job))
        if not is_json(job.content_type()):
            raise UnsupportedInput("Expects Content-Type to be application/json")
        try:
            return self.convert(job.read())
        except RecursionError:
            raise BadInput("POST body could not be decoded as JSON: it is nested too deeply.") from None


class WithHeaders:
    """Adds `request_headers`, for a run() that names it."""

    def __init__(self, inner: RawInput | TextInput | ObjectInput) -> None:
        self.inner = inner
        self.style = inner.style
        self.target = inner.target

    def __call__(self, job: Job) -> Arguments:
        arguments = self.inner(job)
        arguments["request_headers"] = headers_dict(job.headers)
        return arguments


Inputs = RawInput | TextInput | ObjectInput | WithHeaders


def choose(script: Script) -> Inputs:
    inner: RawInput | TextInput | ObjectInput
    declared = schemas.describe(script.run)
    if is_rawhttp(script.run):
        if declared is not None:
            raise ScriptSignatureError(
                "run() cannot be decorated with both @rawhttp and @input_schema. "
                f"Keep one of them in {script.path}: @rawhttp hands run() the request, @input_schema parses it."
            )
        inner = RawInput(script)
        logger.info("run() is decorated with @rawhttp. Server will invoke it with the flask request object.")
    elif declared is not None:
        inner = ObjectInput(declared)
        names = ", ".join(p.name for p in script.data_parameters)
        logger.info(
            "run() is decorated with @input_schema. Server will invoke it with the following arguments: %s.", names
        )
    else:
        inner = TextInput(script)
        logger.info("run() is not decorated. Server will invoke it with the input in JSON string.")
    return WithHeaders(inner) if script.takes_headers else inner


def is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def query_values(job: Job) -> dict[str, Any]:
    """?a=1&b=x&b=[2] as {"a": 1, "b": ["x", [2]]}: each value is JSON where it can be."""
    values = {}
    for name, texts in job.request().args.lists():
        parsed = [json_or_text(text) for text in texts]
        values[name] = parsed[0] if len(parsed) == 1 else parsed
    return values


def json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
