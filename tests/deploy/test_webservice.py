"""The verbs of a service on this machine, with real servers."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy import (
    AciWebservice,
    AksWebservice,
    ContainerImage,
    InferenceConfig,
    LocalWebservice,
    Model,
    Webservice,
)
from scoring_runtime.deploy.services import service_folder
from scoring_runtime.deploy.services.deploy_verbs import plan_of, wish_for
from scoring_runtime.deploy.services.deployment_config import AksDeployment
from scoring_runtime.deploy.services.service import Service
from scoring_runtime.deploy.services.update_arguments import wish_of
from scoring_runtime.deploy.workspaces.workspace import Workspace
from scoring_runtime.errors import (
    ConfigError,
    ModelInUse,
    PackagingError,
    ServiceExists,
    ServiceFailed,
    ServiceNotFound,
)
from tests.deploy.local_services import BROKEN, VERSIONED, Load, deployed, script, workspace_at

MODEL_SCRIPT = """
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


def registered(workspace: Workspace, folder: Path, value: float) -> Model:
    (folder / "factor.txt").write_text(str(value))
    return Model.register(workspace, str(folder / "factor.txt"), "factor")


def test_model_is_deployed_called_updated_and_deleted(workspace: Workspace, tmp_path: Path) -> None:
    config = script(tmp_path / "src", MODEL_SCRIPT)
    model = registered(workspace, tmp_path, 2)
    service = Model.deploy(workspace, "demo", [model], config)
    service.wait_for_deployment(timeout_sec=60)
    assert (service.state, service.error, service.run("{}")) == ("Healthy", None, 2.0)
    port = service.port  # type: ignore[attr-defined]
    assert service.scoring_uri == f"http://localhost:{port}/score"
    assert service.swagger_uri == f"http://localhost:{port}/swagger.json"

    service.update([registered(workspace, tmp_path, 3)], config, wait=True)
    assert service.run("{}") == 3.0
    assert service.port == port  # type: ignore[attr-defined]
    with pytest.raises(ModelInUse):
        Model(workspace, "factor", version=2).delete()

    service.delete()
    assert Webservice.list(workspace) == []
    with pytest.raises(ServiceNotFound):
        Webservice(workspace, "demo")


def test_update_takes_its_arguments_in_every_order(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))

    other = script(tmp_path / "b", VERSIONED.format(version=2))
    service.update([], None, LocalWebservice.deploy_configuration(), True, other)
    assert service.run("{}") == 2
    service.update([], script(tmp_path / "c", VERSIONED.format(version=3)), wait=True)
    assert service.run("{}") == 3


def test_update_of_labels_starts_nothing(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1), tags={"a": "1"}, properties={"p": "1"})
    before = service.serialize()["revision"]

    service.update(tags={"b": "2"}, properties={"q": "2"}, description="words")
    service.add_tags({"c": "3"})
    service.remove_tags(["b"])

    assert (service.tags, service.properties, service.description) == ({"c": "3"}, {"p": "1", "q": "2"}, "words")
    assert service.serialize()["revision"] == before
    with pytest.raises(ConfigError, match=r"properties\.p: expected '1', which it is, got '9'"):
        service.add_properties({"p": "9"})
    with pytest.raises(ConfigError, match="expected something to change"):
        service.update()
    with pytest.raises(ConfigError, match="Did you mean 'tags'"):
        service.update(tgas={"a": "b"})


def test_variables_of_the_server_alone_make_a_new_revision(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(
        workspace, tmp_path / "src", "import os\ndef init(): pass\ndef run(d): return os.environ.get('MOOD')\n"
    )

    service.update(environ={"MOOD": "good"}, wait=True)

    assert service.run("{}") == "good"


def test_autoscaler_of_a_service_can_be_turned_off_and_on(workspace: Workspace) -> None:
    def updated(deployment: AksDeployment, **named: Any) -> Any:
        return wish_of(workspace, Service("demo", "aks", 1, deployment), (), named, False)[1].deployment

    fixed = updated(AksWebservice.deploy_configuration(), autoscale_enabled=False, num_replicas=3)
    assert fixed == AksWebservice.deploy_configuration(num_replicas=3)
    assert updated(fixed, autoscale_enabled=True) == AksWebservice.deploy_configuration()
    with pytest.raises(ConfigError, match="num_replicas: expected nothing, as autoscale_enabled is true"):
        updated(AksWebservice.deploy_configuration(), num_replicas=3)


def test_local_service_has_the_signatures_of_its_kind(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", "def init(): print('hello there')\ndef run(d): return 1\n")

    assert "hello there" in service.get_logs(5000, True)
    assert service.get_logs(num_lines=1, raw=True) == service.get_logs(1)
    assert [one.name for one in LocalWebservice.list(workspace, None, None, True)] == ["demo"]
    assert LocalWebservice.list(workspace, "no-such-model") == []
    assert LocalWebservice.list(workspace, tags="none") == []


def test_revision_that_fails_leaves_the_one_before_and_says_why(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))

    service.update(inference_config=script(tmp_path / "src", BROKEN))
    with pytest.raises(ServiceFailed, match=r"revision 2 failed, revision 1 goes on serving: (?s:.*)no model today"):
        service.wait_for_deployment(timeout_sec=60)

    assert (service.state, service.run("{}")) == ("Healthy", 1)
    assert "no model today" in str(service.error)
    service.update(inference_config=script(tmp_path / "src", VERSIONED.format(version=3)), wait=True)
    assert (service.error, service.run("{}")) == (None, 3)


def test_first_deployment_that_fails_is_there_to_be_looked_at_and_overwritten(
    workspace: Workspace, tmp_path: Path
) -> None:
    service = Model.deploy(workspace, "demo", [], script(tmp_path / "src", BROKEN))
    with pytest.raises(ServiceFailed, match="no model today"):
        service.wait_for_deployment(timeout_sec=60)

    assert service.state == "Failed"
    assert "no model today" in service.get_logs()
    config = script(tmp_path / "src", VERSIONED.format(version=1))
    with pytest.raises(ServiceExists, match="--overwrite"):
        Model.deploy(workspace, "demo", [], config)
    Model.deploy(workspace, "demo", [], config, overwrite=True).wait_for_deployment(timeout_sec=60)
    assert service.run("{}") == 1


def test_rollback_brings_back_files_as_they_were(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    with pytest.raises(ConfigError, match="a service with an earlier revision"):
        service.rollback()
    service.update(inference_config=script(tmp_path / "src", BROKEN))
    with pytest.raises(ServiceFailed):
        service.wait_for_deployment(timeout_sec=60)
    service.update(inference_config=script(tmp_path / "src", VERSIONED.format(version=3)), wait=True)

    service.rollback()
    service.wait_for_deployment(timeout_sec=60)

    assert service.run("{}") == 1
    assert service.serialize()["revision"] == 4


def test_reload_takes_the_script_of_now_or_what_was_deployed(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    (tmp_path / "src" / "score.py").write_text(VERSIONED.format(version=2))
    service.reload(wait=True)
    assert service.run("{}") == 2

    (tmp_path / "src").rename(tmp_path / "gone")
    service.reload(wait=True)

    assert service.run("{}") == 2


def test_no_request_is_lost_through_update_reload_rollback_and_a_failure(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    with Load(str(service.scoring_uri)) as load:
        assert set(load.more(50)) == {1}
        service.update(inference_config=script(tmp_path / "src", VERSIONED.format(version=2)), wait=True)
        assert set(load.more(50)) == {2}
        service.update(inference_config=script(tmp_path / "src", BROKEN))
        with pytest.raises(ServiceFailed):
            service.wait_for_deployment(timeout_sec=60)
        assert set(load.more(50)) == {2}
        service.rollback()
        service.wait_for_deployment(timeout_sec=60)
        assert set(load.more(50)) == {1}
        (tmp_path / "src" / "score.py").write_text(VERSIONED.format(version=4))
        service.reload(wait=True)
        assert set(load.more(50)) == {4}

    assert load.failures == []


def test_list_filters(workspace: Workspace, tmp_path: Path) -> None:
    config = script(tmp_path / "src", MODEL_SCRIPT)
    model = registered(workspace, tmp_path, 2)
    configuration = LocalWebservice.deploy_configuration(tags={"team": "a"}, properties={"kind": "x"})
    Model.deploy(workspace, "demo", [model], config, configuration).wait_for_deployment(timeout_sec=60)

    def names(**filters: object) -> list[str]:
        return [one.name for one in Webservice.list(workspace, **filters)]  # type: ignore[arg-type]

    assert names() == ["demo"]
    assert names(compute_type="LOCAL", model_name="factor", model_id="factor:1", tags=["team", "a"]) == ["demo"]
    assert names(tags="team", properties=[["kind", "x"]]) == ["demo"]
    for other in (
        {"compute_type": "ACI"}, {"model_name": "x"}, {"model_id": "factor:2"}, {"tags": "x"}, {"tags": ["team", "b"]},
        {"properties": "x"}, {"image_name": "x"}, {"image_id": "x:1"},
    ):  # fmt: skip
        assert names(**other) == []
    assert [type(one) for one in LocalWebservice.list(workspace)] == [LocalWebservice]
    assert AciWebservice.list(workspace) == []


def test_secrets_are_for_the_owner_only_and_in_no_record(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(
        workspace, tmp_path / "src", VERSIONED.format(version=1), auth_enabled=True, primary_key="hush-hush-hush-hush"
    )
    primary, secondary = service.get_keys()
    assert primary == "hush-hush-hush-hush"

    folder = Path(service.folder.folder)
    private = [path for path in (folder, *folder.rglob("*")) if "app" not in path.parts]
    open_to_others = [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []
    texts = [path.read_text() for path in folder.rglob("*") if path.is_file() and path.parent.name != "keys"]
    everything = "\n".join([*texts, repr(service), json.dumps(service.serialize()), repr(service.service)])
    assert primary not in everything
    assert secondary not in everything


def test_wrong_arguments_are_refused_before_anything_is_touched(workspace: Workspace, tmp_path: Path) -> None:
    config = script(tmp_path / "src", VERSIONED.format(version=1))
    for arguments, message in (
        (("Demo", [], config), "name: expected 3 to 32 lower-case letters"),
        (("demo", "factor", config), "models: expected a list of models"),
        (("demo", [], config, {"port": 1}), "deployment_config: expected a deployment configuration"),
        (("demo", [], {"entryScript": "score.py"}), "inference_config: expected an InferenceConfig"),
        (("demo", [], config, LocalWebservice.deploy_configuration(), "cluster"), "deployment_target: expected none"),
    ):
        with pytest.raises(ConfigError, match=message):
            Model.deploy(workspace, *arguments)  # type: ignore[arg-type]
    with pytest.raises(PackagingError, match="No such file"):
        Model.deploy(workspace, "demo", [], InferenceConfig(str(tmp_path / "none.py")))

    assert not os.path.exists(workspace.path("services", "demo", "service.json"))


def test_service_does_not_move_to_another_kind_of_host(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))

    with pytest.raises(ConfigError, match="deployment_config: expected local, where demo runs, got 'aks'"):
        service.update(deployment_config=AksWebservice.deploy_configuration())


def test_keys_and_tokens_of_a_service_without_them_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))

    with pytest.raises(ServiceFailed, match="has no keys"):
        service.get_keys()
    with pytest.raises(ServiceFailed, match="takes no tokens"):
        service.get_token()
    with pytest.raises(ConfigError, match="expected Primary or Secondary"):
        service.regen_key("Third")


def test_things_of_another_kind_are_named(workspace: Workspace, tmp_path: Path) -> None:
    service: Any = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1), auth_enabled=True)
    for action, message in (
        (
            lambda: service.run({"data": [1]}),
            r"input_data: expected a text or bytes, got .* Write json\.dumps",
        ),
        (lambda: service.update([1]), "models: expected a Model, or its name, got 1"),
        (lambda: service.regen_key(None), "key: expected Primary or Secondary, got nothing"),
    ):
        with pytest.raises(ConfigError, match=message):
            action()


def test_run_says_status_and_body_of_what_is_no_score(workspace: Workspace, tmp_path: Path) -> None:
    service = deployed(workspace, tmp_path / "src", "def init(): pass\ndef run(raw_data): raise KeyError('x')\n")

    with pytest.raises(ServiceFailed, match=r"answered 500, expected 200: .*x"):
        service.run("{}")


def test_old_revisions_and_their_files_are_forgotten(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_folder, "KEPT_REVISIONS", 2)
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    for _ in range(2):
        service.reload(wait=True)

    assert service.folder.revisions() == [2, 3]
    assert sorted(os.listdir(service.folder.path("app"))) == ["2", "3"]


def test_older_verbs_register_and_deploy(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "factor").write_text("2")
    (tmp_path / "score.py").write_text(MODEL_SCRIPT)
    (tmp_path / "beside.txt").touch()
    config = ContainerImage.image_configuration(execution_script="score.py", runtime="python")
    more = ContainerImage.image_configuration("score.py", "python", dependencies=["beside.txt"])

    service = Webservice.deploy(workspace, "demo", ["factor"], config, LocalWebservice.deploy_configuration())
    service.wait_for_deployment(timeout_sec=60)
    assert (service.run("{}"), service.service.models) == (2.0, ("factor:1",))
    with pytest.raises(ConfigError, match="image_config: expected no dependencies or schema_file"):
        Webservice.deploy_from_model(workspace, "other", [], more)

    (tmp_path / "factor").write_text("5")
    again = Model.register(workspace, "factor", "factor")
    Webservice.deploy_local_from_model(workspace, "demo", [again], config, wait=True)
    assert service.run("{}") == 5.0


def test_local_service_is_deployed_to_another_host_from_what_it_knows(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the host: there the same script and models arrive."""
    service = deployed(workspace, tmp_path / "src", VERSIONED.format(version=1))
    asked: list[tuple[str, object, str]] = []

    def deploy(*given: Any, image: object) -> None:
        _, name, models, config, there, _ = given
        asked.append((name, models, config.entry_script))
        assert (there, image) == (AciWebservice.deploy_configuration(), None)

    monkeypatch.setattr("scoring_runtime.deploy.services.webservice_kinds.deploy", deploy)

    service.deploy_to_cloud("cloud")

    assert asked == [("cloud", [], "score.py")]


def test_secrets_are_not_in_the_plan(workspace: Workspace, tmp_path: Path) -> None:
    config = script(tmp_path / "src", VERSIONED.format(version=1))
    wish = wish_for(workspace, [], config, LocalWebservice.deploy_configuration(auth_enabled=True), None, None)

    service, plan = plan_of(
        workspace, "demo", wish.labelled(None, None, None, {"AML_APP_INSIGHTS_KEY": "hush-hush", "OTHER": "shown"})
    )

    text = json.dumps(dict(plan.documents))
    assert "shown" in text
    assert "hush-hush" not in text
    assert service.secrets.primary_key not in text
