"""`scoring image`: what it prints, stores and refuses, and with which exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scoring_runtime.cli.main import main
from scoring_runtime.deploy import Image, Model, Workspace
from tests.containers import running_registry
from tests.deploy.building import script_alone, small_base


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Scoring:
    """The command, in a folder with an inferenceconfig.json that installs nothing, and a base."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.ws = Workspace(str(folder / "ws"))
        script_alone(folder)
        environment = {"name": "bare", "python": {"userManagedDependencies": True}}
        config = {"entryScript": "score.py", "sourceDirectory": "src", "environment": environment}
        (folder / "ic.json").write_text(json.dumps(config))
        small_base(folder, name="base.tar")

    def __call__(self, *arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["image", *arguments])
        out, err = self.capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    def build(self, *arguments: str) -> Said:
        return self("build", "-n", "web", "--ic", "ic.json", "--base", "base.tar", *arguments)


@pytest.fixture
def scoring(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scoring:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORING_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return Scoring(tmp_path, capsys)


def test_build_says_each_layer_and_what_came_of_it(scoring: Scoring) -> None:
    (scoring.folder / "model.pkl").write_text("weights")
    Model.register(scoring.ws, "model.pkl", "iris")

    said = scoring.build("-m", "iris:1", "--tag", "area=flowers", "-t", "out.json")

    image = Image(scoring.ws, "web")
    size = f"{image.record['size']:,}"
    assert (said.code, said.out) == (0, f"Built web:1: linux/amd64, {size} bytes, {image.image_digest}\n")
    assert "s] base base.tar\n" in said.err
    assert "s] wrote model iris:1: " in said.err
    assert image.tags == {"area": "flowers"}
    assert json.loads((scoring.folder / "out.json").read_text()) == {
        "imageId": "web:1",
        "digest": image.image_digest,
        "workspaceName": "ws",
    }


def test_json_is_all_that_is_printed(scoring: Scoring) -> None:
    said = scoring.build("--json", "--property", "p=1", "--platform", "linux/amd64")

    assert said.document["id"] == "web:1"
    assert said.document["properties"] == {"p": "1"}
    assert said.err.splitlines() == [
        "note: userManagedDependencies is true: nothing is installed, the base image has to hold the script's packages "
        'and scoring-runtime. Set inferencingStackVersion to "latest" to have the server added.'
    ]


def test_dry_run_says_what_would_be_done_and_does_nothing(scoring: Scoring) -> None:
    said = scoring.build("--dry-run", "--base-for", "linux/arm64=other.tar", "--platform", "linux/arm64")

    assert said.out.splitlines()[:5] == [
        "image web, its next version, for linux/arm64",
        "base base.tar",
        "  for linux/arm64: other.tar",
        "code src/score.py: 44 bytes",
        "environment AML_APP_ROOT",
    ]
    assert Image.list(scoring.ws) == []
    said = scoring("build", "src", "-n", "web", "--dry-run", "--engine", "podman")
    assert said.out.startswith("Would have podman build this for web, with all it needs beside it:\n")
    assert "\nFROM ${BASE}\n" in said.out


def test_dockerfile_goes_into_a_folder_and_nothing_is_built(scoring: Scoring) -> None:
    planned = scoring("build", "-n", "web", "--ic", "ic.json", "--dockerfile", "there", "--dry-run")
    said = scoring("build", "-n", "web", "--ic", "ic.json", "--dockerfile", "there")
    again = scoring("build", "-n", "web", "--ic", "ic.json", "--dockerfile", "there")

    assert planned.out.startswith("Would write to there this for web, with all it needs beside it:\n")
    assert (said.code, said.out) == (0, "Wrote there. Build it: docker build -t web there\n")
    assert said.err.startswith("note: userManagedDependencies is true: nothing is installed")
    assert sorted(path.name for path in (scoring.folder / "there").iterdir()) == ["Dockerfile", "azureml-app"]
    assert (again.code, "is not empty. Name another folder" in again.err) == (2, True)
    assert not (scoring.folder / "ws" / "packages").exists()
    assert Image.list(scoring.ws) == []


def test_dry_run_of_a_plain_script_names_what_would_be_installed(scoring: Scoring) -> None:
    (scoring.folder / "requirements.txt").write_text("scikit-learn\n")

    said = scoring("build", "src/score.py", "-n", "web", "--dry-run", "-r", "requirements.txt", "--json")

    lines = said.document["plan"]
    assert lines[1] == "base docker.io/library/python:3.11-slim"
    assert "scikit-learn" in lines[2]
    assert "scoring-runtime" in lines[2]
    said = scoring("build", "src", "-n", "web", "--dry-run", "-d", "flowers")
    assert "code src/score.py: 44 bytes" in said.out


def test_a_conda_file_is_read(scoring: Scoring) -> None:
    (scoring.folder / "env.yml").write_text("name: x\ndependencies: [python=3.12, numpy]\n")

    said = scoring("build", "src", "-n", "web", "--dry-run", "--cf", "env.yml")

    assert "dependencies: numpy, scoring-runtime for 3.12, locked and installed" in said.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("-n", "web"), "Expected a script, a folder with a score.py, or --ic FILE; one of them."),
        (("src", "-n", "web", "--ic", "ic.json"), "one of them."),
        (("-n", "web", "--ic", "ic.json", "-r", "x.txt"), "With --ic the environment is in that file"),
        (("-n", "WEB", "--ic", "ic.json"), "An image's name: expected 3 to 32 lower-case"),
        (("-n", "web", "--ic", "ic.json", "--username", "ada"), "--username and --password-stdin go together"),
        (("src", "-n", "web", "--engine", "docker", "--tag", "a=b"), "for one platform; leave out: --tag."),
        (
            ("src", "-n", "web", "--engine", "docker", "--platform", "linux/amd64", "--platform", "linux/arm64"),
            "leave out: all platforms but one",
        ),
        (("-n", "web", "--ic", "ic.json", "--platform", "arm64"), "A platform is written as os/architecture"),
    ],
)
def test_what_cannot_be_is_refused(scoring: Scoring, arguments: tuple[str, ...], reason: str) -> None:
    said = scoring("build", *arguments)

    assert said.code == 2
    assert reason in said.err


def test_an_engine_that_fails_is_shown(scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    (scoring.folder / "podman").write_text("#!/bin/sh\necho no space in the store >&2\nexit 125\n")
    (scoring.folder / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{scoring.folder}:/usr/bin:/bin")

    said = scoring("build", "--ic", "ic.json", "-n", "web", "--engine", "podman", "--base", "scratch")

    assert said.code == 2
    assert "no space in the store" in said.err


def test_list_show_and_delete(scoring: Scoring) -> None:
    scoring.build()
    scoring.build("--description", "kept")

    listed = scoring("list", "--name", "web").out.splitlines()
    assert listed[0].split() == ["NAME", "VERSION", "STATE", "PLATFORMS", "SIZE", "CREATED", "DIGEST"]
    assert [line.split()[:4] for line in listed[1:]] == [
        ["web", "2", "Succeeded", "linux/amd64"],
        ["web", "1", "Succeeded", "linux/amd64"],
    ]
    shown = scoring("show", "web:1").out
    assert "id:          web:1\nstate:       Succeeded\ndigest:      sha256:" in shown
    assert scoring("show", "web", "--json").document["version"] == 2
    assert scoring("delete", "web:1", "--dry-run").out == "Would delete web:1\n"
    assert scoring("delete", "web:1").out == "Deleted web:1\n"
    assert [one["id"] for one in scoring("list", "--json").document] == ["web:2"]
    missing = scoring("delete", "web:1")
    assert missing.code == 2
    assert "ImageNotFound: There is no image web:1" in missing.err


def test_what_a_service_runs_is_not_deleted(scoring: Scoring) -> None:
    scoring.build()
    (scoring.folder / "ws" / "services" / "front" / "revisions").mkdir(parents=True)
    (scoring.folder / "ws" / "services" / "front" / "revisions" / "1.json").write_text('{"image": "web:1"}')

    for flags in ((), ("--dry-run",)):
        said = scoring("delete", "web:1", *flags)
        assert said.code == 2
        assert "ImageInUse: The image web:1 is used by service front." in said.err


def test_export_chooses_the_form_by_the_name(scoring: Scoring) -> None:
    scoring.build()

    assert scoring("export", "web", "layout").out == "Wrote layout: web:1 as oci\n"
    assert scoring("export", "web", "web.tar").out == "Wrote web.tar: web:1 as docker-archive\n"
    said = scoring("export", "web", "oci.tar", "--format", "oci-archive", "--platform", "linux/amd64", "--json")
    assert said.document == {"id": "web:1", "path": "oci.tar", "format": "oci-archive"}
    refused = scoring("export", "web", "no.tar", "--platform", "linux/arm64")
    assert "The image web:1 is not for linux/arm64; it is for linux/amd64." in refused.err


def test_images_come_back_from_files(scoring: Scoring) -> None:
    scoring.build()
    scoring("export", "web", "layout")
    scoring("export", "web", "oci.tar", "--format", "oci-archive")
    digest = Image(scoring.ws, "web").image_digest

    for path, name in ("layout", "layout"), ("oci.tar", "oci"), ("layout:1", "copy"):
        flags = ("-n", name) if name == "copy" else ()
        said = scoring("pull", path, *flags, "-w", str(scoring.folder / "other"))
        assert said.out.startswith(f"Pulled {name}:1: linux/amd64, ")
        assert digest is not None
        assert said.out.endswith(f"{digest}\n")
    refused = scoring("pull", "base.tar")
    assert "base.tar is a rootfs, which is not an image" in refused.err


def test_push_and_pull_with_a_password(scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring.build()
    with running_registry(scoring.folder / "r", "ada", "secret") as registry:
        login = ("--username", "ada", "--password-stdin")

        dry = scoring("push", "web", f"{registry.address}/team/", "--dry-run")
        assert dry.out.startswith(f"Would push web:1 to {registry.address}/team/: at most ")
        refused = scoring("push", "web", f"{registry.address}/team/")
        assert (refused.code, "wants a login, and none is known" in refused.err) == (2, True)
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        said = scoring("push", "web", f"{registry.address}/team/", "--sbom", *login)
        assert said.out.startswith(f"Pushed web:1 to {registry.address}/team/web:1@sha256:")
        assert said.err.endswith("attached the bill of materials\n")
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        again = scoring("push", "web", f"{registry.address}/team/web:2", "--json", *login)
        assert again.document["sentBytes"] == 0
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        pulled = scoring("pull", f"{registry.address}/team/web:2", "-n", "back", *login)
        assert pulled.out.startswith("Pulled back:1: linux/amd64, ")
        assert Image(scoring.ws, "back").image_digest == Image(scoring.ws, "web").image_digest
        assert Image(scoring.ws, "back").image_location == f"{registry.address}/team/web:2"
        by_digest = scoring("push", "web", f"{registry.address}/team/web@{Image(scoring.ws, 'web').image_digest}")
        assert "names a digest, and a push needs a tag" in by_digest.err
