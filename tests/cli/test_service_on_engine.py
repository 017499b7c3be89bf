"""`scoring deploy --engine`, an image of the workspace, and a registry with a login, on a real podman."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scoring_runtime.deploy import AciWebservice, Image, InferenceConfig, Webservice, Workspace
from scoring_runtime.deploy.images.credentials import Credentials
from scoring_runtime.deploy.images.image_sources import Access
from scoring_runtime.deploy.services.compute import attach_engine
from scoring_runtime.errors import TargetError
from tests.cli.test_service import Shell
from tests.containers import LocalRegistry, Podman, running_registry
from tests.deploy.local_services import VERSIONED, script, workspace_at
from tests.deploy.targets.engines import PodmanService, served
from tests.serving import free_port, until

SAYING = "def init(): print('made ready', {version!r})\ndef run(raw_data): return {version!r}\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry"), "ada", "secret") as one:
        yield one


@pytest.fixture(scope="module")
def engine(podman: Podman, registry: LocalRegistry) -> Iterator[PodmanService]:
    """It takes the registry without TLS."""
    with (podman.folder / "registries.conf").open("a") as file:
        file.write(f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n')
    with served(podman, "second") as service:
        yield service


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, engine: PodmanService) -> Iterator[Workspace]:
    """One for all, so that the layers of the base are made once."""
    with workspace_at(tmp_path_factory.mktemp("on-engine") / "ws") as one:
        yield one


@pytest.fixture
def shell(tmp_path: Path, workspace: Workspace, base_rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("SCORING_BASE_IMAGE", str(base_rootfs))
    return Shell(tmp_path, workspace)


def left_of(engine: PodmanService, name: str) -> list[str]:
    """Containers and images of a service that are in the engine."""
    containers = engine.podman.run("ps", "--all", "--format", "{{.Names}}").split()
    images = engine.podman.run("images", "--format", "{{.Repository}}").split()
    return [one for one in containers if one == name or one.startswith(f"{name}-")] + [
        one for one in images if one.endswith(f"/{name}")
    ]


def image_of(workspace: Workspace, folder: Path, base: Path, name: str, version: str) -> Image:
    """With a script that answers its version."""
    config: InferenceConfig = script(folder, VERSIONED.format(version=version))
    return Image.create(workspace, name, [], config, base=str(base))


def asked(uri: str, key: str = "") -> httpx.Response:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    return httpx.post(uri, content="1", headers=headers, timeout=20, trust_env=False)


@pytest.mark.timeout(240)
def test_script_is_deployed_changed_and_deleted_in_an_engine(shell: Shell, engine: PodmanService) -> None:
    home, port = shell.folder / "hello", free_port()
    script(home, SAYING.format(version="one"))
    local = {"computeType": "local", "port": port, "containerResourceRequirements": {"cpu": 1, "memoryInGB": 0.3}}
    (shell.folder / "dc.json").write_text(json.dumps(local))

    made = shell.json("deploy", "hello", "--dc", "dc.json", "--engine", engine.address, "--auth", "key")

    uri = f"http://127.0.0.1:{port}/score"
    assert (made["state"], made["scoring_uri"], made["compute_type"]) == ("Healthy", uri, "aci")
    assert shell.ok("service", "run", "hello", "-d", "1") == '"one"\n'
    assert "made ready one" in shell.ok("service", "logs", "hello")
    limits = engine.podman.run("inspect", "hello", "--format", "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}")
    assert limits.split() == ["1000000000", str(round(0.3 * 1024**3))]

    shell.ok("service", "regen-key", "hello", "-k", "Primary", "-s", "another-key-of-mine")
    until(lambda: asked(uri, "another-key-of-mine").status_code == 200)
    assert asked(uri).status_code == 401

    script(home, SAYING.format(version="two"))
    shell.ok("service", "reload", "hello")
    assert asked(uri, "another-key-of-mine").json() == "two"
    assert [(row["name"], row["state"]) for row in shell.json("service", "list")] == [("hello", "Healthy")]
    assert left_of(engine, "hello") == ["hello", "localhost/scoring/hello"]

    shell.ok("service", "delete", "hello")
    assert left_of(engine, "hello") == []


@pytest.mark.timeout(240)
def test_image_is_loaded_into_an_engine_and_the_next_is_pulled_with_a_login(
    shell: Shell,
    engine: PodmanService,
    registry: LocalRegistry,
    base_rootfs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pulled as who `podman login` has left; without a login the engine's refusal is told."""
    first = image_of(shell.workspace, tmp_path / "first", base_rootfs, "first", "loaded")
    second = image_of(shell.workspace, tmp_path / "second", base_rootfs, "second", "pulled")
    reference = f"{registry.address}/team/second:1"
    second.push(reference, access=Access(Credentials("ada", "secret")))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    config = AciWebservice.deploy_configuration(cpu_cores=1, memory_gb=0.3)

    service = Webservice.deploy_from_image(
        shell.workspace, "web", first, config, attach_engine(shell.workspace, engine.address)
    )
    service.wait_for_deployment(timeout_sec=60)
    assert service.run("1") == "loaded"
    uri = service.scoring_uri
    with pytest.raises(TargetError, match=rf"could not pull {reference}: .*(?i:auth)"):
        service.update(image=reference)
    assert service.run("1") == "loaded"

    login = {"auth": base64.b64encode(b"ada:secret").decode()}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {registry.address: login}}))
    service.update(image=reference, wait=True)

    assert (service.run("1"), service.scoring_uri, service.image_id) == ("pulled", uri, reference)
    assert left_of(engine, "first") == []
    service.delete()
    assert left_of(engine, "web") == []
    engine.podman.run("rmi", reference)
