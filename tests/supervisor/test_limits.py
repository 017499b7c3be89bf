"""Memory and processor limits: on this machine's cgroups, on a version 2 tree of files, and without any."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoring_runtime.supervisor.limits import Cage, confine

MB = 1024 * 1024
EATER = "b = b'x' * (200 * 1024 * 1024); print(len(b))"


def run_in(cage: Cage, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], preexec_fn=cage.join, capture_output=True, text=True)


def version_2_tree(root: Path, controllers: str) -> Path:
    root.mkdir()
    (root / "cgroup.controllers").write_text(controllers)
    (root / "cgroup.subtree_control").touch()
    return root


def test_nothing_asked_is_nothing_set() -> None:
    assert confine(0, 0) == Cage([], 0, "no limits")


def test_memory_limit_holds_by_whatever_means_it_says() -> None:
    cage = confine(100 * MB, 0)
    try:
        done = run_in(cage, EATER)
        kills = cage.memory_kills()
    finally:
        cage.remove()

    assert done.returncode != 0
    assert "100 MiB" in cage.description
    assert kills == (1 if cage.folders else 0)
    assert not any(os.path.exists(folder) for folder in cage.folders)


def test_without_cgroups_the_address_space_is_limited(tmp_path: Path) -> None:
    cage = confine(100 * MB, 0.5, str(tmp_path / "none"))

    done = run_in(cage, EATER)

    assert (cage.folders, cage.address_space) == ([], 100 * MB)
    assert cage.description.startswith(
        "address space of each process 100 MiB, the processor is not limited, as cgroups cannot be used (cgroup v2: "
    )
    assert "MemoryError" in done.stderr


def test_processor_alone_needs_cgroups(tmp_path: Path) -> None:
    cage = confine(0, 0.5, str(tmp_path / "none"))

    assert cage.description.startswith("no limits, as cgroups cannot be used")


def test_version_2_is_preferred_where_it_has_the_controllers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are plain ones here: what is written is what a kernel would be told."""
    root = version_2_tree(tmp_path / "cgroup", "cpu io memory")
    real_mkdir = os.mkdir

    def mkdir(path: str) -> None:
        real_mkdir(path)
        for name in ("memory.max", "cpu.max", "cgroup.procs"):
            (Path(path) / name).touch()

    monkeypatch.setattr(os, "mkdir", mkdir)

    cage = confine(100 * MB, 0.5, str(root))
    folder = Path(cage.folders[0])

    assert cage.description == "cgroup v2: memory 100 MiB, 0.5 cpu"
    assert (root / "cgroup.subtree_control").read_text() == "+memory +cpu"
    assert (folder / "memory.max").read_text() == str(100 * MB)
    assert (folder / "cpu.max").read_text() == "50000 100000"
    cage.join()
    assert (folder / "cgroup.procs").read_text() == str(os.getpid())
    (folder / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert cage.memory_kills() == 2


def test_version_2_without_the_controllers_is_passed_over(tmp_path: Path) -> None:
    root = version_2_tree(tmp_path / "cgroup", "hugetlb")

    cage = confine(100 * MB, 0, str(root))

    assert cage.address_space == 100 * MB
    assert "memory not available in" in cage.description


def test_folder_is_removed_when_a_limit_cannot_be_set(tmp_path: Path) -> None:
    root = version_2_tree(tmp_path / "cgroup", "memory")

    cage = confine(100 * MB, 0, str(root))  # the new folder has no memory.max, as no kernel made it

    assert cage.address_space == 100 * MB
    assert [path for path in root.iterdir() if path.is_dir()] == []
