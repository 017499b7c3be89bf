"""Images of a workspace: versions, states that tell the truth, layers that are shared, digests that repeat."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring_runtime.deploy import (
    CondaDependencies,
    ContainerImage,
    Environment,
    Image,
    InferenceConfig,
    Model,
    Workspace,
)
from scoring_runtime.deploy.environments.environment import ContainerRegistry
from scoring_runtime.deploy.images.image_record import drafted, recorded
from scoring_runtime.errors import (
    BlobCorrupt,
    ConfigError,
    DeployError,
    DiskFull,
    ImageInUse,
    ImageNotFound,
    ModelError,
    ModelInUse,
    PackagingError,
    RegistryError,
    WorkspaceError,
)
from tests.deploy.building import contents, layer_names, manifest_of, script_alone, small_base
from tests.serving import until


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(small_base(tmp_path))


def registered(workspace: Workspace, folder: Path, name: str, text: str = "weights") -> Model:
    (folder / f"{name}.txt").write_text(text)
    return Model.register(workspace, str(folder / f"{name}.txt"), name)


def test_an_image_is_recorded_with_all_that_is_in_it(tmp_path: Path, workspace: Workspace, base: str) -> None:
    model = registered(workspace, tmp_path, "iris")
    steps: list[str] = []

    image = Image.create(workspace, "web", [model], script_alone(tmp_path), base=base, progress=steps.append)

    assert (image.id, image.name, image.version) == ("web:1", "web", 1)
    assert (image.creation_state, image.image_flavor, image.image_location) == ("Succeeded", "WebApiContainer", None)
    assert [one.id for one in image.models] == ["iris:1"]
    assert image.record["architecture"] == "amd64"
    assert [name.partition(": ")[2] for name in layer_names(workspace, image)] == [
        "",
        "model iris:1",
        "description",
        "code",
    ]
    manifest = manifest_of(workspace, image)
    assert [layer["digest"] for layer in manifest["layers"]] == image.record["layers"]
    assert image.image_digest == "sha256:" + image.descriptor.digest[7:]
    model_layer, _, code = (layer["digest"] for layer in manifest["layers"][1:])
    assert "var/azureml-app/azureml-models/iris/1/iris.txt" in contents(workspace, model_layer)
    assert set(contents(workspace, code)) == {
        "var/azureml-app",
        "var/azureml-app/model_config_map.json",
        "var/azureml-app/src",
        "var/azureml-app/src/score.py",
    }
    assert steps[0].startswith("note: userManagedDependencies")
    assert "wrote code: " in image.build_log()
    assert image.image_build_log_uri == f"file://{workspace.folder}/images/web/1.log"


def test_how_it_wants_to_be_run(tmp_path: Path, workspace: Workspace, base: str) -> None:
    image = Image.create(workspace, "web", [], script_alone(tmp_path), base=base)

    config = json.loads(workspace.blobs.read(manifest_of(workspace, image)["config"]["digest"][7:]))
    process = config["config"]
    assert process["User"] == "1000:1000"
    assert process["Entrypoint"] == ["/usr/bin/python3.11", "-m", "scoring_runtime"]
    assert process["WorkingDir"] == "/var/azureml-app"
    assert process["ExposedPorts"] == {"5001/tcp": {}}
    assert process["StopSignal"] == "SIGTERM"
    assert process["Healthcheck"]["Test"][:2] == ["CMD", "/usr/bin/python3.11"]
    assert "AZUREML_ENTRY_SCRIPT=src/score.py" in process["Env"]
    assert process["Labels"]["org.opencontainers.image.title"] == "web"
    assert config["created"] == "1980-01-01T00:00:00Z"


def test_the_same_inputs_give_the_same_digest_elsewhere(tmp_path: Path) -> None:
    digests = []
    for place, mask in (tmp_path / "here", 0o022), (tmp_path / "there", 0o077):
        before = os.umask(mask)
        try:
            place.mkdir()
            workspace = Workspace(str(place / "workspace"))
            models = [registered(workspace, place, "iris"), registered(workspace, place, "digits")]
            config = script_alone(place)
            digests.append(Image.create(workspace, "web", models, config, base=str(small_base(place))).image_digest)
        finally:
            os.umask(before)

    assert digests[0] == digests[1]


def test_an_edited_script_makes_one_small_layer(tmp_path: Path, workspace: Workspace, base: str) -> None:
    model = registered(workspace, tmp_path, "iris", "w" * 100_000)
    first = Image.create(workspace, "web", [model], script_alone(tmp_path), base=base)
    again = Image.create(workspace, "web", [model], script_alone(tmp_path), base=base)
    edited = script_alone(tmp_path, "def init(): pass\ndef run(data): return 2\n")
    second = Image.create(workspace, "web", [model], edited, base=base)

    assert again.image_digest == first.image_digest
    assert [one.version for one in Image.list(workspace, "web")] == [3, 2, 1]
    new = set(second.record["layers"]) - set(first.record["layers"])
    assert len(new) == 1
    assert os.path.getsize(workspace.blobs.path(new.pop()[7:])) < 1000


def test_empty_folders_of_a_model_are_in_its_layer(tmp_path: Path, workspace: Workspace, base: str) -> None:
    (tmp_path / "net" / "assets").mkdir(parents=True)
    (tmp_path / "net" / "weights").write_text("1")
    Model.register(workspace, str(tmp_path / "net"), "net")

    image = Image.create(workspace, "web", ["net"], script_alone(tmp_path), base=base)

    members = contents(workspace, image.record["layers"][1])
    assert members["var/azureml-app/azureml-models/net/1/net/assets"].isdir()


def test_images_share_the_layers_of_models(tmp_path: Path, workspace: Workspace, base: str) -> None:
    models = [registered(workspace, tmp_path, name) for name in ("iris", "digits")]
    one = Image.create(workspace, "one", models, script_alone(tmp_path / "a"), base=base)
    two = Image.create(workspace, "two", models[:1], script_alone(tmp_path / "b"), base=base)

    assert one.record["layers"][2] == two.record["layers"][1]
    assert [image.id for image in Image.list(workspace, model_name="digits")] == ["one:1"]
    assert [image.id for image in Image.list(workspace, model_id="iris:1")] == ["one:1", "two:1"]


def test_many_models_fit_into_the_layers_that_there_are(tmp_path: Path, workspace: Workspace, base: str) -> None:
    models = []
    for number in range(80):
        (tmp_path / f"m{number}").write_text(str(number))
        models.append(str(tmp_path / f"m{number}"))

    image = Image.create(workspace, "many", models, script_alone(tmp_path), base=base)

    layers = image.record["layers"]
    assert 30 < len(layers) <= 67
    inside = {name for digest in layers[1:] for name in contents(workspace, digest)}
    assert {f"var/azureml-app/azureml-models/m{number}/0/m{number}" for number in range(80)} <= inside


def test_more_than_a_thousand_models_are_refused(tmp_path: Path, workspace: Workspace, base: str) -> None:
    (tmp_path / "m").write_text("x")

    with pytest.raises(PackagingError, match="at most 1000 models"):
        Image.create(workspace, "many", [str(tmp_path / "m")] * 1001, script_alone(tmp_path), base=base)


def test_tags_change_and_properties_do_not(tmp_path: Path, workspace: Workspace, base: str) -> None:
    image = Image.create(workspace, "web", [], script_alone(tmp_path), base=base)
    image.add_tags({"area": "flowers", "old": "1"})
    image.remove_tags(["old"])
    image.add_properties({"origin": "test"})

    found = Image(workspace, "web", tags=[["area", "flowers"]])
    assert (found.id, found.tags, found.properties) == ("web:1", {"area": "flowers"}, {"origin": "test"})
    with pytest.raises(ModelError, match="properties do not change"):
        found.add_properties({"origin": "other"})
    found.update(tags={"new": "2"})
    assert Image(workspace, id="web:1").tags == {"new": "2"}
    assert Image.list(workspace, tags="area") == []


def test_what_is_written_down_has_the_names_of_the_original(tmp_path: Path, workspace: Workspace, base: str) -> None:
    image = Image.create(workspace, "web", [], script_alone(tmp_path), base=base)

    document = image.serialize()

    assert (document["id"], document["creationState"], document["modelIds"]) == ("web:1", "Succeeded", [])
    assert document["platforms"] == ["linux/amd64"]
    assert json.loads(json.dumps(document)) == document
    assert repr(image).endswith("name='web', id='web:1', version=1)")
    assert workspace.images["web"].id == "web:1"


def test_a_build_that_fails_is_recorded_and_leaves_nothing(tmp_path: Path, workspace: Workspace, base: str) -> None:
    model = registered(workspace, tmp_path, "iris")
    before = set(os.listdir(workspace.blobs.path()))
    config = script_alone(tmp_path)

    def change_the_script(step: str) -> None:
        if step.startswith("base"):
            (tmp_path / "src" / "score.py").write_text("changed")

    with pytest.raises(PackagingError, match="changed while it was packaged"):
        Image.create(workspace, "web", [model], config, base=base, progress=change_the_script)

    image = Image(workspace, "web")
    assert image.creation_state == "Failed"
    assert "changed while it was packaged" in image.record["error"]
    assert "failed: PackagingError" in image.build_log()
    base_layer = json.loads(next(Path(workspace.path("images", ".bases")).iterdir()).read_text())[0]
    assert set(os.listdir(workspace.blobs.path())) == {*before, base_layer[7:]}  # the next build needs it again
    with pytest.raises(DeployError, match=r"could not be built: .*changed while"):
        image.wait_for_creation()
    with pytest.raises(DeployError, match="is Failed, so there is nothing to use"):
        _ = image.descriptor
    model.delete()


def test_a_disk_that_is_full_is_said_and_nothing_half_is_left(tmp_path: Path, tiny_disk: Path) -> None:
    base = small_base(tmp_path)
    (tmp_path / "large").write_bytes(os.urandom(3_000_000))
    workspace = Workspace(str(tiny_disk))

    with pytest.raises(DiskFull, match="bytes do not fit on this disk"):
        Image.create(workspace, "web", [str(tmp_path / "large")], script_alone(tmp_path), base=str(base))

    assert Image(workspace, "web").creation_state == "Failed"
    assert Image.create(workspace, "web", [], script_alone(tmp_path), base=str(base)).creation_state == "Succeeded"
    fill(tiny_disk)
    with pytest.raises(DiskFull):
        Image.create(workspace, "web", [], script_alone(tmp_path), base=str(base))


def fill(folder: Path) -> None:
    """Until nothing fits."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


KILLED = """
    import sys, time
    from pathlib import Path
    from scoring_runtime.deploy import Image, Workspace
    from tests.deploy.building import script_alone

    def wait(step):
        if step.startswith(sys.argv[3]):
            print(step, flush=True)
            time.sleep(100)

    place = Path(sys.argv[1])
    workspace = Workspace(str(place / "workspace"))
    Image.create(workspace, "web", ["iris:1"], script_alone(place), base=sys.argv[2], progress=wait)
"""


@contextlib.contextmanager
def building(place: Path, base: str, until_step: str) -> Iterator[None]:
    """A process that builds up to a step; killed at the end."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(place), base, until_step]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    try:
        with process.stdout as out:
            assert out.readline()
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_full_disk_can_be_made_room_on(tmp_path: Path, tiny_disk: Path) -> None:
    workspace = Workspace(str(tiny_disk / "workspace"))
    model = registered(workspace, tmp_path, "iris", "x" * 100_000)
    image = Image.create(workspace, "web", [], script_alone(tmp_path), base=str(small_base(tmp_path)))
    filling = os.open(tiny_disk / "fill", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(filling, bytes(4096))
    os.close(filling)

    for refused in (
        lambda: image.add_tags({"a": "b" * 9000}),
        lambda: image.export(str(tiny_disk / "layout")),
        lambda: image.export(str(tiny_disk / "image.tar"), "oci-archive"),
        lambda: Environment("demo").register(workspace),
        lambda: Image.create(workspace, "web", [], script_alone(tmp_path), base=str(small_base(tmp_path))),
    ):
        with pytest.raises(DiskFull, match=r"(the disk is full|bytes do not fit on this disk) \(df -h "):
            refused()
    image.delete()
    model.delete()

    assert os.listdir(workspace.path("blobs", "sha256")) == os.listdir(workspace.path("images", ".building")) == []
    (tiny_disk / "fill").unlink()
    assert registered(workspace, tmp_path, "iris").id == "iris:2"


def test_while_a_build_runs_its_models_stay(tmp_path: Path, workspace: Workspace, base: str) -> None:
    model = registered(workspace, tmp_path, "iris")

    with building(tmp_path, base, "wrote"):
        image = Image(workspace, "web")
        assert image.creation_state == "Running"
        with pytest.raises(ModelInUse):
            model.delete()
        with pytest.raises(DeployError, match="is not built after 0 s"):
            image.wait_for_creation(timeout_seconds=0)

    image.update_creation_state()
    model.delete()


@pytest.mark.parametrize("step", ["note", "base", "layer: model", "wrote model", "wrote description", "wrote code"])
def test_a_killed_build_has_failed_and_is_cleared_away(
    tmp_path: Path, workspace: Workspace, base: str, step: str
) -> None:
    model = registered(workspace, tmp_path, "iris")
    with building(tmp_path, base, step):
        pass

    image = Image(workspace, "web")
    assert (image.creation_state, image.record["error"]) == (
        "Failed",
        "The build ended before the image was done: its process is gone. Build it again.",
    )
    assert os.listdir(workspace.path("images", ".building")) == []
    again = Image.create(workspace, "web", [model], script_alone(tmp_path), base=base)
    assert again.version == 2
    config = manifest_of(workspace, again)["config"]["digest"]
    named = {digest[7:] for digest in (*again.record["layers"], config, again.descriptor.digest)}
    workspace.blobs.collect()
    assert set(os.listdir(workspace.blobs.path())) == {*named, model.record["files"][0]["sha256"]}
    again.delete()
    assert set(os.listdir(workspace.blobs.path())) == {model.record["files"][0]["sha256"]}


def test_a_build_killed_after_its_end_has_succeeded(tmp_path: Path, workspace: Workspace, base: str) -> None:
    registered(workspace, tmp_path, "iris")
    with building(tmp_path, base, "image web:1"):
        pass

    assert Image(workspace, "web").creation_state == "Succeeded"


def test_another_process_can_be_waited_for(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path, base: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(step: str) -> None:
        begun.set()
        assert go_on.wait(20)

    builder = threading.Thread(
        target=Image.create,
        args=(workspace, "web", [], script_alone(tmp_path)),
        kwargs={"base": base, "progress": wait},
    )
    builder.start()
    assert begun.wait(20)
    image = Image(workspace, "web")
    assert image.creation_state == "Running"
    go_on.set()

    image.wait_for_creation(show_output=True)
    builder.join()

    assert image.creation_state == "Succeeded"
    shown = capsys.readouterr().out
    assert "wrote code" in shown
    assert shown.endswith("Image creation of web:1: Succeeded\n")


def test_an_image_that_a_service_runs_stays(tmp_path: Path, workspace: Workspace, base: str) -> None:
    image = Image.create(workspace, "web", [], script_alone(tmp_path), base=base)
    service = Path(workspace.path("services", "front", "revisions"))
    service.mkdir(parents=True)
    (service / "1.json").write_text(json.dumps({"image": "web:1"}))

    with pytest.raises(ImageInUse, match="The image web:1 is used by service front"):
        image.delete()

    (service / "1.json").unlink()
    image.delete()
    assert Image.list(workspace) == []
    assert os.listdir(workspace.blobs.path()) == []
    with pytest.raises(ImageNotFound):
        image.delete()
    with pytest.raises(ImageNotFound):
        image.add_tags({"a": "b"})


def test_what_is_not_there_is_named(workspace: Workspace, tmp_path: Path, base: str) -> None:
    with pytest.raises(ImageNotFound, match=r"no image web in .*; images there: none\."):
        Image(workspace, "web")
    Image.create(workspace, "web", [], script_alone(tmp_path), base=base)
    with pytest.raises(ImageNotFound, match=r"no image web:2 in .*; versions of web: 1"):
        Image(workspace, id="web:2")
    with pytest.raises(DeployError, match='expected "name:version"'):
        Image(workspace, id="web")
    with pytest.raises(DeployError, match="An image's name: expected 3 to 32 lower-case"):
        Image(workspace, "We")


def test_a_model_that_goes_while_the_build_begins_is_noticed(workspace: Workspace) -> None:
    from scoring_runtime.errors import ModelNotFound

    with pytest.raises(ModelNotFound, match="gone:1 has been deleted"), recorded(workspace, "web", drafted(["gone:1"])):
        pass

    assert workspace.records("images").versions("web") == []


def test_an_image_of_several_platforms_is_an_index(tmp_path: Path, workspace: Workspace) -> None:
    bases = {f"linux/{name}": str(small_base(tmp_path, name)) for name in ("amd64", "arm64")}

    image = Image.create(workspace, "both", [], script_alone(tmp_path), bases=bases, platforms=list(bases))

    index = manifest_of(workspace, image)
    assert [one["platform"] for one in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64"},
    ]
    assert image.record["architecture"] == "amd64,arm64"
    assert [one["platform"] for one in image.record["platforms"]] == ["linux/amd64", "linux/arm64"]


def test_a_base_for_a_platform_that_is_not_built_is_refused(tmp_path: Path, workspace: Workspace, base: str) -> None:
    with pytest.raises(
        PackagingError, match="A base is named for linux/arm46, which is not built: --platform names none"
    ):
        Image.create(workspace, "web", [], script_alone(tmp_path), base=base, bases={"linux/arm46": base})


def test_a_base_comes_from_the_registry_that_is_named_for_it(tmp_path: Path, workspace: Workspace) -> None:
    config = script_alone(tmp_path)
    assert config.environment is not None
    config.environment.docker.base_image = "team/base:1"
    config.environment.docker.base_image_registry = ContainerRegistry("127.0.0.1:1", "me", "hush")

    with pytest.raises(RegistryError, match=r"The registry 127.0.0.1:1 cannot be reached") as caught:
        Image.create(workspace, "web", [], config)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive"])
def test_a_damaged_layer_is_not_exported(tmp_path: Path, workspace: Workspace, base: str, form: str) -> None:
    image = Image.create(workspace, "web", [], script_alone(tmp_path), base=base)
    blob = Path(workspace.blobs.path(image.record["layers"][-1][7:]))
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")

    with pytest.raises(BlobCorrupt, match="is damaged: its contents now have the hash"):
        image.export(str(tmp_path / "out"), form)
    assert not list(tmp_path.glob("out*")) or not (tmp_path / "out" / "index.json").exists()


@pytest.mark.parametrize("form", ["oci", "oci-archive"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, workspace: Workspace, base: str, form: str) -> None:
    image = Image.create(workspace, "web", [], script_alone(tmp_path), base=base)

    with pytest.raises(PackagingError, match=r"/proc/none/out cannot be written: .* Name another place"):
        image.export("/proc/none/out", form)


@pytest.mark.parametrize("verb", ["create", "add_tags", "delete", "pull"])
def test_a_workspace_that_cannot_be_written_is_named(tmp_path: Path, base: str, verb: str) -> None:
    made = Workspace(str(tmp_path / "made"))
    image = Image.create(made, "web", [], script_alone(tmp_path), base=base)
    image.export(str(tmp_path / "layout"))
    image.workspace = Workspace(f"{base}/none")  # below a file
    verbs = {
        "create": lambda: Image.create(image.workspace, "web", [], script_alone(tmp_path), base=base),
        "add_tags": lambda: image.add_tags({"a": "b"}),
        "delete": image.delete,
        "pull": lambda: Image.pull(image.workspace, str(tmp_path / "layout")),
    }

    with pytest.raises(WorkspaceError, match=r"none cannot be written: .*Not a directory. Check its permissions"):
        verbs[verb]()


def test_the_base_must_have_one_of_the_pythons_of_a_range(tmp_path: Path, workspace: Workspace, base: str) -> None:
    config = script_alone(tmp_path)
    assert config.environment is not None
    config.environment.python.user_managed_dependencies = False
    packages = CondaDependencies.create(python_version="3.11")
    config.environment.python.conda_dependencies = packages
    packages.conda_packages = ["python>=3.12"]

    with pytest.raises(PackagingError, match=r"asks for Python 3.12 or 3.13 or 3.14, and the base .* has 3.11. Name a"):
        Image.create(workspace, "web", [], config, base=base)


def test_the_base_must_have_the_python_that_is_asked_for(tmp_path: Path, workspace: Workspace, base: str) -> None:
    config = script_alone(tmp_path)
    assert config.environment is not None
    config.environment.python.user_managed_dependencies = False
    config.environment.python.conda_dependencies = CondaDependencies.create(python_version="3.12")

    with pytest.raises(PackagingError, match=r"asks for Python 3.12, and the base .* has 3.11. Name a base"):
        Image.create(workspace, "web", [], config, base=base)


def test_what_needs_a_dockerfile_says_so(tmp_path: Path, workspace: Workspace, base: str) -> None:
    config = script_alone(tmp_path)
    assert config.environment is not None
    config.environment.docker.base_dockerfile = "FROM scratch\n"

    with pytest.raises(PackagingError, match="needs a Dockerfile"):
        Image.create(workspace, "web", [], config, base=base)


def test_a_variant_without_a_default_base_says_so(
    tmp_path: Path, workspace: Workspace, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    config = InferenceConfig("score.py", "python", enable_gpu=True)

    monkeypatch.delenv("SCORING_BASE_IMAGE", raising=False)
    with pytest.raises(PackagingError, match="no default base for the variant cuda"):
        Image.create(workspace, "web", [], config)


def test_a_default_base_can_be_set(
    tmp_path: Path, workspace: Workspace, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCORING_BASE_IMAGE", base)

    assert Image.create(workspace, "web", [], script_alone(tmp_path)).record["base"]["digest"].startswith("sha256:")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of somebody who writes image_configuration()."""
    place = tmp_path / "project"
    (place / "helpers").mkdir(parents=True)
    (place / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    (place / "helpers" / "text.py").write_text("x = 1\n")
    (place / "schema.json").write_text("{}")
    monkeypatch.chdir(place)
    return place


def test_image_configuration_of_the_original(project: Path, workspace: Workspace, base: str) -> None:
    config = ContainerImage.image_configuration(
        "score.py",
        "python",
        schema_file="schema.json",
        dependencies=["helpers"],
        tags={"area": "flowers"},
        properties={"origin": "test"},
        description="flowers",
        base_image=base,
    )
    context = config.context(workspace, [])

    assert [file.path for file in context.code] == ["helpers/text.py", "schema.json", "score.py"]
    assert (context.base_image, context.description) == (base, "flowers")
    assert context.environ["AZUREML_ENTRY_SCRIPT"] == "score.py"


def test_paths_outside_the_working_folder_are_refused(project: Path) -> None:
    for arguments in ({"dependencies": ["../other"]}, {"schema_file": "/etc/passwd"}):
        with pytest.raises(ConfigError, match="expected a path below the working folder"):
            ContainerImage.image_configuration("score.py", "python", **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected what is there"):
        ContainerImage.image_configuration("missing.py", "python")
    with pytest.raises(ConfigError, match="runtime"):
        ContainerImage.image_configuration("score.py", "java")
    with pytest.raises(ConfigError, match="below the working folder"):
        ContainerImage.image_configuration(str(project / "score.py"), "python")
    absolute = ContainerImage.image_configuration(str(project / "score.py"), "python", allow_absolute_path=True)
    assert absolute.execution_script == str(project / "score.py")


def test_secrets_beside_the_script_are_refused(project: Path, workspace: Workspace) -> None:
    (project / ".env").write_text("PASSWORD=x")
    config = ContainerImage.image_configuration("score.py", "python", dependencies=[".env"])

    with pytest.raises(PackagingError, match=r"\.env: files called \.env hold credentials"):
        config.context(workspace, [])
    assert [file.path for file in config.context(workspace, [], {".env"}).code] == [".env", "score.py"]


def test_locks_of_builds_do_not_stay(tmp_path: Path, workspace: Workspace, base: str) -> None:
    Image.create(workspace, "web", [], script_alone(tmp_path), base=base)

    assert until(lambda: os.listdir(workspace.path("images", ".building")) == [])
