"""Virtual environments of locks, made once in the workspace's cache, for services that run as processes here."""

from __future__ import annotations

import fcntl
import os
import platform as machine
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.resolver import PLATFORMS
from scoring_runtime.deploy.environments.wheels import fetch, unpack
from scoring_runtime.durable import make_folder, write_file
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.lock import Lock
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["here", "venv"]

READY = "ready"  # a file in it, written last: without it the folder is the rest of one that was not finished


def here() -> tuple[str, str]:
    """The Python ("3.11") and the platform ("linux/amd64") of this process, to make a lock for."""
    platforms = {name: platform for platform, name in PLATFORMS.items()}
    platform = platforms.get(machine.machine())
    if platform is None:
        raise PackagingError(f"This machine is {machine.machine()}: expected one of {', '.join(platforms)}.")
    return "{}.{}".format(*sys.version_info), platform


def venv(workspace: Workspace, lock: Lock) -> str:
    """Its python. Two at once: one makes it, the other waits; what was left unfinished is made again."""
    folder = workspace.path("cache", "venvs", lock.digest[:32])
    python = os.path.join(folder, "bin", "python")
    make_folder(os.path.dirname(folder))
    with open(f"{folder}.lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, READY)):
            make(workspace, lock, folder, python)
    return python


def make(workspace: Workspace, lock: Lock, folder: str, python: str) -> None:
    if os.path.isdir(folder):
        shutil.rmtree(folder)
    base = interpreter(lock.python)
    done = subprocess.run([base, "-m", "venv", "--without-pip", folder], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise PackagingError(f"{base} cannot make a virtual environment: {done.stderr.strip()} Repair that Python.")
    packages = os.path.join(folder, "lib", f"python{lock.python}", "site-packages")
    for wheel in fetch(workspace, lock.packages):
        unpack(wheel, packages, os.path.join(folder, "bin"), python)
    write_file(os.path.join(folder, READY), lock.to_json().encode())


def interpreter(version: str) -> str:
    """A Python of that version on this machine."""
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        raise PackagingError(
            f"The environment asks for Python {version}, and there is no python{version} on the PATH. Install it, name "
            f"python={'{}.{}'.format(*sys.version_info)} in the environment, or deploy an image."
        )
    return found
