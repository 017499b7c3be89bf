"""An image of the workspace on its way to a host: by reference, pushed or loaded; and the table of hosts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from scoring_runtime.deploy import Image, Workspace
from scoring_runtime.deploy.services.compute import AksCompute, AttachConfiguration, ComputeTarget
from scoring_runtime.deploy.services.service import Service
from scoring_runtime.deploy.targets.published import Published, archive_of
from scoring_runtime.deploy.targets.table import platforms_of, target_of
from scoring_runtime.errors import TargetError
from tests.deploy.building import script_alone, small_base
from tests.deploy.targets.services import aci, aks, iot


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "ws"))


def of_ours(service: Service) -> Service:
    return replace(service, image="iris:7", models=())


def test_a_host_pulls_what_is_pushed_to_its_registry(ws: Workspace) -> None:
    cluster = AksCompute.attach_configuration(context="prod", registry="registry.example/team/")
    ComputeTarget.attach(ws, "prod", cluster)
    ComputeTarget.attach(ws, "iot", AttachConfiguration("iot", {"hub": "my-hub", "registry": "registry.example"}))
    on_cluster, on_device = of_ours(aks(compute_target_name="prod")), of_ours(iot())

    deployment = target_of(ws, on_cluster).plan(on_cluster).documents["deployment-iris.yaml"]
    manifest = target_of(ws, on_device).plan(on_device).documents["deployment.json"]

    assert "image: registry.example/team/iris:7" in deployment
    assert '"image": "registry.example/iris:7"' in manifest


def test_an_engine_of_this_machine_needs_no_registry(ws: Workspace) -> None:
    plan = target_of(ws, of_ours(aci())).plan(of_ours(aci()))

    assert '"Image": "localhost/scoring/iris:7"' in plan.documents["container.json"]
    assert archive_of(ws, "registry.example/iris:7") is None


def test_an_engine_tells_images_of_two_workspaces_apart(tmp_path: Path) -> None:
    """Both call theirs iris:1; what is in it is part of its name in the engine."""
    references = []
    for name in ("one", "two"):
        workspace = Workspace(str(tmp_path / name / "ws"))
        config = script_alone(tmp_path / name, f"def init(): pass\ndef run(data): return {name!r}\n")
        image = Image.create(workspace, "iris", [], config, base=str(small_base(tmp_path)))
        target = target_of(workspace, of_ours(aci()))
        assert isinstance(target, Published)
        placed = target.placed(replace(of_ours(aci()), image=image.id)).image
        loaded = b"".join(archive_of(workspace, placed) or ())
        assert f'"RepoTags":["{placed}"]'.encode() in loaded
        references.append(placed)

    assert [one.rpartition("-")[0] for one in references] == ["localhost/scoring/iris:1"] * 2
    assert references[0] != references[1]


def test_without_a_registry_the_way_out_is_said(ws: Workspace) -> None:
    target, service = target_of(ws, of_ours(aks())), of_ours(aks())
    words = "the host cannot pull iris:7 from this workspace. Attach the compute target with registry="

    assert words in target.plan(service).steps[0]
    with pytest.raises(TargetError, match=re.escape(words)):
        target.apply(service, lambda step: None)


def test_a_reference_stays_as_it_is(ws: Workspace) -> None:
    service = replace(aks(), models=())

    assert "image: registry.example/iris:7" in target_of(ws, service).plan(service).documents["deployment-iris.yaml"]


def test_a_setting_that_a_host_does_not_have_is_named(ws: Workspace) -> None:
    ComputeTarget.attach(ws, "aci", AttachConfiguration("aci", {"ports": 80}))

    with pytest.raises(TargetError, match="ports: no setting of this host has this name; there are: engine, address"):
        target_of(ws, of_ours(aci()))


def test_what_platforms_an_image_has_is_known_of_those_of_the_workspace(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Built:
        def __init__(self, workspace: Workspace, id: str) -> None:
            self.id = id

        def serialize(self) -> dict[str, list[str]]:
            return {"platforms": [f"linux/arm64 of {self.id}"]}

    monkeypatch.setattr("scoring_runtime.deploy.images.image.Image", Built)

    assert platforms_of(ws, "registry.example/", "registry.example/iris:7") == ["linux/arm64 of iris:7"]
    assert platforms_of(ws, "registry.example", "other.example/iris:7") == []
    assert platforms_of(ws, "", "iris:7") == []
