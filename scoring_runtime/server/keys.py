"""Where keys come from, and where they must not go: out of the environment before any user code runs, into the front.

A key that came in a variable lies in a memory file that only the front reads; the workers, which run the script, close
it, and their environment (also as /proc/<pid>/environ shows it) does not have it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import MutableMapping
from typing import NamedTuple

from scoring_runtime.errors import SettingsError
from scoring_runtime.settings import ROWS, Settings

__all__ = ["KeySource", "Keys", "Vault", "set_aside"]

logger = logging.getLogger("azmlinfsrv")

FILES = {"primary": "primaryKey", "secondary": "secondaryKey", "token": "tokenKey"}
VARIABLES = {row.name.removesuffix("_key"): row.env for row in ROWS if row.secret and row.name.endswith("_key")}
ROW_NAMES = {name: f"{name}_key" for name in FILES}
KEY_LENGTH = 16
TOKEN_KEY_LENGTH = 32  # of HS256: as long as what it makes
NEW_KEY = "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


class Keys(NamedTuple):
    """Empty where there is none."""

    primary: str = ""
    secondary: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return f"<Keys {', '.join(name for name, key in self._asdict().items() if key) or 'none'}>"


class Vault:
    """Keys in a memory file, for those who still have its descriptor."""

    def __init__(self, keys: Keys) -> None:
        self.fd = os.memfd_create("keys", os.MFD_CLOEXEC)
        os.write(self.fd, json.dumps(keys).encode())

    def open(self) -> Keys:
        return Keys(*json.loads(os.pread(self.fd, 1 << 20, 0)))

    def close(self) -> None:
        os.close(self.fd)


def set_aside(settings: Settings, environ: MutableMapping[str, str]) -> tuple[Settings, Vault]:
    """The settings without the keys, and the vault that has them; no variable has them any more."""
    keys = Keys(**{name: getattr(settings, row) or "" for name, row in ROW_NAMES.items()})
    for name in FILES:
        if environ.pop(VARIABLES[name], None) and environ is os.environ:
            wipe_environ()
    return settings.replace(**dict.fromkeys(ROW_NAMES.values())), Vault(keys)


def wipe_environ() -> None:
    """Overwrite the keys in the block that the kernel shows as /proc/<pid>/environ; workers inherit it by fork."""
    import ctypes

    with open("/proc/self/environ", "rb") as file:
        block = file.read()
    with open("/proc/self/stat", "rb") as file:
        start = int(file.read().rpartition(b")")[2].split()[47])  # env_start; 0 where the kernel does not tell
    at = 0
    for entry in block.split(b"\0") if start else ():
        name, _, value = entry.partition(b"=")
        if name.decode("ascii", "replace") in VARIABLES.values() and ctypes.string_at(start + at, len(entry)) == entry:
            ctypes.memset(start + at + len(name) + 1, ord("*"), len(value))
        at += len(entry) + 1


class KeySource:
    """The keys of now: a file in SCORING_KEYS_DIR, else what the variable said."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self.mode: str = settings.auth
        self.folder: str | None = settings.keys_dir
        self.given = vault.open() if self.mode != "none" else Keys()
        self.seen: object = None

    def read(self) -> Keys:
        """Checked for what the mode needs; raises SettingsError, which does not show a key."""
        self.seen = self.state()  # before the reading: what changes meanwhile is read again
        found = {name: self.read_file(file) for name, file in FILES.items()}
        keys = Keys(**{name: found[name] or getattr(self.given, name) for name in FILES})
        if self.mode == "key":
            self.check("primary", keys.primary, KEY_LENGTH)
            if keys.secondary:
                self.check("secondary", keys.secondary, KEY_LENGTH)
        elif self.mode == "token":
            self.check("token", keys.token, TOKEN_KEY_LENGTH)
        return keys

    def refresh(self) -> Keys | None:
        """New keys when the files have changed; broken ones are told about once, and the old ones stay."""
        if not self.folder or self.mode == "none" or self.state() == self.seen:
            return None
        try:
            keys = self.read()
        except SettingsError as error:
            logger.error("The keys have changed, but not to something usable; the old ones stay. %s", error)
            return None
        logger.info("The keys have changed: new ones are in use")
        return keys

    def warn(self) -> None:
        """Say which key files others may read."""
        for file in FILES.values() if self.folder and self.mode != "none" else ():
            path = os.path.join(self.folder or "", file)
            try:
                status = os.stat(path)
            except OSError:
                continue
            # Kubernetes lets the group read what it mounts for a group; that is not ours to mend.
            if status.st_mode & (0o044 if status.st_uid == os.geteuid() else 0o004):
                logger.warning("Others may read the key in %s. Mend it: chmod 600 %s", path, path)

    def state(self) -> tuple[object, ...]:
        return tuple(signature(os.path.join(self.folder, file)) for file in FILES.values()) if self.folder else ()

    def read_file(self, file: str) -> str:
        if not self.folder:
            return ""
        path = os.path.join(self.folder, file)
        try:
            with open(path, encoding="ascii") as opened:
                return opened.read().strip()
        except FileNotFoundError:
            if os.path.isdir(self.folder):
                return ""
            raise SettingsError(
                "SCORING_KEYS_DIR", self.folder, "a folder with key files", "Mount it, or unset the variable."
            ) from None
        except UnicodeDecodeError:
            raise SettingsError(path, "other bytes", "one line of visible ASCII characters", NEW_KEY) from None
        except OSError as error:
            raise SettingsError(path, error.strerror, "a file that this process can read", "Check its owner.") from None

    def check(self, name: str, key: str, shortest: int) -> None:
        place = VARIABLES[name]
        if self.folder:
            place = f"{os.path.join(self.folder, FILES[name])} (or {place})"
        expected = f"a key of at least {shortest} visible ASCII characters, as SCORING_AUTH={self.mode} needs"
        if not key:
            raise SettingsError(place, None, expected, NEW_KEY)
        if len(key) < shortest:
            raise SettingsError(place, f"{len(key)} characters", expected, NEW_KEY)
        if not all("!" <= letter <= "~" for letter in key):
            raise SettingsError(place, "other characters", expected, NEW_KEY)


def signature(path: str) -> tuple[int, ...]:
    """Changes when the file does, also when a link above it is set to another folder."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    # Not the time of the last change alone: who unpacks an archive sets it, to whole seconds.
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
