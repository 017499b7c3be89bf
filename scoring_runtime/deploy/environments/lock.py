"""A lock: for each requirement the one wheel, by name and hash, that a Python on a platform installs.

Nothing of the target is run: an arm64 lock is made on amd64. The same requirements give the same lock until it is
asked for anew, or the workspace's cache is emptied.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.own_wheel import DISTRIBUTION, expanded, own_wheel
from scoring_runtime.deploy.environments.resolver import LockedPackage, resolve
from scoring_runtime.deploy.environments.wheels import keep_wheel
from scoring_runtime.durable import make_folder, write_file

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.requirements import Requirements
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Lock", "LockedPackage", "lock"]

FORMAT = 1  # a change here makes all cached locks void


@dataclass(frozen=True)
class Lock:
    """What to install, sorted by name."""

    python: str  # "3.11"
    platform: str  # "linux/amd64"
    packages: tuple[LockedPackage, ...]

    @property
    def digest(self) -> str:
        """Equal locks install equal files."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Without addresses, so that it may lie in an image and is the same whatever mirror was used."""
        packages = [{name: value for name, value in asdict(one).items() if name != "url"} for one in self.packages]
        return json.dumps({"python": self.python, "platform": self.platform, "packages": packages}, indent=1)

    def requirements(self) -> str:
        """As a hashed requirements file, for pip and uv with --require-hashes."""
        return "".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in self.packages)


def lock(
    workspace: Workspace,
    requirements: Requirements,
    python: str,
    platform: str = "linux/amd64",
    *,
    update: bool = False,
) -> Lock:
    """The lock for these requirements; with `update` resolved anew. Raises ResolutionError.

    `python` ("3.11") counts where the requirements name none.
    """
    python = requirements.python or python
    lines, wants_own = expanded(requirements.pip)
    inputs = {"format": FORMAT, "lines": lines, "options": requirements.pip_options, "python": python, "to": platform}
    path = workspace.path("cache", "locks", f"{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()}.json")
    packages = None if update else cached(path)
    if packages is None:
        packages = resolve(lines, requirements.pip_options, python, platform)
        make_folder(os.path.dirname(path))
        write_file(path, json.dumps([asdict(one) for one in packages], indent=1).encode())
        os.chmod(path, 0o600)  # an address may hold a login
    own = [own_package(workspace)] if wants_own else []
    return Lock(python, platform, tuple(sorted([*packages, *own])))


def cached(path: str) -> list[LockedPackage] | None:
    try:
        with open(path, "rb") as file:
            return [LockedPackage(**one) for one in json.load(file)]
    except (FileNotFoundError, ValueError, TypeError):
        return None


def own_package(workspace: Workspace) -> LockedPackage:
    """This project's wheel, put where fetched ones lie."""
    file, content = own_wheel()
    return LockedPackage(DISTRIBUTION, file.split("-")[1], file, keep_wheel(workspace, file, content))
