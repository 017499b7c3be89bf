"""The request as a script sees it under @rawhttp: a view over plain data that parses nothing before it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from scoring_runtime.api.datastructures import CombinedMultiDict, FileStorage, ImmutableMultiDict
from scoring_runtime.api.headers import RequestHeaders, headers_dict
from scoring_runtime.api.parse import comma_list, cookies, options, query, readable_url
from scoring_runtime.api.rawhttp import is_rawhttp, rawhttp

if TYPE_CHECKING:
    from datetime import datetime

    from scoring_runtime.api.accept import Accept, Authorization, UserAgent

__all__ = ["AMLRequest", "BadRequest", "UnsupportedMediaType", "headers_dict", "is_rawhttp", "rawhttp"]


class BadRequest(ValueError):
    """The body is not what the script asked for."""

    code = 400


class UnsupportedMediaType(BadRequest):
    code = 415


class AMLRequest:
    """What the client sent. A script may set attributes of its own on it."""

    max_content_length = None
    max_form_memory_size = None
    max_form_parts = None

    def __init__(
        self,
        *,
        method: str = "GET",
        path: str = "/",
        query_string: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes | IO[bytes] = b"",
        scheme: str = "http",
        host: str = "",
        remote_addr: str | None = None,
        remote_port: int | None = None,
        root_path: str = "",
        http_version: str = "1.1",
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.scheme = scheme
        self.remote_addr = remote_addr
        self.root_path = root_path.rstrip("/")
        self._raw_headers = headers
        self._body = body
        self._server_host = host
        self._remote_port = remote_port
        self._http_version = http_version
        self._cached_data: bytes | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url!r} [{self.method}]>"

    def __getattr__(self, name: str) -> Any:
        names = (known for known in dir(AMLRequest) if not known.startswith(("_", "max_")))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}. It has: {', '.join(names)}.")

    def __enter__(self) -> AMLRequest:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the uploaded files, if the form was read."""
        for _, storage in self.__dict__.get("files", ImmutableMultiDict()).items(multi=True):
            storage.close()

    # Where it was sent.

    @property
    def full_path(self) -> str:
        """The path and the query; the question mark is there even without a query."""
        return f"{self.path}?{self.query_string.decode()}"

    @cached_property
    def host(self) -> str:
        """The host that the client named, else the server's; without the port if it is the usual one."""
        host = self.headers.get("host", self._server_host)
        return str(host).removesuffix(":443" if self.is_secure else ":80")

    @property
    def _origin_url(self) -> str:
        return f"{self.scheme}://{self.host.lower()}"

    @property
    def url(self) -> str:
        return readable_url(self._origin_url, self.root_path + self.path, self.query_string)

    @property
    def base_url(self) -> str:
        return readable_url(self._origin_url, self.root_path + self.path)

    @property
    def root_url(self) -> str:
        return readable_url(self._origin_url, self.root_path + "/")

    url_root = root_url

    @property
    def host_url(self) -> str:
        return readable_url(self._origin_url)

    @property
    def script_root(self) -> str:
        return self.root_path

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    @cached_property
    def args(self) -> ImmutableMultiDict:
        """The parameters of the query string."""
        return ImmutableMultiDict(query(self.query_string.decode()))

    # The headers, and what is in them.

    @cached_property
    def headers(self) -> RequestHeaders:
        return RequestHeaders(self._raw_headers)

    @cached_property
    def cookies(self) -> ImmutableMultiDict:
        return ImmutableMultiDict(cookies(self.headers.get("cookie", "")))

    @property
    def content_type(self) -> str | None:
        return self.headers.get("content-type")  # type: ignore[no-any-return]

    @cached_property
    def _content_type_parsed(self) -> tuple[str, dict[str, str]]:
        return options(self.content_type or "")

    @property
    def mimetype(self) -> str:
        """The content type without its parameters, in lower case; empty if there is none."""
        return self._content_type_parsed[0].lower()

    @property
    def mimetype_params(self) -> dict[str, str]:
        return self._content_type_parsed[1]

    @property
    def content_length(self) -> int | None:
        """As the client said; None if it did not, or sent chunks."""
        text = self.headers.get("content-length")
        if text is None or "chunked" in comma_list(self.headers.get("transfer-encoding", "").lower()):
            return None
        return int(text) if text.isascii() and text.isdecimal() else 0

    @property
    def content_encoding(self) -> str | None:
        return self.headers.get("content-encoding")  # type: ignore[no-any-return]

    @property
    def content_md5(self) -> str | None:
        return self.headers.get("content-md5")  # type: ignore[no-any-return]

    @property
    def referrer(self) -> str | None:
        return self.headers.get("referer")  # type: ignore[no-any-return]

    @property
    def origin(self) -> str | None:
        return self.headers.get("origin")  # type: ignore[no-any-return]

    @property
    def date(self) -> datetime | None:
        """The Date header, in UTC if it names no zone; None if it is absent or is not a date."""
        from scoring_runtime.api.accept import parse_date

        return parse_date(self.headers.get("date"))

    @property
    def access_route(self) -> list[str]:
        """The addresses from the client to the last proxy, as X-Forwarded-For has them."""
        forwarded = self.headers.get("x-forwarded-for")
        if forwarded is not None:
            return comma_list(forwarded)
        return [self.remote_addr] if self.remote_addr is not None else []

    @cached_property
    def user_agent(self) -> UserAgent:
        from scoring_runtime.api.accept import UserAgent

        return UserAgent(self.headers.get("user-agent", ""))

    @cached_property
    def authorization(self) -> Authorization | None:
        """Basic credentials, a bearer token, or another scheme; None if it is absent or cannot be read."""
        from scoring_runtime.api.accept import Authorization

        return Authorization.from_header(self.headers.get("authorization"))

    @cached_property
    def accept_mimetypes(self) -> Accept:
        return self._accepted("accept")

    @cached_property
    def accept_charsets(self) -> Accept:
        return self._accepted("accept-charset")

    @cached_property
    def accept_encodings(self) -> Accept:
        return self._accepted("accept-encoding")

    @cached_property
    def accept_languages(self) -> Accept:
        return self._accepted("accept-language")

    def _accepted(self, header: str) -> Accept:
        from scoring_runtime.api.accept import Accept

        return Accept.from_header(self.headers.get(header, ""))

    # The body: read once, by the stream, the form, or get_data(), whoever comes first.

    @cached_property
    def stream(self) -> IO[bytes]:
        if isinstance(self._body, bytes):
            return BytesIO(self._body)
        self._body.seek(0)
        return self._body

    @cached_property
    def data(self) -> bytes:
        """The body; empty if it is a form, unless get_data() was called before."""
        return self.get_data(parse_form_data=True)  # type: ignore[no-any-return]

    def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """What of the body has not been read yet, as bytes or as text (UTF-8, bad bytes replaced).

        With `cache` it is kept, so that the next call and the form find it again.
        """
        data = self._cached_data
        if data is None:
            if parse_form_data:
                self._load_form()
            data = self._rest()
            if cache:
                self._cached_data = data
        return data.decode(errors="replace") if as_text else data

    def _rest(self) -> bytes:
        if "stream" not in self.__dict__ and isinstance(self._body, bytes):
            data, self._body = self._body, b""  # as it came, without a copy
            return data
        return self.stream.read()

    @cached_property
    def form(self) -> ImmutableMultiDict:
        """The fields of an urlencoded or multipart form; empty for anything else, and for a broken form."""
        return self._load_form()[0]

    @cached_property
    def files(self) -> ImmutableMultiDict:
        """The files of a multipart form, as FileStorage."""
        return self._load_form()[1]

    def _load_form(self) -> tuple[ImmutableMultiDict, ImmutableMultiDict]:
        known = self.__dict__
        if "form" not in known:
            fields: Sequence[tuple[Any, str]] = ()
            files: Sequence[tuple[Any, FileStorage]] = ()
            if self.mimetype in ("multipart/form-data", "application/x-www-form-urlencoded"):
                from scoring_runtime.api.multipart import read_form

                stream = self.stream if self._cached_data is None else BytesIO(self._cached_data)
                try:
                    fields, files = read_form(stream, self.mimetype, self.mimetype_params)
                except ValueError:
                    pass  # the script finds an empty form
            known["form"], known["files"] = ImmutableMultiDict(fields), ImmutableMultiDict(files)
        return known["form"], known["files"]

    @cached_property
    def values(self) -> CombinedMultiDict:
        """The query parameters, then the form fields (not those of a GET)."""
        return CombinedMultiDict([self.args] if self.method == "GET" else [self.args, self.form])

    @property
    def is_json(self) -> bool:
        """Whether the content type is application/json or application/...+json."""
        kind = self.mimetype
        return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))

    @property
    def json(self) -> Any:
        """get_json() with its defaults."""
        return self.get_json()

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body as JSON; raises BadRequest if it is not, or if the content type is not (unless `force`).

        With `silent` it is None instead.
        """
        known = self.__dict__
        if cache and "_json" in known:
            return known["_json"]
        if cache and silent and "_no_json" in known:
            return None
        if not (force or self.is_json):
            if silent:
                return None
            raise UnsupportedMediaType(
                f"The body was not read as JSON: its content type is {self.content_type!r}, expected "
                "'application/json'. Use request.get_json(force=True) to read it all the same."
            )
        import json

        try:
            value = json.loads(self.get_data(cache=cache))
        except ValueError as error:
            if silent:
                known["_no_json"] = cache
                return None
            raise BadRequest(f"The body is not JSON: {error}") from error
        if cache:
            known["_json"] = value
        return value

    # As a WSGI application would see it.

    @cached_property
    def environ(self) -> dict[str, Any]:
        """Changes to it do not change the request."""
        from scoring_runtime.api.environ import wsgi_environ

        return wsgi_environ(self, self._server_host, self._remote_port, self._http_version)
