"""A real image of Debian's Python, with real packages: two builds are equal, a real registry takes it, runc runs it."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scoring_runtime.deploy import Environment, Image, InferenceConfig, Model, Workspace
from scoring_runtime.deploy.images.credentials import Credentials
from scoring_runtime.deploy.images.image_sources import Access
from scoring_runtime.deploy.images.interpreter import elf_architecture
from scoring_runtime.deploy.images.layers import find_in_layer
from scoring_runtime.errors import DeployError
from tests.containers import Podman, running_registry
from tests.deploy.building import manifest_of, script_alone, small_base
from tests.serving import ROOT, free_port, until
from tests.snippets import Shell, blocks

SCRIPT = """
import json, os, subprocess
from azureml.core.model import Model

def init():
    global weights
    weights = open(Model.get_model_path("weights")).read()

def run(data):
    subprocess.run(["sh", "-c", "sleep 0.1 & exit"])  # an orphan, which process 1 has to bury
    return {"weights": weights, "user": os.getuid(), "got": json.loads(data)}
"""


def built(folder: Path, base: Path, umask: int = 0o022) -> Image:
    before = os.umask(umask)
    try:
        (folder / "src").mkdir(parents=True)
        (folder / "src" / "score.py").write_text(SCRIPT)
        (folder / "weights.txt").write_text("w")
        workspace = Workspace(str(folder / "workspace"))
        model = Model.register(workspace, str(folder / "weights.txt"), "weights")
        config = InferenceConfig("score.py", source_directory=str(folder / "src"))
        return Image.create(workspace, "echo", [model], config, base=str(base))
    finally:
        os.umask(before)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, base_rootfs: Path) -> Image:
    return built(tmp_path_factory.mktemp("here"), base_rootfs)


def test_two_builds_in_two_folders_have_the_same_digest(image: Image, tmp_path: Path, base_rootfs: Path) -> None:
    assert built(tmp_path / "there", base_rootfs, 0o077).image_digest == image.image_digest


def test_ours_is_small(image: Image) -> None:
    """The server and all that it needs, over the distribution's Python."""
    layers = manifest_of(image.workspace, image)["layers"][1:]

    assert sum(layer["size"] for layer in layers) < 30_000_000


def test_a_rebuild_after_an_edit_writes_one_small_layer_at_once(
    image: Image, base_rootfs: Path, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text(SCRIPT + "# edited\n")
    config = InferenceConfig("score.py", source_directory=str(tmp_path / "src"))

    began = time.monotonic()
    edited = Image.create(image.workspace, "echo", ["weights:1"], config, base=str(base_rootfs))
    seconds = time.monotonic() - began

    new = set(edited.record["layers"]) - set(image.record["layers"])
    assert len(new) == 1
    assert os.path.getsize(image.workspace.blobs.path(new.pop()[7:])) < 2000
    assert seconds < 2


def test_a_real_registry_takes_it_and_skopeo_and_umoci_accept_it(image: Image, tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", "ada", "secret") as registry:
        image.push(f"{registry.address}/team/echo:1", access=Access(Credentials("ada", "secret")))
        copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--src-creds", "ada:secret"]
        back = [f"docker://{registry.address}/team/echo:1", f"oci:{tmp_path}/back:1"]
        subprocess.run([*copy, *back], check=True)

    raw = subprocess.run(["skopeo", "inspect", "--raw", f"oci:{tmp_path}/back:1"], check=True, capture_output=True)
    assert raw.stdout == image.workspace.blobs.read(image.descriptor.digest[7:])
    inspected = subprocess.run(["skopeo", "inspect", f"oci:{tmp_path}/back:1"], check=True, capture_output=True)
    assert json.loads(inspected.stdout)["Digest"] == image.image_digest
    stat = ["umoci", "stat", "--image", f"{tmp_path}/back:1", "--json"]
    history = json.loads(subprocess.run(stat, check=True, capture_output=True).stdout)["history"]
    assert [one["created_by"] for one in history][-2:] == ["scoring-runtime: description", "scoring-runtime: code"]


def test_umoci_unpacks_every_layer(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    image = Image.create(workspace, "small", [], script_alone(tmp_path), base=str(small_base(tmp_path)))
    image.export(str(tmp_path / "layout"))

    unpack = ["umoci", "unpack", "--image", f"{tmp_path}/layout:1", str(tmp_path / "bundle")]
    subprocess.run(unpack, check=True, capture_output=True)

    assert (tmp_path / "bundle/rootfs/var/azureml-app/src/score.py").is_file()
    config = json.loads((tmp_path / "bundle/config.json").read_text())
    assert (config["process"]["user"]["uid"], config["process"]["cwd"]) == (1000, "/var/azureml-app")


@pytest.fixture
def container(image: Image, podman: Podman, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """As careful hosts run it: not root, nothing to write to, no capabilities. Its name and its URL."""
    image.export(str(tmp_path / "echo.tar"), "docker-archive")
    podman.run("pull", "-q", f"docker-archive:{tmp_path}/echo.tar")
    port = free_port()
    careful = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    name = podman.run("run", "-d", *careful, "-p", f"127.0.0.1:{port}:5001", "localhost/echo:1").strip()
    try:
        yield name, f"http://127.0.0.1:{port}"
    finally:
        podman.try_run("rm", "-f", "-t", "0", name)


class PageShell(Shell):
    """With the registry's real port, and a workspace that knows the base already."""

    registry = ""
    workspace = ""

    def line(self, line: str) -> str:
        return super().line(line.replace("127.0.0.1:5000", self.registry))

    def environ(self) -> dict[str, str]:
        return {**super().environ(), "SCORING_WORKSPACE": self.workspace}


def test_the_page_does_what_it_shows(image: Image, base_rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "rootfs.tar").symlink_to(base_rootfs)
    with running_registry(tmp_path / "registry") as registry, PageShell(tmp_path) as shell:
        shell.registry, shell.workspace = registry.address, image.workspace.folder
        for block in blocks(ROOT / "docs" / "images.md"):
            if not block.reason:
                shell.run(block)

    assert json.loads((tmp_path / "image.json").read_text())["imageId"] == "my-image:1"
    assert (tmp_path / "my-image.tar").is_file()


PROCESSES = "import glob; print([l for p in glob.glob('/proc/[0-9]*/stat') for l in [open(p).read()] if ') Z ' in l])"


def test_it_runs_careful_and_ends_with_0(container: tuple[str, str], podman: Podman) -> None:
    name, url = container
    podman.wait_ready(name, url)

    answer: Any = httpx.post(f"{url}/score", json=[1, 2], timeout=20, trust_env=False).json()

    assert answer == {"weights": "w", "user": 1000, "got": [1, 2]}
    assert podman.try_run("healthcheck", "run", name).returncode == 0
    assert until(lambda: podman.run("exec", name, "python", "-c", PROCESSES).strip() == "[]", 10, 0.3)
    assert "scoring-runtime" in podman.run("exec", name, "scoring-serve", "--version")
    began = time.monotonic()
    podman.run("stop", "--time", "20", name)
    assert time.monotonic() - began < 15
    assert podman.run("inspect", name, "--format", "{{.State.ExitCode}}").strip() == "0"


def test_one_request_can_be_tried(image: Image, podman: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in podman.environ.items():
        if name.startswith(("CONTAINERS_", "TMPDIR")):
            monkeypatch.setenv(name, value)

    assert image.run("[3]", engine="podman") == {"weights": "w", "user": 1000, "got": [3]}


def test_an_image_whose_script_fails_says_its_log(
    image: Image, podman: Podman, monkeypatch: pytest.MonkeyPatch, base_rootfs: Path, tmp_path: Path
) -> None:
    for name, value in podman.environ.items():
        if name.startswith(("CONTAINERS_", "TMPDIR")):
            monkeypatch.setenv(name, value)
    with pytest.raises(DeployError, match=r"The image answered 500: .*"):
        image.run("no json", engine="podman")

    (tmp_path / "score.py").write_text("def init(): raise ValueError('broken on purpose')\ndef run(data): return 1\n")
    config = InferenceConfig(str(tmp_path / "score.py"))
    broken = Image.create(image.workspace, "broken", [], config, base=str(base_rootfs))
    with pytest.raises(DeployError, match=r"does not become ready(.|\n)*broken on purpose"):
        broken.run("[1]", engine="podman")


def test_trying_takes_an_engine(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(DeployError, match="takes podman or docker, and there is neither on the PATH"):
        image.run("[1]")


def test_every_program_in_an_arm64_image_is_for_arm64(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    (tmp_path / "requirements.txt").write_text("azureml-defaults\n")
    environment = Environment.from_pip_requirements("edge", str(tmp_path / "requirements.txt"))
    config = InferenceConfig(str(tmp_path / "score.py"), environment=environment)
    workspace = Workspace(str(tmp_path / "workspace"))

    image = Image.create(
        workspace, "edge", [], config, base=str(small_base(tmp_path, "arm64")), platforms=["linux/arm64"]
    )

    machines: dict[str, int] = {}
    for layer in manifest_of(workspace, image)["layers"]:
        with tarfile.open(workspace.blobs.path(layer["digest"][7:])) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                machine = elf_architecture(file.read(20)) if file else ""
                if machine:
                    machines[machine] = machines.get(machine, 0) + 1
    assert set(machines) == {"arm64"}
    assert machines["arm64"] > 20


def test_the_bill_of_materials_is_valid(image: Image) -> None:
    layer = manifest_of(image.workspace, image)["layers"][-2]["digest"]
    found = find_in_layer(image.workspace.blobs.path(layer[7:]), "opt/scoring-runtime/share/sbom.cdx.json")
    assert found is not None

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(found.decode()) is None

    components = json.loads(found)["components"]
    names = {one["name"] for one in components}
    assert {"base", "scoring-runtime", "numpy", "starlette", "weights"} <= names
    assert {one["type"] for one in components} == {"container", "library", "machine-learning-model"}
