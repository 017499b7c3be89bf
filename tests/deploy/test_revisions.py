"""What the next revision of a service on another host is made of: its image, its script, the place where it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scoring_runtime.deploy import AciWebservice, InferenceConfig, Webservice, Workspace
from scoring_runtime.deploy.services.compute import attach_engine
from scoring_runtime.deploy.services.deploying import Wish, new_revision
from scoring_runtime.deploy.services.service import Service
from scoring_runtime.deploy.services.service_folder import ServiceFolder
from scoring_runtime.deploy.targets.base import Plan, Progress, Status
from scoring_runtime.deploy.targets.table import TARGETS
from scoring_runtime.errors import ConfigError
from tests.deploy.local_services import VERSIONED, script


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "ws"))


def of_script(workspace: Workspace, folder: Path) -> Service:
    """A first revision, as it is when its image has been built."""
    config: InferenceConfig = script(folder, VERSIONED.format(version=1))
    deployment = AciWebservice.deploy_configuration(compute_target_name="engine-podman")
    wish = Wish((), config, deployment).labelled(None, None, None, {"GREETING": "hi"})
    return replace(new_revision(workspace, "iris", wish, None, 1), image="iris:1")


def test_image_brings_its_own_script_and_models(workspace: Workspace, tmp_path: Path) -> None:
    before = of_script(workspace, tmp_path / "src")

    after = new_revision(workspace, "iris", Wish(image="other:3"), before, 2)

    assert before.environ["AZUREML_ENTRY_SCRIPT"] == "src/score.py"
    assert (after.image, after.models, after.inference) == ("other:3", (), {})
    assert after.environ == {"GREETING": "hi"}


def test_reload_builds_an_image_of_the_script_as_it_is_now(workspace: Workspace, tmp_path: Path) -> None:
    before = of_script(workspace, tmp_path / "src")

    assert new_revision(workspace, "iris", Wish(anew=True), before, 2).image == ""
    assert new_revision(workspace, "iris", Wish(environ={"A": "b"}), before, 2).image == "iris:1"
    of_image = new_revision(workspace, "iris", Wish(image="other:3"), before, 2)
    assert new_revision(workspace, "iris", Wish(anew=True), of_image, 3).image == "other:3"


def test_service_stays_on_its_compute_target(workspace: Workspace, tmp_path: Path) -> None:
    before = of_script(workspace, tmp_path / "src")
    bigger = AciWebservice.deploy_configuration(memory_gb=2)

    after = new_revision(workspace, "iris", Wish(deployment=bigger), before, 2)

    assert after.deployment == replace(bigger, compute_target_name="engine-podman")
    elsewhere = replace(bigger, compute_target_name="engine-docker")
    with pytest.raises(ConfigError, match="deployment_target: expected engine-podman, where iris runs, got 'engine-do"):
        new_revision(workspace, "iris", Wish(deployment=elsewhere), before, 2)


def test_service_on_an_engine_that_is_gone_is_listed(workspace: Workspace, tmp_path: Path) -> None:
    target = attach_engine(workspace, "unix:///nowhere/podman.sock")
    service = of_script(workspace, tmp_path / "src")
    folder = ServiceFolder(workspace, "iris")
    folder.write(replace(service, deployment=replace(service.deployment, compute_target_name=target)))
    folder.write_state(1, None, None)

    (found,) = Webservice.list(workspace)

    assert found.state == "Unhealthy"
    assert (found.error or "").startswith("No container engine answers at unix:///nowhere/podman.sock")


class Host:
    """One that runs what it was told last; while it is told revision `deadly` the process is killed."""

    def __init__(self, deadly: int) -> None:
        self.deadly = deadly
        self.told: list[int] = []

    def plan(self, service: Service) -> Plan:
        return Plan(())

    def apply(self, service: Service, progress: Progress) -> None:
        if service.revision == self.deadly:
            raise KeyboardInterrupt
        self.told.append(service.revision)

    def status(self, service: Service) -> Status:
        return Status("Healthy", None, "http://127.0.0.1:1/score", 1)


def test_what_a_host_was_not_told_to_the_end_is_never_taken_for_healthy(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the host has a revision, the one before it answers, and healthily."""
    host = Host(deadly=2)
    monkeypatch.setitem(TARGETS, "aci", lambda workspace, service: host)
    service = Webservice.deploy_from_image(workspace, "iris", "iris:1", AciWebservice.deploy_configuration())
    service.wait_for_deployment()
    with pytest.raises(KeyboardInterrupt):
        service.update(image="iris:2")

    assert (service.state, service.folder.state()["current"]) == ("Transitioning", 1)
    pending = service.folder.state()["pending"]
    service.folder.write_state(1, {**pending, "by": {**pending["by"], "started": "1"}}, None)
    assert service.error == "Interrupted. Go on with it: scoring service wait iris"
    service.update(image="iris:3", wait=True)

    assert (service.state, service.image_id) == ("Healthy", "iris:3")
    assert host.told == [1, 1, 3]
