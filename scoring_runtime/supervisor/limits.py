"""Memory and processor limits of a process and all that it starts: cgroup v2 or v1 where they allow it, else an rlimit.

What was really set is said in words, so that nobody trusts a limit that is not there.
"""

from __future__ import annotations

import os
import resource
import uuid
from dataclasses import dataclass, field

__all__ = ["Cage", "confine"]

ROOT = "/sys/fs/cgroup"
PERIOD_US = 100_000


@dataclass
class Cage:
    """join() in the new process before it runs anything; remove() when all of it is gone."""

    folders: list[str] = field(default_factory=list)
    address_space: int = 0
    description: str = "no limits"

    def join(self) -> None:
        for folder in self.folders:
            with open(os.path.join(folder, "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))
        if self.address_space:
            resource.setrlimit(resource.RLIMIT_AS, (self.address_space, self.address_space))

    def memory_kills(self) -> int:
        """How many of its processes were killed for want of memory."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                for line in read(os.path.join(folder, name)).splitlines():
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        return int(value)
        return 0

    def remove(self) -> None:
        for folder in self.folders:
            try:
                os.rmdir(folder)
            except OSError:
                pass


def confine(memory_bytes: int, cpus: float, root: str = ROOT) -> Cage:
    """A cage with these limits, 0 for none. Takes the best that this machine offers."""
    if not memory_bytes and not cpus:
        return Cage()
    said = []
    for make in (version_2, version_1):
        try:
            return make(memory_bytes, cpus, root)
        except OSError as error:
            said.append(f"{make.__doc__}: {error.strerror or error}")
    if not memory_bytes:
        return Cage([], 0, f"no limits, as cgroups cannot be used ({'; '.join(said)})")
    missing = ", the processor is not limited" if cpus else ""
    return Cage(
        [],
        memory_bytes,
        f"address space of each process {megabytes(memory_bytes)}{missing}, as cgroups cannot be used "
        f"({'; '.join(said)})",
    )


def version_2(memory_bytes: int, cpus: float, root: str) -> Cage:
    """cgroup v2"""
    parent = below(root, own_path(""))
    needed = [*(["memory"] if memory_bytes else []), *(["cpu"] if cpus else [])]
    if not set(needed) <= set(read(os.path.join(parent, "cgroup.controllers")).split()):
        raise OSError(f"{' and '.join(needed)} not available in {parent}")
    write(os.path.join(parent, "cgroup.subtree_control"), " ".join(f"+{name}" for name in needed))
    cage = Cage([new_folder(parent)], 0, f"cgroup v2: {in_words(memory_bytes, cpus)}")
    values = {
        "memory.max": str(memory_bytes) if memory_bytes else "",
        "memory.swap.max": "0" if memory_bytes else "",
        "cpu.max": f"{int(cpus * PERIOD_US)} {PERIOD_US}" if cpus else "",
    }
    return set_all(cage, {os.path.join(cage.folders[0], name): value for name, value in values.items() if value})


def version_1(memory_bytes: int, cpus: float, root: str) -> Cage:
    """cgroup v1"""
    values: dict[str, str] = {}
    cage = Cage([], 0, f"cgroup v1: {in_words(memory_bytes, cpus)}")
    try:
        if memory_bytes:
            cage.folders.append(new_folder(below(os.path.join(root, "memory"), own_path("memory"))))
            values[os.path.join(cage.folders[-1], "memory.limit_in_bytes")] = str(memory_bytes)
        if cpus:
            cage.folders.append(new_folder(below(os.path.join(root, "cpu"), own_path("cpu"))))
            values[os.path.join(cage.folders[-1], "cpu.cfs_period_us")] = str(PERIOD_US)
            values[os.path.join(cage.folders[-1], "cpu.cfs_quota_us")] = str(int(cpus * PERIOD_US))
    except OSError:
        cage.remove()
        raise
    return set_all(cage, values)


def set_all(cage: Cage, values: dict[str, str]) -> Cage:
    try:
        for path, value in values.items():
            if os.path.basename(path) != "memory.swap.max" or os.path.exists(path):  # no swap accounting, no file
                write(path, value)
    except OSError:
        cage.remove()
        raise
    return cage


def own_path(controller: str) -> str:
    """Where this process is in the hierarchy of that controller; of version 2 for an empty one."""
    for line in read("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path.strip("/")
    return ""


def below(root: str, path: str) -> str:
    """In a container the path may be the host's: then the root is ours."""
    inner = os.path.join(root, path)
    return inner if os.path.isdir(inner) else root


def new_folder(parent: str) -> str:
    folder = os.path.join(parent, f"scoring-{uuid.uuid4().hex[:12]}")
    os.mkdir(folder)
    return folder


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def in_words(memory_bytes: int, cpus: float) -> str:
    return ", ".join(
        [*([f"memory {megabytes(memory_bytes)}"] if memory_bytes else []), *([f"{cpus:g} cpu"] if cpus else [])]
    )


def megabytes(count: int) -> str:
    return f"{count / 1024 / 1024:.0f} MiB"
