"""Where providers keep what they compile, and one process at a time that compiles it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["CACHE_SETTING", "cache_folder", "compiling"]

CACHE_SETTING = "SCORING_ACCELERATOR_CACHE"


def cache_folder(environ: Mapping[str, str]) -> str:
    """SCORING_ACCELERATOR_CACHE, else one in the home folder, else below /tmp: the first that can be written to."""
    home = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    # A name below /tmp can be guessed: the folder has to be ours.
    shared = os.path.join(tempfile.gettempdir(), f"scoring-runtime-{os.getuid()}")
    for folder in (environ.get(CACHE_SETTING), os.path.join(home, "scoring-runtime"), shared):
        if folder and writable(folder):
            return os.path.abspath(folder)
    return ""


def writable(folder: str) -> bool:
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK) and os.stat(folder).st_uid in (os.getuid(), 0)


@contextmanager
def compiling(folder: str) -> Iterator[None]:
    """Of several workers that open the same model one compiles; the others wait, and read what it has kept."""
    if not folder:
        yield
        return
    with open(os.path.join(folder, ".lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
