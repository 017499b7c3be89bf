"""The answer that a script writes itself: status, headers and body."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

from scoring_runtime.api.encode import to_json
from scoring_runtime.api.headers import Headers, fields_of
from scoring_runtime.api.parse import options
from scoring_runtime.api.response_headers import HeaderProperty, wire_fields

__all__ = ["AMLResponse", "as_response"]

TEXT = "text/html; charset=utf-8"
JSON = "application/json"
RUN_FAILED = "x-ms-run-function-failed"


class AMLResponse:
    """What run() returns to choose status, headers and body.

    `message` is text, bytes, a dict (sent as JSON), or an iterator of text or bytes, which is sent piece by piece;
    with `json_str` it is anything that JSON can write. A header value is split at its commas into repeated headers.
    Raises TypeError or ValueError for what cannot be sent.
    """

    location = HeaderProperty("Location")
    content_type = HeaderProperty("Content-Type")
    content_encoding = HeaderProperty("Content-Encoding")
    content_language = HeaderProperty("Content-Language")
    content_location = HeaderProperty("Content-Location")
    content_md5 = HeaderProperty("Content-MD5")
    content_range = HeaderProperty("Content-Range")
    allow = HeaderProperty("Allow")
    vary = HeaderProperty("Vary")
    age = HeaderProperty("Age")
    cache_control = HeaderProperty("Cache-Control")
    retry_after = HeaderProperty("Retry-After")
    last_modified = HeaderProperty("Last-Modified")
    expires = HeaderProperty("Expires")
    access_control_allow_origin = HeaderProperty("Access-Control-Allow-Origin")
    access_control_allow_headers = HeaderProperty("Access-Control-Allow-Headers")
    access_control_allow_methods = HeaderProperty("Access-Control-Allow-Methods")
    access_control_expose_headers = HeaderProperty("Access-Control-Expose-Headers")
    access_control_allow_credentials = HeaderProperty("Access-Control-Allow-Credentials")
    access_control_max_age = HeaderProperty("Access-Control-Max-Age")

    direct_passthrough = False
    response: Any  # a list of pieces, or an iterator of them

    def __init__(
        self,
        message: Any,
        status_code: Any,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        self.begin(status_code)
        as_json = message is None or json_str or isinstance(message, dict)
        self.headers.add("Content-Type", JSON if as_json else TEXT)
        if as_json:
            self.set_data(to_json({} if message is None else message))
        elif isinstance(message, (str, bytes, bytearray, memoryview)):
            self.set_data(message)
        else:
            self.response = iterator_of(message)
        self.headers.add(RUN_FAILED, str(run_function_failed))
        for name, value in (response_headers or {}).items():
            if not isinstance(value, str):
                raise TypeError(f"Response header {name!r}: expected a str, got {value!r}. Use str(...).")
            if name.lower() == "content-type":
                self.headers.set(name, value.strip())
            else:
                for one in value.split(","):
                    self.headers.add(name, one.strip())

    def begin(self, status: Any) -> None:
        self.headers = Headers()
        self.response = []
        self.on_close: list[Callable[[], Any]] = []
        self.status = 200 if status is None else status

    def __repr__(self) -> str:
        body = "streamed" if self.is_streamed else f"{sum(len(piece) for piece in self.response)} bytes"
        return f"<{type(self).__name__} {body} [{self.status}]>"

    def __enter__(self) -> AMLResponse:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # The status.

    @property
    def status_code(self) -> int:
        return self._status_code

    @status_code.setter
    def status_code(self, value: Any) -> None:
        self.status = value

    @property
    def status(self) -> str:
        """Code and words: "404 NOT FOUND"."""
        return f"{self._status_code} {self._reason or reason(self._status_code)}"

    @status.setter
    def status(self, value: Any) -> None:
        code, _, words = value.strip().partition(" ") if isinstance(value, str) else (value, "", "")
        try:
            self._status_code = int(code)
        except ValueError:
            raise ValueError(f"status_code: expected a number such as 200, got {value!r}.") from None
        self._reason = words

    # The content type.

    @property
    def mimetype(self) -> str | None:
        """The content type without its parameters."""
        value = self.headers.get("content-type")
        return value.partition(";")[0].strip() if value else None

    @mimetype.setter
    def mimetype(self, value: str) -> None:
        textual = value.startswith("text/") or value.endswith("+xml") or value in WITH_CHARSET
        self.headers["Content-Type"] = f"{value}; charset=utf-8" if textual else value

    @property
    def mimetype_params(self) -> dict[str, str]:
        return options(self.headers.get("content-type", ""))[1]

    @property
    def is_json(self) -> bool:
        kind = self.mimetype or ""
        return kind == JSON or (kind.startswith("application/") and kind.endswith("+json"))

    # The body: a list of pieces, or an iterator of them.

    @property
    def is_streamed(self) -> bool:
        """Whether the number of pieces is not known."""
        return not hasattr(self.response, "__len__")

    @property
    def is_sequence(self) -> bool:
        return isinstance(self.response, (list, tuple))

    def get_data(self, as_text: bool = False) -> Any:
        """The body as bytes, or as text. A stream is read to its end, and kept."""
        self.make_sequence()
        data = b"".join(self.iter_encoded())
        return data.decode() if as_text else data

    def set_data(self, value: str | bytes | bytearray | memoryview) -> None:
        data = encoded(value)
        self.response = [data]
        self.headers["Content-Length"] = str(len(data))

    @property
    def data(self) -> bytes:
        return self.get_data()  # type: ignore[no-any-return]

    @data.setter
    def data(self, value: str | bytes) -> None:
        self.set_data(value)

    def make_sequence(self) -> None:
        """Read a stream into a list."""
        if not self.is_sequence:
            close = getattr(self.response, "close", None)
            self.response = list(self.iter_encoded())
            if close is not None:
                self.call_on_close(close)

    def iter_encoded(self) -> Iterator[bytes]:
        return map(encoded, self.response)

    @property
    def content_length(self) -> int | None:
        """The length of the body; of a stream, what its header says."""
        if self.is_sequence:
            return sum(map(len, self.iter_encoded()))
        return self.headers.get("content-length", type=int)  # type: ignore[no-any-return]

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        if value is None:
            self.headers.remove("Content-Length")
        else:
            self.headers["Content-Length"] = str(value)

    def calculate_content_length(self) -> int | None:
        self.make_sequence()
        return self.content_length

    @property
    def json(self) -> Any:
        return self.get_json()

    def get_json(self, force: bool = False, silent: bool = False) -> Any:
        """The body read as JSON; None if its content type is another."""
        if not (force or self.is_json):
            return None
        import json

        try:
            return json.loads(self.get_data())
        except ValueError:
            if silent:
                return None
            raise

    # Cookies.

    def set_cookie(self, key: str, value: str = "", *args: Any, **kwargs: Any) -> None:
        """Takes max_age, expires, path, domain, secure, httponly, samesite, partitioned."""
        from scoring_runtime.api.cookie import set_cookie

        self.headers.add("Set-Cookie", set_cookie(key, value, *args, **kwargs))

    def delete_cookie(self, key: str, path: str | None = "/", domain: str | None = None, **kwargs: Any) -> None:
        self.set_cookie(key, max_age=0, expires=0, path=path, domain=domain, **kwargs)

    # The end.

    def call_on_close(self, func: Callable[[], Any]) -> Callable[[], Any]:
        """Have the function called when the body was handed over."""
        self.on_close.append(func)
        return func

    def close(self) -> None:
        close = getattr(self.response, "close", None)
        if close is not None:
            close()
        for func in self.on_close:
            func()

    def wire(self) -> tuple[int, list[tuple[str, str]], bytes | Iterator[bytes] | AsyncIterator[bytes]]:
        """Status, headers and body as they go out. The object stays as it is, so that it may be returned again.

        Headers of the connection are left out, and Content-Length too where the body is bytes. An iterator has to be
        closed by whoever takes it. Raises ValueError for a status or header that HTTP cannot carry.
        """
        status = self._status_code
        if not 100 <= status <= 999:
            raise ValueError(f"status_code: expected 100 to 999, got {status}.")
        body: bytes | Iterator[bytes] | AsyncIterator[bytes]
        empty = status in (204, 304) or status < 200
        if self.is_sequence or empty:
            body = b"" if empty else b"".join(self.iter_encoded())
            self.close()
        else:
            body = self.async_pieces() if hasattr(self.response, "__aiter__") else self.pieces()
        fields = wire_fields(fields_of(self.headers), isinstance(body, bytes))
        if status >= 500:
            fields = [field for field in fields if field[0].lower() != RUN_FAILED]
            fields.append((RUN_FAILED, "True"))
        return status, fields, body

    def pieces(self) -> Iterator[bytes]:
        try:
            yield from self.iter_encoded()
        finally:
            self.close()

    async def async_pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self.response:
                yield encoded(piece)
        finally:
            if hasattr(self.response, "aclose"):
                await self.response.aclose()
            self.close()


WITH_CHARSET = ("application/ecmascript", "application/javascript", "application/sql", "application/xml")


def iterator_of(message: Any) -> Any:
    if hasattr(message, "__aiter__"):
        return message
    if isinstance(message, Iterable) and not hasattr(message, "__len__"):
        return message if isinstance(message, Iterator) else iter(message)
    raise TypeError(
        f"AMLResponse cannot send a {type(message).__name__} as it is. Pass json_str=True to send it as JSON, or pass "
        "str, bytes, or an iterator of them."
    )


def encoded(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"A piece of a response body: expected str or bytes, got {piece!r}.")


def reason(code: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(code).phrase.upper()
    except ValueError:
        return "UNKNOWN"


# Classes of other libraries, which a script may return, too; looked at only where the script imported them.
FOREIGN = {"werkzeug.wrappers.response": "Response", "starlette.responses": "Response"}
PLAIN = frozenset({dict, list, str, int, float, bool, tuple, type(None)})


def as_response(value: object) -> AMLResponse | None:
    """The value as an AMLResponse if it is a response, of ours, of Flask, of werkzeug or of starlette; else None."""
    if type(value) in PLAIN:
        return None
    if isinstance(value, AMLResponse):
        return value
    for module, name in FOREIGN.items():
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(value, kind):
            return converted(value)
    return None


def converted(value: Any) -> AMLResponse:
    response = AMLResponse.__new__(AMLResponse)
    response.begin(getattr(value, "status", None) or value.status_code)
    response.headers.extend(value.headers.items())
    if hasattr(value, "iter_encoded"):
        body = value.response
        response.response = list(value.iter_encoded()) if isinstance(body, (list, tuple)) else value.iter_encoded()
        response.call_on_close(value.close)
    elif isinstance(getattr(value, "body", None), (bytes, memoryview)):
        response.response = [bytes(value.body)]
    else:
        raise TypeError(f"run() returned a {type(value).__name__}, whose body cannot be read here. Use AMLResponse.")
    return response
