"""The Python of a base image, found by its file: nothing of the target is run, so it may be of any architecture."""

from __future__ import annotations

import os
import re
import struct
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.images.layer_cache import key_of, remembered
from scoring_runtime.deploy.images.layers import Layer
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Interpreter", "elf_architecture", "find_interpreter"]

PYTHON = re.compile(r"(?:usr/local|usr|opt/[^/]+)/bin/python3\.(\d+)")
PROGRAM = re.compile(r"(?:usr/local|usr|opt/[^/]+)/bin/python[0-9.m]*")  # a Python may be a hard link to another name
LOADER = re.compile(r"ld-(musl|linux)-.*")
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"  # "is not there any more", and "nothing of what lies below"
OLDEST_MINOR = 10
ELF_MACHINES = {62: "amd64", 183: "arm64", 40: "arm", 3: "386", 243: "riscv64", 21: "ppc64le", 22: "s390x"}


@dataclass(frozen=True)
class Interpreter:
    path: str  # /usr/bin/python3.11
    version: str  # 3.11
    architecture: str  # amd64, by the file's own header
    musl: bool = False  # the C library of Alpine, for which wheels are others


def elf_architecture(head: bytes) -> str:
    """By the first 20 bytes of a file; empty if it is not an ELF file."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return ""
    (machine,) = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])
    return ELF_MACHINES.get(machine, f"elf-{machine}")


def find_interpreter(workspace: Workspace, layers: Sequence[Layer], where: str) -> Interpreter:
    """The one in /usr/local before that in /usr before others, of these the newest. Raises PackagingError."""
    found: dict[str, str] = {}
    loaders: set[str] = set()
    for layer in layers:
        seen = remembered(workspace, key_of("seen", layer.digest), lambda layer=layer: look_into(workspace, layer))  # type: ignore[misc]
        below = {path: architecture for path, architecture in found.items() if not is_gone(path, seen["gone"])}
        found = {**below, **seen["pythons"]}
        loaders |= set(seen["loaders"])
    known = {path: architecture for path, architecture in found.items() if minor(path) >= OLDEST_MINOR and architecture}
    if not known:
        there = f" (found: {', '.join(sorted('/' + path for path in found))})" if found else ""
        raise PackagingError(
            f"The base {where} has no Python 3.{OLDEST_MINOR} or newer in /usr/bin, /usr/local/bin or /opt{there}. "
            "Build on an image that has one, such as python:3.11-slim, or use the Dockerfile way: --engine docker."
        )
    best = min(known, key=lambda path: (not path.startswith("usr/local"), not path.startswith("usr"), -minor(path)))
    return Interpreter(f"/{best}", f"3.{minor(best)}", known[best], loaders == {"musl"})


def minor(path: str) -> int:
    return int(path.rpartition(".")[2])


def is_gone(path: str, gone: Sequence[str]) -> bool:
    """Whether a layer above says that the path, or a folder that it is in, is not there any more."""
    return any(path == one or path.startswith(f"{one}/") for one in gone)


def look_into(workspace: Workspace, layer: Layer) -> Any:
    """Of one layer: its Pythons with their architectures, what it takes away from those below, the loaders of C."""
    programs: dict[str, str] = {}
    gone: list[str] = []
    loaders: set[str] = set()
    try:
        with tarfile.open(workspace.blobs.path(layer.digest[7:]), "r|*") as tar:
            for member in tar:
                path = os.path.normpath(member.name).lstrip("/")
                folder, _, name = path.rpartition("/")
                if name.startswith(WHITEOUT):
                    gone.append(folder if name == OPAQUE else f"{folder}/{name[len(WHITEOUT) :]}".lstrip("/"))
                elif loader := LOADER.fullmatch(name):
                    loaders.add(loader[1])
                elif PROGRAM.fullmatch(path):
                    programs[path] = architecture_of(tar, member, programs)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PackagingError(
            f"A layer of the base, {layer.digest} ({layer.media_type}), cannot be read: {error}. If it is compressed "
            "with zstd, copy the image first: skopeo copy --dest-compress-format gzip FROM TO"
        ) from None
    pythons = {path: architecture for path, architecture in programs.items() if PYTHON.fullmatch(path)}
    return {
        "pythons": pythons,
        "gone": sorted(path for path in gone if path.startswith(("usr", "opt"))),
        "loaders": sorted(loaders),
    }


def architecture_of(tar: tarfile.TarFile, member: tarfile.TarInfo, before: Mapping[str, str]) -> str:
    """By the file's header; of a hard link by that of the file, which comes first; of what is no file empty."""
    if member.islnk():
        return before.get(os.path.normpath(member.linkname).lstrip("/"), "")
    file = tar.extractfile(member) if member.isfile() else None
    return elf_architecture(file.read(20)) if file else ""
