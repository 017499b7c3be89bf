"""Builds a base image, or makes the locks anew: python base_images/build.py cpu --engine podman

base_images/<variant>/
  Dockerfile          ARG BASE is the file system to build on
  requirements.txt    the lock: a version and the hash of the wheel for each platform
  README.md           what is in it, how large it is, how it is run
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoring_runtime import __version__
from scoring_runtime.deploy import Workspace
from scoring_runtime.deploy.environments.own_wheel import DISTRIBUTION, expanded, own_wheel
from scoring_runtime.deploy.environments.resolver import LockedPackage, resolve
from scoring_runtime.deploy.environments.wheels import fetch, keep_wheel
from scoring_runtime.deploy.images.engine import ENGINES, Shell, build
from scoring_runtime.errors import PackagingError, ScoringRuntimeError

HERE = Path(__file__).parent
BOTH = ("linux/amd64", "linux/arm64")
SERVER = "scoring-runtime[token]"
FASTER = "scoring-runtime[fast-json,token]"  # 15 MB more


@dataclass(frozen=True)
class Variant:
    python: str  # of its base
    platforms: tuple[str, ...]
    requirements: tuple[str, ...]


VARIANTS = {
    "cpu": Variant("3.11", BOTH, (SERVER,)),
    "openvino": Variant("3.11", ("linux/amd64",), (FASTER, "onnxruntime-openvino")),
    "cuda": Variant("3.11", ("linux/amd64",), (FASTER, "onnxruntime-gpu[cuda,cudnn]")),
    "vitis-ai": Variant("3.11", ("linux/amd64",), (SERVER,)),
    "spark": Variant("3.10", BOTH, (FASTER, "pandas>=2,<3", "pyarrow>=16", "py4j")),
    "edge-arm64": Variant("3.11", ("linux/arm64",), (SERVER, "onnxruntime")),
}


def read_lock(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package -> version and hashes."""
    text = (HERE / name / "requirements.txt").read_text()
    rows = re.findall(r"^([\w.-]+)==(\S+)((?: --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    return {package: (version, frozenset(re.findall(r"[0-9a-f]{64}", hashes))) for package, version, hashes in rows}


def made_lock(name: str) -> str:
    """The text of a lock, with what the index has now."""
    variant = VARIANTS[name]
    lines, _ = expanded(variant.requirements)
    found: dict[tuple[str, str], set[str]] = {}
    for platform in variant.platforms:
        for package in resolve([*lines, "pip"], (), variant.python, platform):
            found.setdefault((package.name, package.version), set()).add(package.sha256)
    rows = [
        f"{package}=={version}" + "".join(f" --hash=sha256:{one}" for one in sorted(hashes))
        for (package, version), hashes in sorted(found.items())
    ]
    head = f"# Python {variant.python}, {', '.join(variant.platforms)}. Made by: python base_images/build.py --lock"
    return "\n".join([head, *rows, ""])


def locked_packages(name: str, platform: str) -> list[LockedPackage]:
    """The wheels of a lock for one platform; raises PackagingError where the index has others by now."""
    lock = read_lock(name)
    pinned = [f"{package}=={version}" for package, (version, _) in lock.items()]
    packages = resolve(pinned, (), VARIANTS[name].python, platform)
    for package in packages:
        if package.sha256 not in lock.get(package.name, ("", frozenset()))[1]:
            raise PackagingError(
                f"base_images/{name}/requirements.txt does not know {package.file} with sha256 {package.sha256}. "
                "If that is right, run: python base_images/build.py --lock"
            )
    return packages


def write_context(name: str, platform: str, folder: Path, workspace: Workspace) -> None:
    """What the Dockerfile copies: wheels/ with a hashed list; pip's own wheel installs them and stays outside."""
    packages = locked_packages(name, platform)
    file, content = own_wheel()
    own = LockedPackage(DISTRIBUTION, __version__, file, keep_wheel(workspace, file, content))
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    for package, path in zip([*packages, own], fetch(workspace, [*packages, own]), strict=True):
        shutil.copyfile(path, wheels / ("pip.whl" if package.name == "pip" else package.file))
    rows = [f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in (*packages, own) if one.name != "pip"]
    (wheels / "requirements.txt").write_text("".join(rows))
    shutil.copyfile(HERE / name / "Dockerfile", folder / "Dockerfile")


def build_image(
    name: str,
    engine: str,
    base: str = "",
    platform: str = "",
    tag: str = "",
    shell: Shell | None = None,
    workspace: Workspace | None = None,
) -> str:
    """The tag of the image that was built."""
    platform = platform or VARIANTS[name].platforms[0]
    tag = tag or f"localhost/scoring-runtime-{name}:{__version__}"
    with tempfile.TemporaryDirectory(prefix="scoring-base-") as folder:
        write_context(name, platform, Path(folder, "context"), workspace or Workspace())
        arguments = {"BASE": base} if base else {}
        log, path = tempfile.mkstemp(prefix=f"scoring-base-{name}-", suffix=".log")
        os.close(log)
        build(engine, os.path.join(folder, "context"), tag, path, shell, arguments)
    os.unlink(path)  # of a build that fails it stays, for the error names it
    return tag


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build a base image, or make the locks anew.")
    parser.add_argument("variant", nargs="*", choices=[*VARIANTS, []], help="all of them with --lock, if none is named")
    parser.add_argument("--lock", action="store_true", help="write requirements.txt with what the index has now")
    parser.add_argument("--engine", choices=ENGINES, default="docker")
    parser.add_argument("--base", default="", help="an image with a Python, in place of the Dockerfile's")
    parser.add_argument("--platform", default="", help="linux/amd64 or linux/arm64")
    parser.add_argument("--tag", default="")
    arguments = parser.parse_args(argv)
    if not (arguments.variant or arguments.lock):
        parser.error(f"name a variant: {', '.join(VARIANTS)}")
    try:
        for name in arguments.variant or (VARIANTS if arguments.lock else ()):
            if arguments.lock:
                (HERE / name / "requirements.txt").write_text(made_lock(name))
                print(f"Wrote base_images/{name}/requirements.txt")
            else:
                print(build_image(name, arguments.engine, arguments.base, arguments.platform, arguments.tag))
    except ScoringRuntimeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
