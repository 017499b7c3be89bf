"""Files that are there whole or not at all, whatever is killed and whenever: write beside, sync, rename, sync.

`private` is for the owner only, from the first byte on. The umask is not changed for it: that is the whole process's.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

__all__ = ["make_folder", "sync_folder", "write_file", "write_files"]


def write_file(path: str, *chunks: bytes, private: bool = False) -> None:
    """Replace the file in one step. The temporary's name is unique, so that writers on other machines do not meet."""
    write_files({path: chunks}, private=private)


def write_files(contents: Mapping[str, Sequence[bytes]], *, private: bool = False) -> None:
    """Each file replaced in one step; all take little longer than one, as the disk's journal takes them together.

    If this raises, some may have been replaced and some not.
    """
    temporaries = {path: f"{path}.{uuid.uuid4().hex[:12]}.tmp" for path in contents}
    try:
        write_temporaries(temporaries, contents, 0o600 if private else 0o666)
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
    except BaseException:
        for temporary in temporaries.values():  # a full disk would be fuller with them
            with suppress(OSError):
                os.unlink(temporary)
        raise
    for folder in {os.path.dirname(path) for path in contents}:
        sync_folder(folder)


def write_temporaries(temporaries: Mapping[str, str], contents: Mapping[str, Sequence[bytes]], mode: int) -> None:
    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, mode)

    with ExitStack() as opened:
        files = [opened.enter_context(open(temporary, "wb", opener=opener)) for temporary in temporaries.values()]
        for file, chunks in zip(files, contents.values(), strict=True):
            for chunk in chunks:
                file.write(chunk)
            file.flush()
        for file in files:
            os.fsync(file.fileno())


def make_folder(path: str, *, private: bool = False) -> None:
    """With all above it that are not there."""
    if not os.path.isdir(path):
        above = os.path.dirname(os.path.abspath(path))
        make_folder(above, private=private)
        try:
            os.mkdir(path, 0o700 if private else 0o777)
        except FileExistsError:  # another process was quicker
            pass
        sync_folder(above)


def sync_folder(path: str) -> None:
    """Make names in the folder as durable as the files' contents."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
