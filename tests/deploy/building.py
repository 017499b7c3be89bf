"""What tests of images build with: a base of a few bytes, a script that needs no package, an order."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoring_runtime.deploy import Environment, Image, InferenceConfig, Workspace
from scoring_runtime.deploy.images.oci import CONFIG, MANIFEST

__all__ = ["ELF", "contents", "layer_names", "layered_base", "manifest_of", "script_alone", "small_base"]

MACHINES = {"amd64": 62, "arm64": 183}


ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, MACHINES["amd64"]) + bytes(44)


def layered_base(folder: Path, *layers: Mapping[str, bytes | str]) -> Path:
    """An OCI layout for amd64. Each layer: path -> contents, or as a text the path that it is a hard link to."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data), "mediaType": media_type}

    written = []
    for members in layers:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, content in members.items():
                info = tarfile.TarInfo(path)
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.LNKTYPE, content
                    tar.addfile(info)
                else:
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        written.append(put(buffer.getvalue(), "application/vnd.oci.image.layer.v1.tar"))
    rootfs = {"type": "layers", "diff_ids": [one["digest"] for one in written]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    about = put(json.dumps(config).encode(), CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": about, "layers": written}
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode(), MANIFEST)]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def small_base(folder: Path, architecture: str = "amd64", name: str = "", python: str = "usr/bin/python3.11") -> Path:
    """A root file system with nothing but the beginning of a Python. Equal calls make equal files."""
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, MACHINES[architecture]) + bytes(44)
    path = folder / (name or f"base-{architecture}.tar")
    with tarfile.open(path, "w") as tar:
        for place, content in {"etc/os-release": b"ID=test\n", python: elf}.items():
            info = tarfile.TarInfo(f"./{place}")
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return path


def script_alone(folder: Path, text: str = "def init(): pass\ndef run(data): return data\n") -> InferenceConfig:
    """A source folder with a score.py, in an environment that installs nothing."""
    source = folder / "src"
    source.mkdir(parents=True, exist_ok=True)
    (source / "score.py").write_text(text)
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    return InferenceConfig("score.py", source_directory=str(source), environment=environment)


def manifest_of(workspace: Workspace, image: Image) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(workspace.blobs.read(image.descriptor.digest[7:]))
    return document


def contents(workspace: Workspace, digest: str) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(workspace.blobs.path(digest[7:])) as tar:
        return {member.name: member for member in tar.getmembers()}


def layer_names(workspace: Workspace, image: Image) -> list[str]:
    config = json.loads(workspace.blobs.read(manifest_of(workspace, image)["config"]["digest"][7:]))
    return [one["created_by"] for one in config["history"]]
