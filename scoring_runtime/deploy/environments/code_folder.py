"""The files of a script: its folder listed once, what never belongs into an image left out, secrets refused.

`.gitignore` and `.amlignore` are not consulted: what is in the folder is packaged, as on the original service.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from scoring_runtime.errors import PackagingError

__all__ = ["LEFT_OUT", "CodeFile", "code_file", "list_code", "refuse_secrets"]

LEFT_OUT = (".git", ".hg", ".svn", "__pycache__", ".venv", ".ipynb_checkpoints", ".pytest_cache", ".mypy_cache", ".tox")

SECRET_NAMES = (
    ".env", ".env.*", "*.env", ".netrc", "_netrc", ".git-credentials", ".npmrc", ".pypirc", ".pgpass", ".htpasswd",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "kubeconfig", "*.kubeconfig", "*.pfx", "*.p12", "*.jks", "*.keystore",
    "credentials.json", "service-account*.json", "accesstokens.json", "msal_token_cache.*", "*.ppk", ".dockercfg",
    ".dockerconfigjson", "application_default_credentials.json",
)  # fmt: skip
SECRET_PATHS = (".aws/credentials", ".kube/config", ".docker/config.json", ".azure/*", ".ssh/*", ".gnupg/*")
HARMLESS_NAMES = (".env.example", ".env.sample", ".env.template", "*.pub", "known_hosts", "authorized_keys")
# In JSON, as Google hands keys out, the line's end is written as two characters.
PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])+[A-Za-z0-9+/=:]")
SEARCHED_BYTES = 256 * 1024  # a key file is small; larger files are data


@dataclass(frozen=True, order=True)
class CodeFile:
    """One file as it was when it was listed."""

    path: str  # below the folder, with /
    source: str
    size: int
    executable: bool
    modified_ns: int


def list_code(folder: str) -> tuple[CodeFile, ...]:
    """Every file below the folder, sorted. Links are followed; raises PackagingError for one that leads nowhere."""
    return tuple(sorted(walk(folder, "", frozenset())))


def walk(folder: str, prefix: str, above: frozenset[str]) -> Iterator[CodeFile]:
    real = os.path.realpath(folder)
    if real in above:
        raise PackagingError(f"{folder} is a link to a folder that it lies in. Remove the link.")
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise PackagingError(f"{folder} cannot be read: {error.strerror}. Make it readable, or remove it.") from None
    for name in names:
        if name in LEFT_OUT or name.endswith(".pyc"):
            continue
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from walk(path, f"{prefix}{name}/", above | {real})
        else:
            yield code_file(path, prefix + name)


def code_file(source: str, path: str) -> CodeFile:
    """Raises PackagingError where there is no readable plain file."""
    try:
        path.encode()
        found = os.stat(source)
    except UnicodeEncodeError:
        raise PackagingError(f"{source!r}: the name is not UTF-8. Rename the file.") from None
    except OSError as error:
        raise PackagingError(f"{source} cannot be packaged: {error.strerror}. Remove it, or repair the link.") from None
    if not stat.S_ISREG(found.st_mode):
        raise PackagingError(f"{source} is not a plain file, so no image can hold it. Remove it from the folder.")
    return CodeFile(path, source, found.st_size, bool(found.st_mode & 0o111), found.st_mtime_ns)


def refuse_secrets(files: Collection[CodeFile], allowed: Collection[str] = ()) -> None:
    """Raises PackagingError that lists what looks like a secret, but for the allowed paths."""
    reasons = {file.path: reason for file in files if file.path not in allowed and (reason := why_secret(file))}
    if reasons:
        listed = "\n".join(f"  {path}: {reason}" for path, reason in sorted(reasons.items()))
        example = min(reasons)
        raise PackagingError(
            f"Everyone who can pull the image could read what looks like secrets in it:\n{listed}\n"
            "Move them out of the folder and hand them over when the service starts, as environment variables or "
            f"mounted files. What is no secret can be allowed by name: --allow-secret {example}"
        )


def why_secret(file: CodeFile) -> str:
    name = file.path.rpartition("/")[2]
    if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in HARMLESS_NAMES):
        return ""
    if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in SECRET_NAMES):
        return f"files called {name} hold credentials"
    if any(fnmatch.fnmatchcase(f"/{file.path}", f"*/{pattern}") for pattern in SECRET_PATHS):
        return "that folder holds credentials"
    if file.size <= SEARCHED_BYTES and PRIVATE_KEY.search(beginning(file.source)):
        return "holds a private key"
    return ""


def beginning(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(SEARCHED_BYTES)
    except OSError as error:
        raise PackagingError(f"{path} cannot be read: {error.strerror}. Make it readable, or remove it.") from None
