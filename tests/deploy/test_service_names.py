"""Names, tags, properties, filters, and the arguments of update(), without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy import InferenceConfig, LocalWebservice, Workspace
from scoring_runtime.deploy.environments.inference_document import document_of_config, registries_of
from scoring_runtime.deploy.services.deploying import ids_of
from scoring_runtime.deploy.services.deployment_config import LocalDeployment
from scoring_runtime.deploy.services.service import Secrets, Service, document_of, service_of
from scoring_runtime.deploy.services.service_folder import ServiceFolder, busy
from scoring_runtime.deploy.services.update_arguments import wish_of
from scoring_runtime.deploy.workspaces.names import check_service_name, has_all, with_properties, with_tags
from scoring_runtime.errors import ConfigError, ServiceNotFound

SERVICE = Service("demo", "local", 1, LocalDeployment())


@pytest.mark.parametrize("name", ["abc", "a-1", "a" * 32])
def test_good_names(name: str) -> None:
    check_service_name(name)


@pytest.mark.parametrize("name", ["", "ab", "Abc", "1ab", "ab-", "a_b", "a" * 33, "a b", None])
def test_bad_names(name: Any) -> None:
    with pytest.raises(ConfigError, match="name: expected 3 to 32 lower-case letters, digits and -"):
        check_service_name(name)


def test_tags_are_replaced_and_properties_added() -> None:
    assert with_tags(None, {"a": "1"}) == {"a": "1"}
    assert with_tags({"b": "2"}, {"a": "1"}) == {"b": "2"}
    assert with_properties(None, {"a": "1"}) == {"a": "1"}
    assert with_properties({"b": "2"}, {"a": "1"}) == {"a": "1", "b": "2"}
    for wrong in (with_tags, with_properties):
        with pytest.raises(ConfigError, match=r"(tags|properties): expected an object of texts, got"):
            wrong({"a": 1}, {})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        (None, True),
        ("a", True),
        ("b", False),
        (["a", "1"], True),
        (["a", "2"], False),
        ([["a", "1"]], True),
        (["a"], True),
        (["b"], False),
    ],
)
def test_filters(filters: Any, fits: bool) -> None:
    assert has_all(filters, {"a": "1"}) is fits


def test_positions_of_update_are_told_apart_by_kind(tmp_path: Path) -> None:
    class Image:
        id = "web:3"

    workspace, config = Workspace(str(tmp_path)), InferenceConfig("score.py")

    wait, wish = wish_of(workspace, SERVICE, (["m:1"], None, True, config, Image()), {"description": "words"}, False)

    assert (wait, wish.models, wish.inference_config, wish.image) == (True, ("m:1",), config, "web:3")
    assert (wish.deployment, wish.description) == (None, "words")


def test_arguments_of_deploy_configuration_change_the_one_there_is(tmp_path: Path) -> None:
    wait, wish = wish_of(Workspace(str(tmp_path)), SERVICE, (), {"auth_enabled": True, "tags": {"a": "b"}}, False)

    assert (wait, wish.deployment, wish.tags) == (
        False,
        LocalWebservice.deploy_configuration(auth_enabled=True),
        {"a": "b"},
    )


def test_update_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a list of models, an InferenceConfig"):
        wish_of(Workspace(str(tmp_path)), SERVICE, (5,), {}, False)


def test_models_are_named_with_their_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").touch()
    workspace = Workspace(str(tmp_path / "ws"))
    for _ in range(2):
        workspace.records("models").add("iris", {"name": "iris"})

    given = ["iris", "iris:1", "iris:latest", "weights.bin", "nobody"]
    assert ids_of(workspace, given) == ("iris:2", "iris:1", "iris:2", str(tmp_path / "weights.bin"), "nobody")


def test_inference_config_is_recorded_with_whole_paths_and_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = {"address": "reg.example", "username": "me", "password": "hush"}
    config = InferenceConfig.from_document(
        {
            "entryScript": "score.py",
            "runtime": "python",
            "condaFile": "conda.yml",
            "baseImage": "base:1",
            "baseImageRegistry": registry,
        },
        "f.json",
    )

    assert document_of_config(config) == {
        "entryScript": str(tmp_path / "score.py"),
        "runtime": "python",
        "condaFile": str(tmp_path / "conda.yml"),
        "baseImage": "base:1",
        "baseImageRegistry": {"address": "reg.example"},
    }
    assert registries_of(config) == {"reg.example": ("me", "hush")}


def test_record_of_a_service_gives_it_back() -> None:
    service = Service(
        name="demo",
        compute_type="local",
        revision=3,
        deployment=LocalDeployment(port=5),
        models=("iris:1",),
        inference={"entryScript": "/score.py"},
        environ={"A": "b"},
        auth="key",
        tags={"a": "b"},
        app=2,
        secrets=Secrets(primary_key="hush"),
    )

    document = document_of(service)

    assert "hush" not in str(document)
    assert "hush" not in repr(service)
    assert service_of(document, Secrets()) == service


def test_names_that_nothing_is_known_about_are_not_read(tmp_path: Path) -> None:
    folder = ServiceFolder(Workspace(str(tmp_path)), "demo")

    assert (folder.exists(), folder.revisions(), folder.history(), folder.text("lock")) == (False, [], [], "")
    with pytest.raises(ServiceNotFound, match=r"No service 'demo' in .*; there: none\. See: scoring service list"):
        folder.state()


def test_lock_that_says_nothing_yet_is_a_lock() -> None:
    assert "the process with pid unknown is at 'an operation' since just now" in str(busy("demo", ""))


def test_registries_and_certificates_are_secrets_of_the_folder(tmp_path: Path) -> None:
    folder = ServiceFolder(Workspace(str(tmp_path)), "demo")
    secrets = Secrets("p" * 16, "s" * 16, "t" * 32, "CERT", "KEY", {"reg.example": ("me", "hush")})
    folder.write(Service("demo", "local", 1, LocalDeployment(), secrets=secrets))

    assert folder.secrets() == secrets
    assert {path.stat().st_mode & 0o777 for path in Path(folder.folder).rglob("*") if path.is_file()} == {0o600}
