"""Lines of requirements that are refused before any tool reads them: they name other files, or source to be built."""

from __future__ import annotations

import os
import re

from scoring_runtime.errors import BadEnvironment

__all__ = ["check_line", "masked"]

OTHER_FILE = re.compile(r"-[rc]|--requirement\b|--constraint\b")
EDITABLE = re.compile(r"-e|--editable\b")
VERSION_CONTROL = re.compile(r"(^|@\s*)(git|hg|svn|bzr)\+")
FOLDER_OPTION = re.compile(r"(?:-f|--find-links)[\s=]*(.*)")
RELATIVE = re.compile(r"\.{1,2}/|\.(?:$|\[)|[^@\s]*\.whl$|[^@\s]*\.(tar\.gz|zip)$")
BUILD = "Build a wheel of it (pip wheel --no-deps -w wheels SOURCE), and name that folder by --find-links, absolutely."


def check_line(line: str, source: str) -> None:
    """Raises BadEnvironment. An editable line would have the resolver run its setup.py on this machine."""
    text = line.strip()
    if OTHER_FILE.match(text):
        raise BadEnvironment(
            f"{source}: {masked(text)!r} is not followed. Write those requirements into the list itself."
        )
    if EDITABLE.match(text) or VERSION_CONTROL.search(text):
        raise BadEnvironment(f"{source}: {masked(text)!r} is source, and nothing is built here. {BUILD}")
    folder = FOLDER_OPTION.match(text)
    path = folder[1] if folder else text
    if "://" not in path and not os.path.isabs(path) and (folder or RELATIVE.match(path)):
        fix = "Give the absolute path, for pip's files are read elsewhere"
        raise BadEnvironment(
            f"{source}: expected an absolute path or a URL, got {text!r}. {fix}: {os.path.abspath(path)}"
        )


def masked(text: str) -> str:
    """Without the user and password of the addresses in it."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)
