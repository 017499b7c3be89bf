"""How many threads numeric libraries may start: the container's processors, shared between the workers."""

from __future__ import annotations

import os

__all__ = ["Budget", "budget", "cpu_limit", "throttled_periods"]

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "ORT_NUM_THREADS",
)


class Budget:
    """Processors there are, and threads for each worker."""

    def __init__(self, cpus: float, source: str, workers: int) -> None:
        self.cpus = cpus
        self.source = source
        self.per_worker = max(1, int(cpus) // workers)
        self.environ = {name: str(self.per_worker) for name in VARIABLES}

    def __str__(self) -> str:
        return f"Thread Budget: {self.per_worker} per worker ({self.cpus:g} processors by {self.source})"


def budget(workers: int) -> Budget:
    allowed = float(len(os.sched_getaffinity(0)))
    limit, source = cpu_limit()
    if limit is not None and limit < allowed:
        return Budget(limit, source, workers)
    return Budget(allowed, "affinity", workers)


def cpu_limit(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> tuple[float | None, str]:
    """The smallest quota on the way from our control group up to the root, version 2 or 1."""
    limits = []
    for folder in folders(root, own):
        quota = read(os.path.join(folder, "cpu.max")).split()
        if len(quota) == 2 and quota[0] != "max":
            limits.append((int(quota[0]) / int(quota[1]), "cgroup v2"))
        us = read(os.path.join(folder, "cpu.cfs_quota_us"))
        period = read(os.path.join(folder, "cpu.cfs_period_us"))
        if us and period and int(us) > 0:
            limits.append((int(us) / int(period), "cgroup v1"))
    return min(limits) if limits else (None, "")


def throttled_periods(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int:
    """How often the kernel has stopped us for using more processor time than our quota."""
    count = 0
    for folder in folders(root, own):
        for line in read(os.path.join(folder, "cpu.stat")).splitlines():
            name, _, value = line.partition(" ")
            if name == "nr_throttled":
                count = max(count, int(value))
    return count


def folders(root: str, own: str) -> list[str]:
    """The control groups whose processor quota binds us."""
    result = []
    for line in read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = root
        elif "cpu" in controllers.split(","):
            base = next((b for name in (controllers, "cpu") if os.path.isdir(b := os.path.join(root, name))), root)
        else:
            continue
        parts = [p for p in path.split("/") if p]
        result += [os.path.join(base, *parts[:n]) for n in range(len(parts), -1, -1)]
    return result or [root]


def read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""
