"""logs/perf/<node>/: what the run's processes use of the machine, and, when asked for, where run() spends its time.

resources.jsonl      every interval and at the end: processor seconds and memory of each process and of the machine
processNNN.prof      cProfile's numbers of run() and of writing its results: python -m pstats processNNN.prof
"""

from __future__ import annotations

import cProfile
import json
import os
import resource
import time
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Monitor", "Profiler", "ProfilerOff", "profiler"]

DUMP_SECONDS = 30.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
Result = TypeVar("Result")


class Monitor:
    """One line for each look; an interval of 0 looks never."""

    def __init__(self, folder: str, interval_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = os.path.join(folder, "resources.jsonl")
        self._interval = interval_seconds
        self._clock = clock
        self._next = clock() + interval_seconds

    def tick(self) -> None:
        if self._interval and self._clock() >= self._next:
            self._next += self._interval
            self.look()

    def close(self) -> None:
        if self._interval:
            self.look()

    def look(self) -> None:
        processes = [usage for pid in family(os.getpid()) if (usage := usage_of(pid))]
        line = {"time": round(time.time(), 3), "load": os.getloadavg()[0], **memory(), "processes": processes}
        line["ended"] = usage_of_ended()
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        for child in read(f"/proc/{pid}/task/{thread}/children").split():
            found += family(int(child))
    return found


def usage_of(pid: int) -> dict[str, Any]:
    """Nothing, if it has just ended."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 22:
        return {}
    cpu_seconds = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return {"pid": pid, "cpu_seconds": cpu_seconds, "memory_bytes": int(fields[21]) * PAGE_BYTES}


def usage_of_ended() -> dict[str, Any]:
    """Of all child processes that are gone: their processor time, and the most memory that one of them had."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2), "memory_bytes": usage.ru_maxrss * 1024}


def memory() -> dict[str, int]:
    """Of the machine, as far as it says."""
    names = {"MemTotal": "memory_total_bytes", "MemAvailable": "memory_available_bytes"}
    rows = (line.split() for line in read("/proc/meminfo").splitlines())
    return {names[row[0][:-1]]: int(row[1]) * 1024 for row in rows if row[0][:-1] in names}


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


class ProfilerOff:
    """For runs that ask for no profile."""

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return function(*arguments)

    def close(self) -> None:
        pass


class Profiler:
    """Adds up what happens on this thread during its calls; now and then what there is so far goes to the file."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._profile = cProfile.Profile()
        self._clock = clock
        self._next = clock() + DUMP_SECONDS

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return self._profile.runcall(function, *arguments)
        finally:
            if self._clock() >= self._next:
                self._next = self._clock() + DUMP_SECONDS
                self.close()

    def close(self) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._profile.dump_stats(self._path)


def profiler(module: str, folder: str, process: str) -> Profiler | ProfilerOff:
    """`module` as the job names it: cProfile, or nothing."""
    return Profiler(os.path.join(folder, f"{process}.prof")) if module else ProfilerOff()
