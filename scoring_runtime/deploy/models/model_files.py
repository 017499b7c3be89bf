"""The files of a model on disk, found before anything is copied.

Symbolic links are followed: what is stored are the files that they lead to. Loops, links that lead nowhere, devices,
sockets and pipes are refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scoring_runtime.errors import ModelError

__all__ = ["FoundFile", "FoundFiles", "Progress", "find_files", "stamp"]

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True)
class FoundFile:
    path: str  # below the model's folder, with slashes; of a model that is one file, its name
    source: str
    size: int
    executable: bool
    stamp: tuple[int, ...]  # changes when the file does


@dataclass(frozen=True)
class FoundFiles:
    kind: str  # file or folder
    basename: str
    files: tuple[FoundFile, ...]
    empty_folders: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def find_files(model_path: str, child_paths: Sequence[str] | None = None) -> FoundFiles:
    """What is at a path; of a folder only the child paths, where there are some. Raises ModelError."""
    path = os.path.abspath(os.path.expanduser(os.fspath(model_path)))
    basename = os.path.basename(path)
    if not os.path.lexists(path):
        raise ModelError(f"{model_path}: there is no such file or folder (looked in {os.getcwd()}).")
    if not basename:
        raise ModelError(f"{model_path}: expected a model's file or folder, got the root of the file system.")
    if not os.path.isdir(path):
        if child_paths:
            raise ModelError(f"{model_path} is a file: child_paths only picks from a folder. Leave it out.")
        return FoundFiles("file", basename, (found(basename, path),), ())
    files: list[FoundFile] = []
    empty: list[str] = []
    for source in chosen(path, child_paths):
        for name, is_folder in walked(source):
            relative = os.path.relpath(name, path).replace(os.sep, "/")
            if is_folder:
                empty.append(relative)
            else:
                files.append(found(relative, name))
    if not files:
        raise ModelError(f"{model_path}: the folder holds no files. Save the model there first.")
    return FoundFiles("folder", basename, tuple(sorted(set(files), key=lambda file: file.path)), tuple(sorted(empty)))


def chosen(folder: str, child_paths: Sequence[str] | None) -> list[str]:
    if not child_paths:
        return [folder]
    result = []
    for child in child_paths:
        path = os.path.normpath(os.path.join(folder, child))
        if not path.startswith(folder + os.sep) or not os.path.lexists(path):
            raise ModelError(f"child_paths: expected files and folders below {folder}, got {child!r}.")
        result.append(path)
    return result


def walked(path: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Files, and folders that hold nothing (which some formats have on purpose)."""
    if not os.path.isdir(path):
        yield path, False
        return
    real = os.path.realpath(path)
    if real in above:
        raise ModelError(f"{path} is a link to a folder that it is in, so there would be no end. Remove the link.")
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from None
    if not names and above:
        yield path, True
    for name in names:
        yield from walked(os.path.join(path, name), (*above, real))


def found(relative: str, source: str) -> FoundFile:
    try:
        relative.encode()
        status = os.stat(source)
    except UnicodeEncodeError:
        raise ModelError(f"{source!r}: the name is not UTF-8. Rename the file.") from None
    except OSError as error:
        what = f"is a link to {os.readlink(source)}, and" if os.path.islink(source) else "cannot be read:"
        raise ModelError(f"{source} {what} {os.strerror(error.errno or 0).lower()}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{source} is no file: pipes, sockets and devices cannot be registered. Remove it.")
    return FoundFile(relative, source, status.st_size, bool(status.st_mode & 0o100), stamp(status))


def stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
