"""The request as a WSGI application would see it, for libraries that ask for an environ."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["wsgi_environ"]


def wsgi_environ(request: Any, server: str, remote_port: int | None, http_version: str) -> dict[str, Any]:
    """The CGI variables, HTTP_* for the headers, and the wsgi.* keys."""
    name, _, port = server.rpartition(":")
    if not port.isdecimal():
        name, port = server, "443" if request.is_secure else "80"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": request.root_path,
        "PATH_INFO": request.path.encode().decode("latin-1"),
        "QUERY_STRING": request.query_string.decode("latin-1"),
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": request.stream,
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if request.remote_addr is not None:
        environ["REMOTE_ADDR"] = request.remote_addr
    if remote_port is not None:
        environ["REMOTE_PORT"] = str(remote_port)
    for header, value in request.headers.items():
        key = header.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ
