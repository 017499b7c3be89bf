"""Locks: one wheel a package for a platform, kept until asked for anew; unpacked the same every time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring_runtime.deploy import Workspace
from scoring_runtime.deploy.environments import resolver
from scoring_runtime.deploy.environments.lock import Lock, LockedPackage, lock
from scoring_runtime.deploy.environments.own_wheel import expanded, own_wheel
from scoring_runtime.deploy.environments.requirements import Requirements
from scoring_runtime.deploy.environments.resolver import by_pip, resolve
from scoring_runtime.deploy.environments.venvs import here, interpreter, venv
from scoring_runtime.deploy.environments.wheels import fetch, install, unpack
from scoring_runtime.errors import MissingPackage, PackagingError, ResolutionError
from tests.deploy.index import Index, make_wheel, package_index, sha256

X86, ARM = "manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_17_aarch64"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    (tmp_path / "index").mkdir()
    with package_index(tmp_path / "index") as index:
        yield index


def asked_for(index: Index, *lines: str, python: str = "") -> Requirements:
    return Requirements(lines, (f"--index-url {index.url}",), python)


def installed(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# resolving


def test_lock_follows_requirements_and_takes_wheels_of_the_platform(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "pure", requires=("fast>=1", "never; sys_platform == 'win32'"))
    arm = make_wheel(index.folder, "fast", tag=f"cp311-cp311-{ARM}")
    make_wheel(index.folder, "fast", tag=f"cp311-cp311-{X86}")
    make_wheel(index.folder, "fast", version="0.9")

    found = lock(workspace, asked_for(index, "pure"), "3.11", "linux/arm64")

    assert [(one.name, one.version, one.file) for one in found.packages] == [
        ("fast", "1.0", arm.name),
        ("pure", "1.0", "pure-1.0-py3-none-any.whl"),
    ]
    assert found.requirements().splitlines()[0] == f"fast==1.0 --hash=sha256:{sha256(arm)}"


def test_best_of_several_wheels_is_taken(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "fast")
    best = make_wheel(index.folder, "fast", tag=f"cp311-cp311-{X86}")
    make_wheel(index.folder, "fast", tag="cp311-abi3-linux_x86_64")

    assert lock(workspace, asked_for(index, "fast"), "3.11").packages[0].file == best.name


def test_markers_are_those_of_the_target(workspace: Workspace, index: Index) -> None:
    for name in ("new", "old", "arm"):
        make_wheel(index.folder, name)
    lines = ("new; python_version >= '3.12'", "old; python_version < '3.12'", "arm; platform_machine == 'aarch64'")

    found = lock(workspace, asked_for(index, *lines, python="3.12"), "3.11", "linux/arm64")

    assert ([one.name for one in found.packages], found.python) == (["arm", "new"], "3.12")


def test_lock_stays_until_it_is_asked_for_anew(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "pure")
    requirements = asked_for(index, "pure")

    first = lock(workspace, requirements, "3.11")
    make_wheel(index.folder, "pure", version="2.0")
    second = lock(workspace, requirements, "3.11")
    third = lock(workspace, requirements, "3.11", update=True)

    assert (first, first.digest) == (second, second.digest)
    assert third.packages[0].version == "2.0"
    assert lock(workspace, requirements, "3.11") == third


def test_damaged_cache_is_resolved_again(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "pure")
    first = lock(workspace, asked_for(index, "pure"), "3.11")
    for path in Path(workspace.path("cache", "locks")).iterdir():
        path.write_text("{")

    assert lock(workspace, asked_for(index, "pure"), "3.11") == first


def test_missing_wheel_names_package_and_platforms(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "fast", tag=f"cp311-cp311-{X86}")

    with pytest.raises(ResolutionError) as caught:
        lock(workspace, asked_for(index, "fast"), "3.11", "linux/arm64")

    assert str(caught.value) == (
        "fast 1.0 has no wheel for linux/arm64; there are wheels for: manylinux_2_17_x86_64, manylinux2014_x86_64. "
        "Choose another version of fast, another Python or platform, or build the image from a Dockerfile."
    )


def test_missing_wheel_names_the_pythons(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "fast", tag=f"cp39-cp39-{X86}")

    with pytest.raises(ResolutionError, match=r"fast 1.0 has no wheel for Python 3.11; there are wheels for: cp39\."):
        lock(workspace, asked_for(index, "fast"), "3.11")


def test_package_without_wheels_is_built_by_hand(workspace: Workspace, index: Index, tmp_path: Path) -> None:
    (index.folder / "source-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(ResolutionError, match=r"source==1.0 is published without wheels, and nothing is built here"):
        lock(workspace, asked_for(index, "source"), "3.11")

    (tmp_path / "wheels").mkdir()
    make_wheel(tmp_path / "wheels", "source")
    options = (f"--index-url {index.url}", f"--find-links {tmp_path / 'wheels'}")
    found = lock(workspace, Requirements(("source",), options), "3.11")

    assert sha256(Path(fetch(workspace, found.packages)[0])) == found.packages[0].sha256


def test_source_is_never_built_nor_run(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom setuptools import setup\nsetup()\n")

    with pytest.raises(ResolutionError, match=r"`?x`? is source, and nothing is built here. Build a wheel of it"):
        lock(workspace, Requirements((f"x @ file://{tmp_path}",)), "3.11")
    assert not (tmp_path / "ran").exists()


def test_line_that_is_no_requirement_is_shown(workspace: Workspace) -> None:
    with pytest.raises(ResolutionError, match=r"A pip line cannot be read: .* Write it as NAME==VERSION"):
        lock(workspace, Requirements(("not a requirement",)), "3.11")


def test_conflict_is_said_without_the_password(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "pure")
    index.password = "hush"
    address = index.url.replace("//", "//me:hush@")
    requirements = Requirements(("pure>=2", "none"), (f"--index-url {address}",))

    with pytest.raises(ResolutionError, match=r"No wheels fit Python 3.11 on linux/amd64: ") as caught:
        lock(workspace, requirements, "3.11")
    assert "hush" not in str(caught.value)


def test_unknown_platform_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ResolutionError, match="expected linux/amd64 or linux/arm64, got 'linux/riscv64'"):
        lock(workspace, Requirements(("a",)), "3.11", "linux/riscv64")


def test_wheel_may_be_named_by_its_address(workspace: Workspace, index: Index) -> None:
    wheel = make_wheel(index.folder, "pure")
    address = index.url.replace("/simple", f"/files/{wheel.name}")

    (found,) = lock(workspace, asked_for(index, f"pure @ {address}"), "3.11").packages

    assert (found.name, found.version, found.file, found.sha256) == ("pure", "1.0", wheel.name, sha256(wheel))


def test_nothing_required_is_an_empty_lock(workspace: Workspace) -> None:
    assert lock(workspace, Requirements(()), "3.11") == Lock("3.11", "linux/amd64", ())


def test_lock_in_an_image_knows_no_address(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "pure")
    text = lock(workspace, asked_for(index, "pure"), "3.11").to_json()

    assert "127.0.0.1" not in text
    assert json.loads(text)["packages"][0].keys() == {"name", "version", "file", "sha256"}


# without uv


@pytest.fixture(scope="module")
def with_pip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has pip."""
    folder = tmp_path_factory.mktemp("with-pip")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=100)
    return str(folder / "bin" / "python")


def test_pip_resolves_for_this_python(
    with_pip: str, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", with_pip)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    wheel = make_wheel(index.folder, "pure")
    (tmp_path / "requirements.in").write_text(f"--index-url {index.url}\npure\n")

    (found,) = by_pip(str(tmp_path), "linux/amd64")

    assert (found.name, found.version, found.file, found.sha256) == ("pure", "1.0", wheel.name, sha256(wheel))


def test_pip_says_what_is_missing(with_pip: str, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", with_pip)
    (tmp_path / "requirements.in").write_text(f"--index-url {index.url}\npure\n")

    with pytest.raises(ResolutionError, match="No matching distribution found for pure"):
        by_pip(str(tmp_path), "linux/amd64")


def test_another_platform_without_uv_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "find_uv", lambda: None)
    foreign = "linux/arm64" if here()[1] == "linux/amd64" else "linux/amd64"

    with pytest.raises(MissingPackage, match=r"need uv, .* Run: pip install 'scoring-runtime\[deploy\]'"):
        resolve(["a"], [], here()[0], foreign)


# fetching


def test_wheel_is_fetched_once(workspace: Workspace, index: Index) -> None:
    make_wheel(index.folder, "pure")
    found = lock(workspace, asked_for(index, "pure"), "3.11")
    index.asked.clear()

    first = fetch(workspace, found.packages)
    second = fetch(workspace, found.packages)

    assert (first == second, index.asked) == (True, ["/files/pure-1.0-py3-none-any.whl"])


def test_fetching_tries_again_and_takes_the_password(workspace: Workspace, index: Index) -> None:
    index.password, index.failures = "hush", 1
    make_wheel(index.folder, "pure")
    requirements = Requirements(("pure",), (f"--index-url {index.url.replace('//', '//me:hush@')}",))
    found = lock(workspace, requirements, "3.11")
    index.failures = 1

    (path,) = fetch(workspace, found.packages)

    (kept,) = Path(workspace.path("cache", "locks")).iterdir()
    assert sha256(Path(path)) == found.packages[0].sha256
    assert ("hush" in repr(found), "hush" in found.to_json()) == (False, False)
    assert kept.stat().st_mode & 0o777 == 0o600


def test_replaced_wheel_is_refused(workspace: Workspace, index: Index) -> None:
    path = make_wheel(index.folder, "pure")
    found = lock(workspace, asked_for(index, "pure"), "3.11")
    path.write_bytes(b"something else")

    with pytest.raises(PackagingError, match=r"expected the sha256 .*, got .*\. The index, or something on the way"):
        fetch(workspace, found.packages)
    assert not os.path.exists(workspace.path("cache", "wheels", found.packages[0].sha256, path.name))


def test_wheel_that_is_gone_is_named(workspace: Workspace, index: Index) -> None:
    path = make_wheel(index.folder, "pure")
    found = lock(workspace, asked_for(index, "pure"), "3.11")
    path.unlink()

    with pytest.raises(PackagingError, match=r"pure-1.0-py3-none-any.whl cannot be fetched from 127.0.0.1: HTTP"):
        fetch(workspace, found.packages)
    with pytest.raises(PackagingError, match="is gone from the workspace's cache"):
        fetch(workspace, [LockedPackage("own", "1", "own-1-py3-none-any.whl", "0" * 64)])


# unpacking


def test_wheel_is_unpacked_as_the_format_says(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path,
        "tool",
        files={
            "tool/__init__.py": "def main(): return 0\n",
            "tool-1.0.data/purelib/extra.py": "y = 1\n",
            "tool-1.0.data/scripts/run-tool": "#!python\nprint('tool')\n",
            "tool-1.0.data/scripts/plain": "#!/bin/sh\n",
            "tool-1.0.data/data/etc/tool.conf": "z\n",
            "tool-1.0.data/headers/tool.h": "",
            "tool-1.0.dist-info/entry_points.txt": "[console_scripts]\ntool = tool:main [x]\n\n[other]\na = b\n",
        },
    )

    unpack(str(wheel), str(tmp_path / "lib"), str(tmp_path / "bin"), sys.executable)

    names = {name for name in installed(tmp_path / "lib") if "dist-info" not in name}
    assert names == {"tool/__init__.py", "extra.py", "share/etc/tool.conf"}
    assert (tmp_path / "bin/run-tool").read_text() == f"#!{sys.executable}\nprint('tool')\n"
    assert (tmp_path / "bin/plain").read_text() == "#!/bin/sh\n"
    environ = {"PYTHONPATH": str(tmp_path / "lib")}
    assert subprocess.run([tmp_path / "bin/tool"], env=environ, timeout=30).returncode == 0


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py"])
def test_wheel_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path, "evil", files={name: ""})

    with pytest.raises(PackagingError, match=r"lies outside of it. Do not use this wheel"):
        unpack(str(wheel), str(tmp_path / "lib"), str(tmp_path / "bin"), "python3")


def test_equal_locks_install_equal_files(workspace: Workspace, index: Index, tmp_path: Path) -> None:
    make_wheel(index.folder, "pure", requires=("other",))
    make_wheel(index.folder, "other")
    found = lock(workspace, asked_for(index, "pure"), "3.11")

    install(workspace, found, str(tmp_path / "one"))
    install(workspace, found, str(tmp_path / "two"))

    assert installed(tmp_path / "one") == installed(tmp_path / "two")
    assert {"pure.py", "other.py"} <= installed(tmp_path / "one").keys()


# this project


def test_own_wheel_is_the_same_every_time_and_installs(tmp_path: Path) -> None:
    name, content = own_wheel()
    (tmp_path / name).write_bytes(content)

    unpack(str(tmp_path / name), str(tmp_path / "lib"), str(tmp_path / "bin"), sys.executable)

    assert own_wheel() == (name, content)
    assert {"scoring", "scoring-serve"} <= set(os.listdir(tmp_path / "bin"))
    with zipfile.ZipFile(tmp_path / name) as archive:
        record = archive.read(next(n for n in archive.namelist() if n.endswith("RECORD"))).decode()
        assert [line.partition(",")[0] for line in record.splitlines()] == sorted(
            archive.namelist(), key=lambda n: (n.endswith("RECORD"), n)
        )
    assert not [path for path in installed(tmp_path / "lib") if "__pycache__" in path or path.endswith(".pth")]


def test_own_requirements_stand_for_this_project() -> None:
    plain, own = expanded(["scoring-runtime", "scipy"])
    with_pandas, _ = expanded(["scoring-runtime[pandas]"])
    nested, _ = expanded(["scoring-runtime[ray]"])

    assert (own, "scipy" in plain, "uvicorn>=0.34" in plain) == (True, True, True)
    assert "pyjwt>=2.10" in plain  # a deployment may ask for tokens later
    assert {one for one in with_pandas if "pandas" in one} == {"pandas>=2.0", "inference-schema[pandas-support]"}
    assert {"ray>=2.40", "pyarrow>=16"} <= set(nested)
    assert not [one for one in (*plain, *nested) if "extra" in one or "scoring-runtime" in one]
    assert expanded(["scipy"]) == (["scipy"], False)


def test_lock_holds_this_projects_wheel(workspace: Workspace) -> None:
    """Resolved from PyPI, for the other platform too."""
    for platform in ("linux/amd64", "linux/arm64"):
        found = lock(workspace, Requirements(("scoring-runtime",)), "3.11", platform)
        (own,) = [one for one in found.packages if one.name == "scoring-runtime"]

        assert sha256(Path(fetch(workspace, [own])[0])) == own.sha256
        assert {"uvloop", "orjson", "numpy", "gunicorn"} <= {one.name for one in found.packages}
        assert [one.file for one in found.packages if "aarch64" in one.file and platform == "linux/amd64"] == []


# virtual environments


def small_lock(workspace: Workspace, index: Index) -> Lock:
    make_wheel(index.folder, "pure")
    return lock(workspace, asked_for(index, "pure"), *here())


def test_venv_is_made_once_by_two_at_once(workspace: Workspace, index: Index) -> None:
    found = small_lock(workspace, index)
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(venv(workspace, found))) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 1
    assert subprocess.run([made[0], "-c", "import pure"], timeout=30).returncode == 0
    assert len(os.listdir(workspace.path("cache", "venvs"))) == 2  # it, and its lock


def test_venv_that_was_killed_is_made_again(workspace: Workspace, index: Index, tmp_path: Path) -> None:
    found = small_lock(workspace, index)
    (tmp_path / "lock.json").write_text(json.dumps([found.python, found.platform, [vars(p) for p in found.packages]]))
    code = (
        "import json, sys, time\n"
        "from scoring_runtime.deploy import Workspace\n"
        "from scoring_runtime.deploy.environments import venvs\n"
        "from scoring_runtime.deploy.environments.lock import Lock, LockedPackage\n"
        "python, platform, packages = json.load(open(sys.argv[1]))\n"
        "lock = Lock(python, platform, tuple(LockedPackage(**one) for one in packages))\n"
        "venvs.unpack = lambda *arguments: (print('here', flush=True), time.sleep(60))\n"
        "venvs.venv(Workspace(sys.argv[2]), lock)\n"
    )
    maker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock.json"), workspace.folder],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert maker.stdout is not None
    with maker.stdout as out:
        said = out.readline()
        os.killpg(maker.pid, signal.SIGKILL)
        maker.wait()
    assert said == b"here\n"

    python = venv(workspace, found)

    assert subprocess.run([python, "-c", "import pure"], timeout=30).returncode == 0


def test_python_that_is_not_here_is_named() -> None:
    with pytest.raises(PackagingError, match=r"asks for Python 3.99, and there is no python3.99 on the PATH"):
        interpreter("3.99")
