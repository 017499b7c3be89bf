"""Processors as the container has them: the quotas of control groups, version 1 and 2, nested and broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoring_runtime import threads


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("cpu_", "cpu.")).write_text(text)


def limit(root: Path, own: str) -> tuple[float | None, str]:
    (root / "own").write_text(own)
    return threads.cpu_limit(str(root), str(root / "own"))


def test_version_2(tmp_path: Path) -> None:
    group(tmp_path, "a/b", cpu_max="150000 100000\n")
    group(tmp_path, "a", cpu_max="max 100000\n")
    assert limit(tmp_path, "0::/a/b\n") == (1.5, "cgroup v2")
    group(tmp_path, "a", cpu_max="50000 100000\n")  # the smallest on the way up counts
    assert limit(tmp_path, "0::/a/b\n") == (0.5, "cgroup v2")


def test_version_2_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    group(tmp_path, "", cpu_max="200000 100000")
    assert limit(tmp_path, "0::/\n") == (2.0, "cgroup v2")
    assert limit(tmp_path, "0::/../elsewhere\n") == (2.0, "cgroup v2")


@pytest.mark.parametrize("controllers", ["cpu,cpuacct", "cpu"])
def test_version_1(tmp_path: Path, controllers: str) -> None:
    group(tmp_path, f"{controllers}/docker/x", cpu_cfs_quota_us="300000", cpu_cfs_period_us="100000")
    group(tmp_path, controllers, cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    own = f"5:memory:/docker/x\n4:{controllers}:/docker/x\n"
    assert limit(tmp_path, own) == (3.0, "cgroup v1")


@pytest.mark.parametrize("own", ["", "0::/gone\n", "3:memory:/x\n"])
def test_no_limit(tmp_path: Path, own: str) -> None:
    assert limit(tmp_path, own) == (None, "")


def test_without_control_groups_at_all(tmp_path: Path) -> None:
    assert threads.cpu_limit(str(tmp_path / "none"), str(tmp_path / "none")) == (None, "")
    assert threads.throttled_periods(str(tmp_path / "none"), str(tmp_path / "none")) == 0


def test_throttling_is_counted(tmp_path: Path) -> None:
    group(tmp_path, "a", cpu_stat="usage_usec 5\nnr_periods 9\nnr_throttled 7\n")
    group(tmp_path, "", cpu_stat="nr_throttled 3\n")
    (tmp_path / "own").write_text("0::/a\n")
    assert threads.throttled_periods(str(tmp_path), str(tmp_path / "own")) == 7


@pytest.mark.parametrize(("cpus", "workers", "each"), [(4.0, 1, 4), (4.0, 2, 2), (1.5, 1, 1), (0.5, 4, 1), (8.0, 3, 2)])
def test_processors_are_shared_between_workers(cpus: float, workers: int, each: int) -> None:
    budget = threads.Budget(cpus, "cgroup v2", workers)
    assert set(budget.environ.values()) == {str(each)}
    assert "OMP_NUM_THREADS" in budget.environ
    assert str(budget) == f"Thread Budget: {each} per worker ({cpus:g} processors by cgroup v2)"


def test_the_smaller_of_quota_and_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(threads, "cpu_limit", lambda: (2.0, "cgroup v1"))
    assert str(threads.budget(1)) == "Thread Budget: 2 per worker (2 processors by cgroup v1)"
    monkeypatch.setattr(threads, "cpu_limit", lambda: (64.0, "cgroup v1"))
    assert str(threads.budget(1)) == "Thread Budget: 3 per worker (3 processors by affinity)"
