"""An image of ours as a service of this machine, without an engine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring_runtime.deploy import Image, LocalWebservice, Model, Webservice, Workspace
from scoring_runtime.deploy.images.unpacked_image import documents_of, image_environ, unpack_image
from scoring_runtime.errors import ConfigError, PackagingError, ServiceFailed
from tests.deploy.building import script_alone, small_base
from tests.deploy.local_services import workspace_at

SCRIPT = """
from azureml.core.model import Model
def init():
    global factor
    factor = float(open(Model.get_model_path("factor")).read())
def run(raw_data):
    return factor
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_at(tmp_path / "ws") as one:
        yield one


def image_of(workspace: Workspace, folder: Path, value: float = 2) -> Image:
    (folder / "factor.txt").write_text(str(value))
    model = Model.register(workspace, str(folder / "factor.txt"), "factor")
    base = small_base(folder, python="usr/bin/python{}.{}".format(*sys.version_info))
    return Image.create(workspace, "web", [model], script_alone(folder, SCRIPT), base=str(base))


def test_image_is_deployed_and_updated_by_another(workspace: Workspace, tmp_path: Path) -> None:
    image = image_of(workspace, tmp_path)
    configuration = LocalWebservice.deploy_configuration()
    service = Webservice.deploy_from_image(workspace, "demo", image, configuration)
    service.wait_for_deployment(timeout_sec=60)
    assert (service.run("{}"), service.image_id, service.service.models) == (2.0, "web:1", ("factor:1",))

    service.update(image=image_of(workspace, tmp_path, 3), wait=True)

    assert (service.run("{}"), service.image_id) == (3.0, "web:2")
    assert [one.name for one in Webservice.list(workspace, image_name="web")] == ["demo"]
    with pytest.raises(ConfigError, match=r"image: expected an image or a script for demo, got nothing"):
        service.update([Model(workspace, "factor")])


def test_files_are_those_of_our_layers_only(workspace: Workspace, tmp_path: Path) -> None:
    image = image_of(workspace, tmp_path)

    version = unpack_image(workspace, image.id, str(tmp_path / "app"))

    files = {str(path.relative_to(tmp_path / "app")) for path in (tmp_path / "app").rglob("*") if path.is_file()}
    assert version in ("", "{}.{}".format(*sys.version_info))
    assert {name for name in files if not name.startswith(".packages")} == {
        "azureml-models/factor/1/factor.txt",
        "model_config_map.json",
        "src/score.py",
    }
    assert image_environ(workspace, image.id)["AZUREML_MODEL_DIR"] == "/var/azureml-app/azureml-models/factor/1"


def test_empty_folders_of_a_model_are_unpacked(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "net" / "assets").mkdir(parents=True)
    (tmp_path / "net" / "weights").write_text("1")
    model = Model.register(workspace, str(tmp_path / "net"), "net")
    base = str(small_base(tmp_path))
    image = Image.create(workspace, "web", [model], script_alone(tmp_path, SCRIPT), base=base)

    unpack_image(workspace, image.id, str(tmp_path / "app"))

    assert sorted(os.listdir(tmp_path / "app/azureml-models/net/1/net")) == ["assets", "weights"]


def test_image_for_another_machine_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    config = script_alone(tmp_path, SCRIPT)
    image = Image.create(workspace, "web", [], config, base=str(small_base(tmp_path, "arm64")))

    with pytest.raises(PackagingError, match=r"web:1 is for linux/arm64, and this machine is x86_64"):
        unpack_image(workspace, image.id, str(tmp_path / "app"))


def test_image_of_strangers_needs_an_engine(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(workspace, tmp_path)
    manifest, config = documents_of(workspace, image.id)
    strangers = {**config, "history": [{"created_by": "somebody"} for _ in manifest["layers"]]}
    monkeypatch.setattr("scoring_runtime.deploy.images.unpacked_image.documents_of", lambda *_: (manifest, strangers))

    with pytest.raises(PackagingError, match="only a container engine can run it"):
        unpack_image(workspace, image.id, str(tmp_path / "app"))


def test_image_that_is_not_there_is_named(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match=r"web:7 is no finished image of .* See: scoring image list"):
        image_environ(workspace, "web:7")


def test_image_that_is_not_finished_is_not_deployed(workspace: Workspace) -> None:
    class Unfinished:
        id = "web:1"
        creation_state = "Running"

    with pytest.raises(ConfigError, match="expected an image whose creation has Succeeded, got 'Running'"):
        Webservice.deploy_from_image(workspace, "demo", Unfinished())


def test_packages_for_another_python_are_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(workspace, tmp_path)
    monkeypatch.setattr("scoring_runtime.deploy.targets.local.unpack_image", lambda *_: "3.99")

    with pytest.raises(PackagingError, match=r"web:1 has packages for Python 3\.99, and this is"):
        Webservice.deploy_from_image(workspace, "demo", image, LocalWebservice.deploy_configuration())

    failed = Webservice(workspace, "demo")
    assert failed.state == "Failed"
    assert not os.path.exists(failed.folder.path("app", "1"))
    assert json.loads(Path(failed.folder.path("service.json")).read_text())["pending"] is None
    with pytest.raises(ServiceFailed):
        failed.wait_for_deployment(timeout_sec=5)
