"""What stands before a registry in real life, on purpose: token logins, errors that pass, connections that break."""

from __future__ import annotations

import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

TOKEN = "let-me-in"
HOP = {"connection", "transfer-encoding", "content-length", "host", "authorization"}


class Gateway(ThreadingHTTPServer):
    """Passes everything on to the registry; what it is told to do comes first."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.seen: list[tuple[str, str, int]] = []  # method, path without digests, bytes of the body
        self.failures: list[tuple[int, dict[str, str]]] = []  # answered before anything else, one a request
        self.cut_uploads: list[int | None] = []  # break off PATCHes after so many bytes; None: not this one
        self.cut_downloads: list[int] = []
        self.no_ranges = False
        self.corrupt = False
        self.user: tuple[str, str] | None = None  # who may have a token
        self.scopes: list[str] = []  # that tokens were asked for

    def methods(self) -> list[str]:
        return [method for method, _, _ in self.seen]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        gateway = self.server
        length = int(self.headers.get("Content-Length") or 0)
        if self.path.startswith("/token"):
            return self.token(self.rfile.read(length))
        if gateway.user and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.rfile.read(length)
            realm = f'Bearer realm="http://{gateway.address}/token",service="registry"'
            return self.reply(401, {"WWW-Authenticate": realm}, b"{}")
        cut = gateway.cut_uploads.pop(0) if self.command == "PATCH" and gateway.cut_uploads else None
        if cut is not None:
            part = self.rfile.read(min(cut, length))
            if part:
                self.forward(part)  # the registry gets what has arrived; we hear nothing
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        body = self.rfile.read(length)
        gateway.seen.append((self.command, self.path.partition("?")[0], len(body)))
        if gateway.failures and self.path != "/v2/":
            status, headers = gateway.failures.pop(0)
            return self.reply(status, headers, json.dumps({"errors": [{"code": "BUSY", "message": "later"}]}).encode())
        answer = self.forward(body)
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
        if "location" in headers:
            place = urllib.parse.urlsplit(headers["location"])
            headers["location"] = f"{place.path}?{place.query}"
        data = answer.content
        if gateway.corrupt and "/blobs/" in self.path and self.command == "GET":
            data = b"?" + data[1:]
        return self.reply(answer.status_code, headers, data)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def forward(self, body: bytes) -> httpx.Response:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        if self.server.no_ranges:
            headers.pop("Range", None)
        if "Content-Range" in headers:
            start = int(headers["Content-Range"].partition("-")[0])
            headers["Content-Range"] = f"{start}-{start + len(body) - 1}"
        with httpx.Client(trust_env=False) as client:
            return client.request(self.command, self.server.upstream + self.path, headers=headers, content=body)

    def reply(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        length = headers.get("Content-Length", str(len(data)))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.cut_downloads and ("/blobs/sha256:" in self.path or "/manifests/" in self.path):
            self.wfile.write(data[: self.server.cut_downloads.pop(0)])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(data)

    def token(self, body: bytes) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query) | urllib.parse.parse_qs(body.decode())
        self.server.scopes += query.get("scope", [])
        login = httpx.BasicAuth(*(self.server.user or ("", "")))._auth_header
        if self.headers.get("Authorization") == login or query.get("refresh_token") == ["identity"]:
            self.reply(200, {}, json.dumps({"token": TOKEN}).encode())
        else:
            self.reply(401, {}, json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "wrong login"}]}).encode())


@contextmanager
def gateway_before(upstream: str) -> Iterator[Gateway]:
    gateway = Gateway(upstream)
    thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield gateway
    finally:
        gateway.shutdown()
        thread.join()
        gateway.server_close()
