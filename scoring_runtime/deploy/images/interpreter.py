"""The Python of a base image, found by its file: nothing of the target is run, so it may be of any architecture."""

from __future__ import annotations

import os
import re
import struct
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.images.layer_cache import key_of, remembered
from scoring_runtime.deploy.images.layers import Layer
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Interpreter", "elf_architecture", "find_interpreter"]

PYTHON = re.compile(r"(?:usr/local|usr|opt/[^/]+)/bin/python3\.(\d+)\Z")
OLDEST_MINOR = 10
ELF_MACHINES = {62: "amd64", 183: "arm64", 40: "arm", 3: "386", 243: "riscv64", 21: "ppc64le", 22: "s390x"}


@dataclass(frozen=True)
class Interpreter:
    path: str  # /usr/bin/python3.11
    version: str  # 3.11
    architecture: str  # amd64, by the file's own header


def elf_architecture(head: bytes) -> str:
    """By the first 20 bytes of a file; empty if it is not an ELF file."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return ""
    (machine,) = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])
    return ELF_MACHINES.get(machine, f"elf-{machine}")


def find_interpreter(workspace: Workspace, layers: Sequence[Layer], where: str) -> Interpreter:
    """The one in /usr/local before that in /usr before others, of these the newest. Raises PackagingError."""
    found: dict[str, str] = {}
    for layer in layers:
        found |= remembered(workspace, key_of("pythons", layer.digest), lambda layer=layer: pythons(workspace, layer))  # type: ignore[misc]
    known = {path: architecture for path, architecture in found.items() if minor(path) >= OLDEST_MINOR and architecture}
    if not known:
        there = f" (found: {', '.join(sorted('/' + path for path in found))})" if found else ""
        raise PackagingError(
            f"The base {where} has no Python 3.{OLDEST_MINOR} or newer in /usr/bin, /usr/local/bin or /opt{there}. "
            "Build on an image that has one, such as python:3.11-slim, or use the Dockerfile way: --engine docker."
        )
    best = min(known, key=lambda path: (not path.startswith("usr/local"), not path.startswith("usr"), -minor(path)))
    return Interpreter(f"/{best}", f"3.{minor(best)}", known[best])


def minor(path: str) -> int:
    return int(path.rpartition(".")[2])


def pythons(workspace: Workspace, layer: Layer) -> Any:
    """Path -> architecture, in one layer."""
    found = {}
    try:
        with tarfile.open(workspace.blobs.path(layer.digest[7:]), "r|*") as tar:
            for member in tar:
                path = os.path.normpath(member.name).lstrip("/")
                if PYTHON.match(path) and member.isfile():
                    file = tar.extractfile(member)
                    found[path] = elf_architecture(file.read(20)) if file else ""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PackagingError(
            f"A layer of the base, {layer.digest} ({layer.media_type}), cannot be read: {error}. If it is compressed "
            "with zstd, copy the image first: skopeo copy --dest-compress-format gzip FROM TO"
        ) from None
    return found
