"""A package index on a free port with wheels made here: what a resolver and an installer meet, without PyPI."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """A wheel that installs a module of its name, or these files."""
    stem = f"{name}-{version}"
    about = "".join(f"Requires-Dist: {one}\n" for one in requires)
    members = {
        **(files if files is not None else {f"{name}.py": "x = 1\n"}),
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{about}",
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{stem}.dist-info/RECORD": "",
    }
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path


class Index:
    """The simple repository API over a folder; `url` for --index-url. `password` is asked for, if it is not empty."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}/simple"
        self.password = ""
        self.asked: list[str] = []
        self.failures = 0  # so many wheels are answered with 503 first


@contextmanager
def package_index(folder: Path) -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            index.asked.append(self.path)
            wanted = "Basic " + base64.b64encode(f"me:{index.password}".encode()).decode()
            if index.password and self.headers.get("Authorization") != wanted:
                self.answer(401, b"")
            elif self.path.startswith("/simple/"):
                self.page(self.path.split("/")[2])
            elif index.failures and self.path.startswith("/files/"):
                index.failures -= 1
                self.answer(503, b"")
            else:
                path = index.folder / self.path.rpartition("/")[2]
                self.answer(200 if path.exists() else 404, path.read_bytes() if path.exists() else b"")

        def page(self, name: str) -> None:
            wheels = sorted(index.folder.glob(f"{name.replace('-', '_')}-*"))
            links = "".join(f'<a href="/files/{p.name}#sha256={sha256(p)}">{p.name}</a>\n' for p in wheels)
            self.answer(200 if wheels else 404, f"<!DOCTYPE html><html><body>{links}</body></html>".encode())

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if self.path.startswith("/simple/") else "application/zip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index = Index(folder, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
