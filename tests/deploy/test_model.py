"""Registering, finding, changing, downloading and deleting models, as the SDK's users write it."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy import Model, ResourceConfiguration, Workspace
from scoring_runtime.deploy.models.registration import planned
from scoring_runtime.deploy.workspaces.locks import locked
from scoring_runtime.errors import (
    BlobCorrupt,
    DeployError,
    DiskFull,
    FilesChanged,
    ModelError,
    ModelInUse,
    ModelNotFound,
    WorkspaceError,
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"weights")
    return str(path)


def blobs_of(ws: Workspace) -> list[str]:
    folder = Path(ws.path("blobs", "sha256"))
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its contents, every empty folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


# registering


def test_everything_said_about_a_model_is_there_when_it_is_found_again(ws: Workspace, file: str) -> None:
    made = Model.register(
        ws,
        file,
        "my-model",
        {"area": "diabetes"},
        {"run": "7"},
        "Ridge regression",
        [("training", "data:1")],
        Model.Framework.SCIKITLEARN,
        "1.5.2",
        sample_input_dataset={"data": [[1]]},
        resource_configuration=ResourceConfiguration(cpu=0.5, memory_in_gb=1.5),
    )

    again = Model(ws, "my-model")

    assert again.record == made.record
    assert (again.id, again.name, again.version) == ("my-model:1", "my-model", 1)
    assert (again.tags, again.properties, again.description) == ({"area": "diabetes"}, {"run": "7"}, "Ridge regression")
    assert (again.model_framework, again.model_framework_version) == ("ScikitLearn", "1.5.2")
    assert again.resource_configuration == ResourceConfiguration(0.5, 1.5, None)
    assert (again.sample_input_dataset, again.sample_output_dataset) == (b'{"data": [[1]]}', None)
    assert again.created_time.utcoffset() is not None
    assert repr(again) == f"Model(workspace=Workspace({ws.folder!r}), name='my-model', id='my-model:1', version=1)"


def test_versions_count_up_and_the_latest_is_the_default(ws: Workspace, file: str) -> None:
    versions = [Model.register(ws, file, "m").version for _ in range(11)]

    assert versions == list(range(1, 12))
    assert Model(ws, "m").version == 11
    assert Model(ws, id="m:2").version == Model(ws, "m", version=2).version == 2
    assert ws.models["m"].version == 11


def test_a_version_is_never_given_again(ws: Workspace, file: str) -> None:
    for _ in range(3):
        Model.register(ws, file, "m")
    for version in (1, 3):
        Model(ws, "m", version=version).delete()

    assert Model.register(ws, file, "m").version == 4
    assert [model.version for model in Model.list(ws)] == [4, 2]


def test_the_same_contents_are_stored_once(ws: Workspace, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(b"weights")

    Model.register(ws, file, "one")
    Model.register(ws, str(folder), "two")

    assert len(blobs_of(ws)) == 1


def test_a_folder_comes_back_as_it_was(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "variables/0 ünï").write_bytes(b"\0" * 3_000_000)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").touch()

    path = Model.register(ws, str(folder), "m").download(str(tmp_path / "out"))

    assert path == str(tmp_path / "out/saved")
    assert tree(Path(path)) == tree(folder)
    assert [os.access(tmp_path / "out/saved" / name, os.X_OK) for name in ("run.sh", "empty")] == [True, False]


def test_child_paths_pick_from_a_folder(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", "sub/d"):
        (folder / name).write_text(name)

    model = Model.register(ws, str(folder), "m", child_paths=["a", "sub"])

    assert [file["path"] for file in model.record["files"]] == ["a", "sub/c", "sub/d"]
    for wrong in ("../all", "nothing"):
        with pytest.raises(ModelError, match="expected files and folders below"):
            Model.register(ws, str(folder), "m", child_paths=[wrong])
    with pytest.raises(ModelError, match="child_paths only picks from a folder"):
        Model.register(ws, str(folder / "a"), "m", child_paths=["a"])


def test_links_are_followed(ws: Workspace, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/weights").symlink_to(file)
    (folder / "again").symlink_to(folder / "sub")

    path = Model.register(ws, str(folder), "m").download(str(tmp_path / "out"))

    assert tree(Path(path)) == {"sub/weights": b"weights", "again/weights": b"weights"}
    assert not any(one.is_symlink() for one in Path(path).rglob("*"))


def lead_nowhere(folder: Path) -> str:
    (folder / "link").symlink_to("nothing")
    return "is a link to nothing, and no such file or directory"


def loop(folder: Path) -> str:
    (folder / "sub").mkdir()
    (folder / "sub/up").symlink_to(folder)
    return "is a link to a folder that it is in"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "is no file: pipes, sockets and devices"


def no_unicode(folder: Path) -> str:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()
    return "the name is not UTF-8"


def nothing(folder: Path) -> str:
    return "the folder holds no files"


@pytest.mark.parametrize("spoilt", [lead_nowhere, loop, pipe, no_unicode, nothing])
def test_a_folder_that_cannot_be_stored_is_named_and_leaves_nothing(spoilt: Any, ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    message = spoilt(folder)

    with pytest.raises(ModelError, match=message):
        Model.register(ws, str(folder), "m")

    assert (Model.list(ws), blobs_of(ws)) == ([], [])


def test_a_path_that_is_no_model_is_named(ws: Workspace) -> None:
    with pytest.raises(ModelError, match="there is no such file or folder"):
        Model.register(ws, "nowhere.pkl", "m")
    with pytest.raises(ModelError, match="got the root of the file system"):
        Model.register(ws, "/", "m")


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a:1", "ü", "a\n", "x" * 256, None])
def test_wrong_names_are_refused(name: Any, ws: Workspace, file: str) -> None:
    with pytest.raises(ModelError, match="A model's name: expected letters"):
        Model.register(ws, file, name)


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "9", "x" * 255])
def test_right_names_are_taken(name: str, ws: Workspace, file: str) -> None:
    assert Model.register(ws, file, name).id == f"{name}:1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tags": {"a": 1}}, "tags: expected a dictionary of strings"),
        ({"properties": ["a"]}, "properties: expected a dictionary of strings"),
        ({"model_framework": "Keras"}, "model_framework: expected one of Custom, Onnx, ScikitLearn"),
        ({"model_framework_version": "1"}, "model_framework_version='1' needs model_framework"),
        ({"sample_input_dataset": "nowhere.json"}, "A sample: 'nowhere.json' cannot be read"),
        ({"sample_input_dataset": object()}, "A sample: expected the path of a file, or a value for JSON"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str, ws: Workspace, file: str) -> None:
    with pytest.raises(ModelError, match=message):
        Model.register(ws, file, "m", **arguments)

    assert (Model.list(ws), blobs_of(ws)) == ([], [])


def test_resource_configuration_is_numbers() -> None:
    with pytest.raises(ModelError, match="ResourceConfiguration: cpu: expected a number of 0 or more, got '1'"):
        ResourceConfiguration(cpu="1")  # type: ignore[arg-type]


def test_a_file_that_changes_while_it_is_read_is_noticed(ws: Workspace, file: str) -> None:
    def write_meanwhile(done: int, total: int) -> None:
        with open(file, "ab") as more:
            more.write(b"more")

    with pytest.raises(FilesChanged, match="changed while it was read"):
        Model.register(ws, file, "m", progress=write_meanwhile)

    assert (Model.list(ws), blobs_of(ws)) == ([], [])


def test_a_folder_that_holds_the_workspace_is_no_model(ws: Workspace, file: str, tmp_path: Path) -> None:
    Model.register(ws, file, "m")

    with pytest.raises(ModelError, match=f"holds the workspace {ws.folder}"):
        Model.register(ws, str(tmp_path), "all")


def test_the_first_of_many_files_that_fails_ends_it(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for at in range(300):
        (folder / f"{at:03}").write_text(str(at))
    told: list[int] = []

    def stop(done: int, total: int) -> None:
        told.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Model.register(ws, str(folder), "m", progress=stop)

    assert len(told) < 150
    assert (Model.list(ws), blobs_of(ws)) == ([], [])


def test_a_full_disk_is_named_before_anything_is_copied(ws: Workspace, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as sparse:
        sparse.truncate(1 << 43)

    with pytest.raises(DiskFull, match=r"8,796,093,022,208 bytes do not fit"):
        Model.register(ws, str(huge), "m")


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EIO, WorkspaceError)])
def test_a_disk_that_fails_while_files_are_copied_is_named(
    number: int, error: type[Exception], ws: Workspace, file: str
) -> None:
    def fail(done: int, total: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(error, match=ws.folder):
        Model.register(ws, file, "m", progress=fail)

    assert (Model.list(ws), blobs_of(ws)) == ([], [])


def test_a_place_where_no_workspace_can_be_is_named(file: str) -> None:
    with pytest.raises(WorkspaceError, match=r"model.pkl/ws cannot be written: .*Not a directory"):
        Model.register(Workspace(f"{file}/ws"), file, "m")


def test_a_file_that_is_gone_when_it_is_stored_is_named(ws: Workspace, file: str) -> None:
    registration = planned(ws, file, "m")
    os.unlink(file)

    with pytest.raises(ModelError, match=r"model.pkl cannot be read: No such file"):
        registration.store()


def test_what_the_version_before_has_is_not_copied_again(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for name in ("same", "changed"):
        (folder / name).write_bytes(b"0" * 3_000_000)
    first = Model.register(ws, str(folder), "m")
    (folder / "changed").write_bytes(b"1" * 3_000_000)
    blob = Path(ws.blobs.path(first.record["files"][1]["sha256"]))
    stored = blob.stat().st_ino, blob.stat().st_mtime_ns
    seen: list[tuple[int, int]] = []

    second = Model.register(ws, str(folder), "m", progress=lambda done, total: seen.append((done, total)))

    assert second.record["files"][1] == first.record["files"][1]
    assert second.record["files"][0] != first.record["files"][0]
    assert (blob.stat().st_ino, blob.stat().st_mtime_ns) == stored
    assert seen[-1] == (6_000_000, 6_000_000)


def test_progress_ends_at_the_size(ws: Workspace, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    big = tmp_path / "big"
    big.write_bytes(b"x" * 2_500_000)

    Model.register(ws, str(big), "m", progress=lambda done, total: seen.append((done, total)))

    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1] == (2_500_000, 2_500_000)


# finding


@pytest.fixture
def several(ws: Workspace, file: str) -> Workspace:
    Model.register(ws, file, "b", {"area": "iris"}, model_framework="ScikitLearn")
    Model.register(ws, file, "a", {"area": "diabetes", "best": ""}, {"p": "1"}, datasets=[("train", "d:1")])
    Model.register(ws, file, "b", {"area": "diabetes"}, model_framework="onnx")
    return ws


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, ["a:1", "b:2", "b:1"]),
        ({"name": "b"}, ["b:2", "b:1"]),
        ({"name": "c"}, []),
        ({"latest": True}, ["a:1", "b:2"]),
        ({"tags": "best"}, ["a:1"]),
        ({"tags": ["best"]}, ["a:1"]),
        ({"tags": [["area", "diabetes"]]}, ["a:1", "b:2"]),
        ({"tags": {"area": "iris"}, "latest": True}, ["b:1"]),
        ({"tags": ["best", ("area", "iris")]}, []),
        ({"properties": [["p", "1"]]}, ["a:1"]),
        ({"model_framework": "Onnx"}, ["b:2"]),
        ({"dataset_id": "d:1"}, ["a:1"]),
        ({"run_id": "r"}, []),
    ],
)
def test_filters(filters: dict[str, Any], ids: list[str], several: Workspace) -> None:
    assert [model.id for model in Model.list(several, **filters)] == ids


def test_the_newest_that_the_filters_take_is_found(several: Workspace) -> None:
    assert Model(several, tags=[["area", "diabetes"]]).id == "b:2"
    assert Model(several, "b", model_framework="ScikitLearn").id == "b:1"
    assert list(several.models) == ["a", "b"]


def test_what_is_not_there_is_named_with_what_is(several: Workspace) -> None:
    with pytest.raises(ModelNotFound, match=r"no model c in .*; models there: a, b\. .*register it: scoring model"):
        Model(several, "c")
    with pytest.raises(ModelNotFound, match=r"no model b:9 in .*; versions of b: 1, 2\."):
        Model(several, id="b:9")
    with pytest.raises(ModelNotFound, match="no model that the filters take"):
        Model(several, tags="x")
    with pytest.raises(ModelError, match='expected "name:version", such as "b:1", got \'b\''):
        Model(several, id="b")
    with pytest.raises(ModelError, match=r"For one version write id='b:1'"):
        Model(several, "b:1")
    with pytest.raises(ModelError, match="tags: expected keys and pairs"):
        Model.list(several, tags=[["a", "b", "c"]])


def test_serialized_and_back(several: Workspace) -> None:
    model = Model(several, "a")

    assert Model.deserialize(several, json.dumps(model.serialize())).record == model.record


# changing


def test_tags_come_and_go_and_properties_stay(ws: Workspace, file: str) -> None:
    model = Model.register(ws, file, "m", {"a": "1", "b": "2"}, {"p": "1"})

    model.add_tags({"c": "3", "a": "9"})
    model.remove_tags(["b"])
    model.remove_tags("c")
    model.add_properties({"q": "2", "p": "1"})
    model.update_tags_properties({"d": "4"}, ["a"], {"r": "3"})

    assert model.tags == Model(ws, "m").tags == {"d": "4"}
    assert model.properties == Model(ws, "m").properties == {"p": "1", "q": "2", "r": "3"}
    with pytest.raises(ModelError, match="the property 'p' is '1', and properties do not change"):
        model.add_properties({"p": "2"})


def test_update_replaces_what_is_given(ws: Workspace, file: str) -> None:
    model = Model.register(ws, file, "m", {"a": "1"}, description="old", sample_input_dataset=[1])

    model.update({"b": "2"})
    model.update(description="new", resource_configuration=ResourceConfiguration(1, 2))
    model.update(sample_output_dataset=[2])

    again = Model(ws, "m")
    assert again.record == model.record
    assert (again.tags, again.description) == ({"b": "2"}, "new")
    assert (again.sample_input_dataset, again.sample_output_dataset) == (b"[1]", b"[2]")
    assert again.resource_configuration == ResourceConfiguration(1, 2)


def test_a_model_that_was_deleted_meanwhile_does_not_come_back(ws: Workspace, file: str) -> None:
    model = Model.register(ws, file, "m")
    Model(ws, "m").delete()

    for change in (lambda: model.add_tags({"a": "1"}), model.delete):
        with pytest.raises(ModelNotFound, match="no model m:1"):
            change()

    assert Model.list(ws) == []


# deleting


def test_a_deleted_models_files_go_unless_another_has_them(ws: Workspace, file: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("other")
    shared = Model.register(ws, file, "m")
    Model.register(ws, file, "n")
    lone = Model.register(ws, str(other), "lone")

    shared.delete()
    lone.delete()

    assert [model.id for model in Model.list(ws)] == ["n:1"]
    assert blobs_of(ws) == [Model(ws, "n").record["files"][0]["sha256"]]


def test_a_model_that_is_used_is_not_deleted(ws: Workspace, file: str) -> None:
    model = Model.register(ws, file, "m")
    Model.register(ws, file, "m")
    ws.records("images").add("web", {"models": ["m:1"]})
    service = Path(ws.path("services", "front", "revisions"))
    service.mkdir(parents=True)
    (service / "1.json").write_text('{"models": ["m:1"]}')

    with pytest.raises(ModelInUse, match=r"m:1 is used by image web:1, service front\. Delete those first") as caught:
        model.delete()

    assert caught.value.users == ["image web:1", "service front"]
    assert [one.id for one in Model.list(ws)] == ["m:2", "m:1"]
    Model(ws, id="m:2").delete()


def test_blobs_that_an_image_needs_through_its_manifest_stay(ws: Workspace, file: str) -> None:
    with ws.blobs.adding() as adding:
        layer = adding.add(io.BytesIO(Path(file).read_bytes()))
        manifest = adding.add(open_bytes({"layers": [{"digest": f"sha256:{layer.sha256}"}]}))
        adding.sync()
        ws.records("images").add("web", {"digest": f"sha256:{manifest.sha256}", "models": []})

    Model.register(ws, file, "m").delete()

    assert blobs_of(ws) == sorted([layer.sha256, manifest.sha256])


def open_bytes(document: object) -> Any:
    return io.BytesIO(json.dumps(document).encode())


# downloading


def test_download_refuses_to_replace_unless_it_may(ws: Workspace, file: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    model = Model.register(ws, file, "m")
    model.download(str(out))
    (out / "model.pkl").write_text("edited")

    with pytest.raises(ModelError, match=r"out/model.pkl is there already.*exist_ok=True"):
        model.download(str(out))
    model.download(str(out), exist_ok=True)

    assert tree(out) == {"model.pkl": b"weights"}


def test_download_into_a_folder_that_is_there_leaves_what_else_is_in_it(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "saved"
    (folder / "assets").mkdir(parents=True)
    (folder / "a").write_text("a")
    model = Model.register(ws, str(folder), "m")
    (folder / "notes").write_text("mine")
    (folder / "a").write_text("changed")
    (folder / "assets").rmdir()

    model.download(str(tmp_path / "in"), exists_ok=True)

    assert tree(tmp_path / "in") == {"saved/a": b"a", "saved/notes": b"mine", "saved/assets": None}


def test_a_file_in_the_place_of_a_folder_is_not_replaced(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "a").touch()
    model = Model.register(ws, str(folder), "m")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/saved").touch()

    with pytest.raises(ModelError, match=r"is not a folder like the model m:1"):
        model.download(str(tmp_path / "out"), exist_ok=True)


@pytest.mark.parametrize(("damage", "message"), [(b"weighty", "now have the hash"), (None, "it is missing")])
def test_a_damaged_blob_is_named_and_nothing_is_left_behind(
    damage: bytes | None, message: str, ws: Workspace, file: str, tmp_path: Path
) -> None:
    model = Model.register(ws, file, "m")
    blob = Path(ws.blobs.path(model.record["files"][0]["sha256"]))
    blob.unlink()
    if damage is not None:
        blob.write_bytes(damage)

    with pytest.raises(BlobCorrupt, match=f"the stored file {blob.name} is damaged: .*{message}.*Register the same"):
        model.download(str(tmp_path / "out"))

    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_that_is_deleted_while_it_is_downloaded_is_not_called_damaged(
    ws: Workspace, file: str, tmp_path: Path
) -> None:
    model = Model.register(ws, file, "m")
    Model(ws, "m").delete()

    with pytest.raises(ModelNotFound, match="no model m:1"):
        model.download(str(tmp_path / "out"))


def test_registering_the_same_again_repairs_a_damaged_blob(ws: Workspace, file: str, tmp_path: Path) -> None:
    first = Model.register(ws, file, "m")
    Path(ws.blobs.path(first.record["files"][0]["sha256"])).write_text("damaged")

    Model.register(ws, file, "m")

    assert Path(first.download(str(tmp_path / "out"))).read_bytes() == b"weights"


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil"])
def test_a_record_that_points_outside_is_refused(path: str, ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "a").touch()
    model = Model.register(ws, str(folder), "m")
    model.record["files"][0]["path"] = path

    with pytest.raises(ModelError, match="outside of its folder"):
        model.download(str(tmp_path / "out"))


def test_get_model_path_downloads_once(
    ws: Workspace, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Model.register(ws, file, "m")
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path / "job")

    path = Model.get_model_path("m", _workspace=ws)
    Path(path).write_text("kept")

    assert Model.get_model_path("m", 1, ws) == path
    assert tree(tmp_path / "job") == {"azureml-models/m/1/model.pkl": b"kept"}


def test_a_damaged_record_is_named(ws: Workspace, file: str) -> None:
    Model.register(ws, file, "m")
    Path(ws.path("models", "m", "1.json")).write_text("{")

    with pytest.raises(DeployError, match=r"models/m/1.json is damaged"):
        Model(ws, "m")


def test_a_model_is_deleted_while_others_hold_the_blobs(ws: Workspace, file: str) -> None:
    """What cannot be removed now is removed by the next that adds."""
    model = Model.register(ws, file, "m")
    folder = Path(ws.path("blobs"))

    with locked(str(folder / "lock"), shared=True):
        model.delete()
        assert len(blobs_of(ws)) == 1
    (Path(file).parent / "other").write_text("other")
    Model.register(ws, str(Path(file).parent / "other"), "n")

    assert blobs_of(ws) == [Model(ws, "n").record["files"][0]["sha256"]]


def test_collecting_in_a_workspace_that_is_not_there_yet_removes_nothing(ws: Workspace) -> None:
    assert ws.blobs.collect() == []


def test_a_sample_is_small(ws: Workspace, file: str, tmp_path: Path) -> None:
    with (tmp_path / "sample").open("wb") as sparse:
        sparse.truncate((64 << 20) + 1)

    with pytest.raises(ModelError, match="a sample has at most 64 MB"):
        Model.register(ws, file, "m", sample_input_dataset=tmp_path / "sample")


def test_a_records_number_can_be_replaced_but_not_brought_back(ws: Workspace) -> None:
    records = ws.records("images")
    records.add("web", {"state": "Creating"})

    records.replace("web", 1, {**records.read("web", 1), "state": "Succeeded"})
    assert records.read("web", 1) == {"name": "web", "version": 1, "id": "web:1", "state": "Succeeded"}
    records.remove("web", 1)
    with pytest.raises(FileNotFoundError):
        records.replace("web", 1, {"state": "Failed"})
    assert records.names() == []


@pytest.mark.parametrize("version", ["1", 1.5, True])
def test_a_version_is_a_whole_number(tmp_path: Path, version: Any) -> None:
    with pytest.raises(ModelError, match=f"A model's version: expected a whole number, such as 1, got {version!r}"):
        Model(Workspace(str(tmp_path)), "m", version=version)
