"""This project's own wheel, made again from what is installed: the image runs what the deployer has."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable
from importlib import metadata

import scoring_runtime
from scoring_runtime.deploy.environments.conda import package_name
from scoring_runtime.errors import PackagingError

__all__ = ["DISTRIBUTION", "expanded", "own_wheel"]

DISTRIBUTION = "scoring-runtime"
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip file can say
WHEEL = "Wheel-Version: 1.0\nGenerator: scoring-runtime\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
EXTRA = re.compile(r"""\(?\s*extra\s*==\s*['"]([^'"]+)['"]\s*\)?""")


def own_wheel() -> tuple[str, bytes]:
    """File name and content; equal for equal sources, installed normally or editable."""
    distribution = installed()
    stem = f"scoring_runtime-{distribution.version}"
    files = dict(sources())
    for name, content in documents(distribution):
        files[f"{stem}.dist-info/{name}"] = content
    files[f"{stem}.dist-info/WHEEL"] = WHEEL.encode()
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{path},sha256={digest(files[path])},{len(files[path])}" for path in sorted(files)]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored: compressed bytes differ between versions of zlib
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, EARLIEST)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[path])
    return f"{stem}-py3-none-any.whl", buffer.getvalue()


def installed() -> metadata.Distribution:
    try:
        return metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise PackagingError(
            f"{DISTRIBUTION} runs from a folder without being installed, so there is no wheel to package. "
            "Run: pip install ."
        ) from None


def sources() -> Iterable[tuple[str, bytes]]:
    root = os.path.abspath(next(iter(scoring_runtime.__path__)))
    for folder, folders, names in os.walk(root):
        folders[:] = [one for one in folders if one != "__pycache__" and not one.startswith(".")]
        for name in names:
            if name.endswith((".py", ".json", ".typed")):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    yield os.path.relpath(path, os.path.dirname(root)).replace(os.sep, "/"), file.read()


def documents(distribution: metadata.Distribution) -> Iterable[tuple[str, bytes]]:
    """What an installer does not write itself."""
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        text = distribution.read_text(name)
        if text is not None:
            yield name, text.encode()


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def expanded(lines: Iterable[str]) -> tuple[list[str], bool]:
    """The requirements with this project's own replaced by what it needs, sorted; and whether it was among them."""
    result: set[str] = set()
    own = False
    for line in lines:
        if package_name(line) == DISTRIBUTION:
            own = True
            # Whether callers show tokens is said at deployment, when the packages are chosen already.
            result |= needs({*extras_of(line), "token"})
        else:
            result.add(line)
    return sorted(result), own


def needs(extras: set[str]) -> set[str]:
    """What this project with these extras requires, its extras of extras followed."""
    result: set[str] = set()
    for line in installed().requires or ():
        text, _, marker = (part.strip() for part in line.partition(";"))
        extra = EXTRA.search(marker)
        if extra is not None and extra[1] not in extras:
            continue
        if package_name(text) == DISTRIBUTION:
            result |= needs(extras_of(text) - extras) if extras_of(text) - extras else set()
            continue
        rest = re.sub(r"^\s*and\s+|\s+and\s*$", "", EXTRA.sub("", marker)).strip()
        result.add(f"{text}; {rest}" if rest else text)
    return result


def extras_of(requirement: str) -> set[str]:
    found = re.search(r"\[([^\]]*)\]", requirement)
    return {one.strip() for one in found[1].split(",") if one.strip()} if found else set()
