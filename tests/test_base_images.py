"""The base images: a folder a variant, Dockerfiles that keep their rules, locks that hold, and one built and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import httpx
import pytest
from packaging.requirements import Requirement

from base_images.build import BOTH, VARIANTS, build_image, locked_packages, made_lock, main, read_lock
from scoring_runtime.accelerators import ACCELERATORS
from scoring_runtime.deploy import Workspace
from scoring_runtime.deploy.environments.own_wheel import expanded
from scoring_runtime.deploy.images.container_config import HEALTH
from scoring_runtime.deploy.images.engine import Subprocess
from scoring_runtime.errors import PackagingError
from tests.containers import Podman
from tests.serving import ROOT, free_port, until

FOLDER = ROOT / "base_images"
SCRIPT = """
import os, subprocess


def init():
    subprocess.run(["sh", "-c", "sh -c 'sleep 0.05' & exit 0"])  # an orphan, for process 1


def run(raw_data):
    return {"user": os.getuid(), "parent": os.getppid(), "data": raw_data}
"""


def instructions(name: str) -> list[tuple[str, str]]:
    """Each with its arguments, lines joined."""
    text = (FOLDER / name / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def last_stage(name: str) -> Iterator[tuple[str, str]]:
    found = instructions(name)
    start = max(at for at, (word, _) in enumerate(found) if word == "FROM")
    return iter(found[start:])


# folders


def test_each_variant_has_its_folder_with_all_parts() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"}

    assert folders == set(VARIANTS)
    for name in folders:
        assert {path.name for path in (FOLDER / name).iterdir()} == {"Dockerfile", "README.md", "requirements.txt"}


def test_table_of_accelerators_names_folders() -> None:
    named = {row.base_image for row in ACCELERATORS.values()} - {""}

    assert named | {"spark", "edge-arm64"} == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_readme_says_how_large_and_how_to_run(name: str) -> None:
    text = (FOLDER / name / "README.md").read_text()

    assert text.startswith(f"# {name}: ")
    assert "**Size:**" in text
    assert f"python base_images/build.py {name} --engine" in text
    assert "-v ./score.py:/var/azureml-app/score.py" in text


# Dockerfiles


@pytest.mark.parametrize("name", VARIANTS)
def test_base_is_an_argument_of_every_stage(name: str) -> None:
    found = instructions(name)

    assert found[0][0] == "ARG"
    assert found[0][1].partition("=")[0] == "BASE"
    assert [rest.partition(" ")[0] for word, rest in found if word == "FROM"] == ["${BASE}", "${BASE}"]


@pytest.mark.parametrize("name", VARIANTS)
def test_default_base_has_a_version(name: str) -> None:
    base = instructions(name)[0][1].partition("=")[2]

    assert (base == "") == (name == "vitis-ai")
    assert base == "" or re.search(r":[^/]*\d[^/]*$", base)
    assert "latest" not in base


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_is_root_or_a_shell(name: str) -> None:
    for word, rest in instructions(name):
        if word in ("RUN", "ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list)
        if word == "HEALTHCHECK":
            assert isinstance(json.loads(rest.partition("CMD ")[2]), list)
    assert [rest for word, rest in last_stage(name) if word == "USER"][-1] == "1000:1000"


@pytest.mark.parametrize("name", VARIANTS)
def test_image_is_wired_as_the_direct_ones_are(name: str) -> None:
    found = dict(last_stage(name))

    assert found["ENTRYPOINT"] == '["/opt/scoring-runtime/bin/python", "-m", "scoring_runtime"]'
    assert (found["EXPOSE"], found["STOPSIGNAL"], found["WORKDIR"]) == ("5001", "SIGTERM", "/var/azureml-app")
    assert json.loads(found["HEALTHCHECK"].partition("CMD ")[2])[1:] == ["-c", HEALTH]
    assert "COPY" in found
    assert "ADD" not in found


@pytest.mark.parametrize("name", [row.name for row in ACCELERATORS.values() if row.base_image not in ("", "cpu")])
def test_variant_of_an_accelerator_asks_for_it(name: str) -> None:
    row = ACCELERATORS[name]
    text = (FOLDER / row.base_image / "Dockerfile").read_text()

    assert re.search(r'SCORING_ACCELERATOR="([\w-]+)"', text)[1] in (name, "cuda")  # type: ignore[index]
    package = row.package.partition("[")[0]
    assert package == "" or package in read_lock(row.base_image)


# locks


@pytest.mark.parametrize("name", VARIANTS)
def test_lock_fits_the_project(name: str) -> None:
    variant, lock = VARIANTS[name], read_lock(name)
    lines, own = expanded(variant.requirements)
    environment = {"python_version": variant.python, "python_full_version": f"{variant.python}.0", "extra": ""}
    wanted = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate(environment)]

    assert own
    assert [str(one) for one in wanted if not one.specifier.contains(lock[one.name.lower()][0], prereleases=True)] == []
    assert "pip" in lock


@pytest.mark.parametrize("name", VARIANTS)
def test_lock_is_all_hashes_and_no_address(name: str) -> None:
    text = (FOLDER / name / "requirements.txt").read_text()

    assert "://" not in text
    assert len(read_lock(name)) == len(text.splitlines()) - 1


@pytest.mark.parametrize(
    ("name", "platform"), [(name, platform) for name, variant in VARIANTS.items() for platform in variant.platforms]
)
def test_lock_can_be_fetched(name: str, platform: str) -> None:
    """The index still has each wheel, under its hash."""
    assert {package.name for package in locked_packages(name, platform)} == set(read_lock(name))


def test_lock_is_made_of_what_the_index_has() -> None:
    head, *rows = made_lock("cpu").splitlines()

    assert head.startswith(f"# Python 3.11, {', '.join(BOTH)}.")
    assert {row.partition("==")[0] for row in rows} >= {"numpy", "pip", "uvloop"}


def test_wheel_that_the_lock_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {package: (version, frozenset()) for package, (version, _) in read_lock("vitis-ai").items()}
    monkeypatch.setattr("base_images.build.read_lock", lambda name: known)

    with pytest.raises(PackagingError, match=r"does not know .* with sha256"):
        locked_packages("vitis-ai", "linux/amd64")


def test_command_writes_locks_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("base_images.build.HERE", tmp_path)
    monkeypatch.setattr("base_images.build.VARIANTS", {"cpu": VARIANTS["cpu"]})
    (tmp_path / "cpu").mkdir()

    written = main(["--lock"])
    refused = main(["cpu", "--platform", "linux/riscv64"])

    assert (written, refused) == (0, 2)
    assert capsys.readouterr().out == "Wrote base_images/cpu/requirements.txt\n"
    assert "numpy" in read_lock("cpu")


# for real


def test_cpu_image_is_small_and_just_serves(podman: Podman, debian_python: str, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    tag = build_image("cpu", "podman", debian_python, shell=Subprocess(podman.environ), workspace=workspace)
    (tmp_path / "score.py").write_text(SCRIPT)
    port = free_port()
    limits = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host")
    mount = f"--volume={tmp_path / 'score.py'}:/var/azureml-app/score.py:ro"
    container = podman.run("run", "--detach", *limits, mount, f"--env=SCORING_PORT={port}", tag).strip()
    url = f"http://127.0.0.1:{port}"
    podman.wait_ready(container, url)
    answer = httpx.post(f"{url}/score", json=1, timeout=20, trust_env=False)
    assert answer.json() == {"user": 1000, "parent": 1, "data": "1"}
    podman.run("healthcheck", "run", container)
    until(lambda: "Z" not in podman.run("top", container, "state").split())
    podman.run("stop", "--time", "20", container)

    assert json.loads(podman.run("inspect", container))[0]["State"]["ExitCode"] == 0
    ours = size_of(podman, tag) - size_of(podman, debian_python)
    said = re.search(r"\*\*Size:\*\* (\d+) MB", (FOLDER / "cpu" / "README.md").read_text())
    assert said is not None
    assert ours < 90e6
    assert abs(ours / 1e6 - int(said[1])) < 5


def size_of(podman: Podman, image: str) -> int:
    return int(json.loads(podman.run("image", "inspect", image))[0]["Size"])


def test_log_of_a_build_that_fails_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Fails:
        def run(self, command: Sequence[str], log: IO[bytes], seconds: float) -> int:
            log.write(b"no such base\n")
            return 1

    monkeypatch.setattr("base_images.build.write_context", lambda *arguments: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(PackagingError, match="All of it is in ") as caught:
        build_image("cpu", "docker", shell=Fails(), workspace=Workspace(str(tmp_path / "ws")))
    assert Path(str(caught.value).rpartition(" ")[2].rstrip(".")).read_text() == "no such base\n"


def test_variant_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])

    assert (ended.value.code, "name a variant: cpu, openvino" in capsys.readouterr().err) == (2, True)
