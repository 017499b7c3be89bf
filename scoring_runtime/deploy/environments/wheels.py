"""Wheels fetched once, checked by hash, and unpacked: into an image's folder or a virtual environment, no code run."""

from __future__ import annotations

import base64
import hashlib
import netrc
import os
import re
import shutil
import stat
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from scoring_runtime.deploy.environments.resolver import LockedPackage
from scoring_runtime.durable import make_folder, write_file
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.lock import Lock
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["fetch", "install", "keep_wheel", "unpack", "wheel_path"]

TRIES, SECONDS, AT_ONCE = 3, 60, 6
CHUNK = 1 << 20
LAUNCHER = """#!{python}
import sys
from {module} import {name}
if __name__ == "__main__":
    sys.exit({call}())
"""


def wheel_path(workspace: Workspace, package: LockedPackage) -> str:
    return workspace.path("cache", "wheels", package.sha256, package.file)


def keep_wheel(workspace: Workspace, file: str, content: bytes) -> str:
    """Put a wheel that was made here where fetched ones lie; returns its hash."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = workspace.path("cache", "wheels", sha256, file)
    if not os.path.exists(path):
        make_folder(os.path.dirname(path))
        write_file(path, content)
    return sha256


def fetch(workspace: Workspace, packages: Iterable[LockedPackage]) -> list[str]:
    """The wheels' paths here, in order; fetched what is not there. Raises PackagingError."""
    with ThreadPoolExecutor(AT_ONCE, "fetch-wheels") as pool:
        return list(pool.map(lambda package: fetched(workspace, package), packages))


def fetched(workspace: Workspace, package: LockedPackage) -> str:
    path = wheel_path(workspace, package)
    if os.path.exists(path):
        return path
    if not package.url:
        raise PackagingError(f"{path} is gone from the workspace's cache. Make the lock again.")
    make_folder(os.path.dirname(path))
    for attempt in range(1, TRIES + 1):
        try:
            download(package, path)
            return path
        except (OSError, urllib.error.URLError) as error:
            if attempt == TRIES or (isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404)):
                raise PackagingError(
                    f"{package.file} cannot be fetched from {urlsplit(package.url).hostname}: {error}. Check the "
                    "network and the free space, then try again; what was fetched is kept."
                ) from None
            time.sleep(0.5 * attempt)
    raise AssertionError


def download(package: LockedPackage, path: str) -> None:
    """Beside its place, and there when its hash is right."""
    hashed = hashlib.sha256()
    temporary = f"{path}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        with urllib.request.urlopen(request_for(package.url), timeout=SECONDS) as answer, open(temporary, "wb") as file:
            while chunk := answer.read(CHUNK):
                hashed.update(chunk)
                file.write(chunk)
        if hashed.hexdigest() != package.sha256:
            raise PackagingError(
                f"{package.file}: expected the sha256 {package.sha256}, got {hashed.hexdigest()}. The index, or "
                "something on the way, has replaced the file: find out before you make the lock anew."
            )
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def request_for(url: str) -> urllib.request.Request:
    """With the user and password of the address, or of ~/.netrc."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user and parts.hostname:
        try:
            login, _, secret = netrc.netrc().authenticators(parts.hostname) or ("", "", "")
            user, password = login or "", secret or ""
        except (OSError, netrc.NetrcParseError):
            pass
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    if user:
        request.add_unredirected_header("Authorization", basic(user, password))
    return request


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# unpacking


def install(workspace: Workspace, lock: Lock, folder: str, python: str = "/usr/bin/env python3") -> None:
    """All packages of the lock into one folder for sys.path, their commands into its bin/, started by `python`.

    Equal locks give equal files: nothing is compiled, no installer leaves a note.
    """
    for path in fetch(workspace, lock.packages):
        unpack(path, folder, os.path.join(folder, "bin"), python)


def unpack(wheel: str, folder: str, commands: str, python: str) -> None:
    """One wheel, as the wheel format says: files, `.data` folders, entry points."""
    stem = "-".join(os.path.basename(wheel).split("-")[:2])
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                extract(archive, entry, destination(entry.filename, stem, folder, commands), python)
        points = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/entry_points\.txt", name)]
        text = archive.read(points[0]).decode() if points else ""
    for name, target in console_scripts(text):
        module, _, attribute = target.partition("[")[0].strip().partition(":")
        write_command(os.path.join(commands, name), python, module, attribute)


def destination(name: str, stem: str, folder: str, commands: str) -> str:
    """Where a member goes; empty for what has no place beside a folder of sys.path (headers, other data)."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise PackagingError(f"{stem}: the wheel holds {name!r}, which lies outside of it. Do not use this wheel.")
    if not parts[0].endswith(".data"):
        return os.path.join(folder, *parts)
    if parts[1] in ("purelib", "platlib"):
        return os.path.join(folder, *parts[2:])
    if parts[1] == "scripts":
        return os.path.join(commands, *parts[2:])
    return os.path.join(folder, "share", *parts[2:]) if parts[1] == "data" else ""


def extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str, python: str) -> None:
    if not path:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    executable = bool((entry.external_attr >> 16) & stat.S_IXUSR)
    with archive.open(entry) as source, open(path, "wb") as file:
        if "/scripts/" in entry.filename and ".data/" in entry.filename:
            executable = True
            first = source.readline()
            file.write(f"#!{python}\n".encode() if first.startswith(b"#!python") else first)
        shutil.copyfileobj(source, file, CHUNK)
    os.chmod(path, 0o755 if executable else 0o644)


def console_scripts(text: str) -> list[tuple[str, str]]:
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return sorted(parser.items("console_scripts")) if parser.has_section("console_scripts") else []


def write_command(path: str, python: str, module: str, attribute: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    name = attribute.partition(".")[0]
    with open(path, "w", encoding="utf-8") as file:
        file.write(LAUNCHER.format(python=python, module=module, name=name, call=attribute))
    os.chmod(path, 0o755)
