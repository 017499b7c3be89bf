"""Whole images to a real registry and back: what is there is not sent, what comes back is the same."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring_runtime.deploy import Image, Workspace
from scoring_runtime.deploy.images.credentials import Credentials
from scoring_runtime.deploy.images.distribution import Repository
from scoring_runtime.deploy.images.image_graph import children, read_document
from scoring_runtime.deploy.images.image_sources import Access, LayoutSource, RegistrySource, Source
from scoring_runtime.deploy.images.layout import FolderFiles, TarFiles, write_archive, write_layout
from scoring_runtime.deploy.images.oci import INDEX, Descriptor, Platform, digest_of, encoded, index_document
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.deploy.images.sbom import SBOM_TYPE
from scoring_runtime.deploy.images.transfer import Pushed, attach, pull, push
from scoring_runtime.errors import BlobCorrupt, PackagingError
from tests.containers import LocalRegistry, running_registry
from tests.deploy.building import script_alone, small_base


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture
def both(tmp_path: Path) -> Image:
    workspace = Workspace(str(tmp_path / "workspace"))
    bases = {f"linux/{name}": str(small_base(tmp_path, name)) for name in ("amd64", "arm64")}
    return Image.create(workspace, "both", [], script_alone(tmp_path), bases=bases, platforms=list(bases))


def pushed(image: Image, registry: LocalRegistry, name: str) -> Pushed:
    reference = Reference.parse(f"{registry.address}/{name}")
    return push(image.workspace, image.descriptor, Repository(reference, Credentials()), reference.tag, print)


def pulled(workspace: Workspace, source: Source, platform: Platform | None = None) -> Descriptor:
    with workspace.blobs.adding() as adding:
        root, manifests = pull(adding, source, platform, print)
        workspace.records("images").add("pulled", {"digest": root.digest})
        assert all(os.path.exists(workspace.blobs.path(one.digest[7:])) for one in manifests)
    return root


def from_registry(registry: LocalRegistry, name: str) -> RegistrySource:
    return RegistrySource(Reference.parse(f"{registry.address}/{name}"), Access(Credentials()))


def test_only_what_is_missing_is_sent(both: Image, registry: LocalRegistry, tmp_path: Path) -> None:
    first = pushed(both, registry, "a/first:1")
    again = pushed(both, registry, "a/first:2")
    elsewhere = pushed(both, registry, "b/second:1")

    count = first.sent
    assert first == Pushed(count, first.sent_bytes, 0, 0)
    assert (count, first.sent_bytes > 1000) == (7, True)  # bases, descriptions and configurations of two, code of both
    assert again == Pushed(0, 0, 0, count)
    assert elsewhere == Pushed(0, 0, count, 0)


def test_a_damaged_layer_is_named_and_not_the_registry(both: Image, registry: LocalRegistry) -> None:
    blob = Path(both.workspace.blobs.path(both.record["layers"][-1][7:]))
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")

    with pytest.raises(BlobCorrupt, match="is damaged: its contents now have the hash"):
        pushed(both, registry, "damaged/image:1")


def test_a_base_of_the_same_registry_is_mounted(registry: LocalRegistry, tmp_path: Path) -> None:
    first = Workspace(str(tmp_path / "first"))
    base = Image.create(first, "base", [], script_alone(tmp_path / "a"), base=str(small_base(tmp_path)))
    pushed(base, registry, "bases/python:1")
    where = f"{registry.address}/bases/python:1"
    workspace = Workspace(str(tmp_path / "workspace"))
    config = script_alone(tmp_path / "b", "def init(): pass\ndef run(data): return 2\n")

    image = Image.create(workspace, "web", [], config, base=where, access=Access(Credentials()))

    assert image.record["base"] == {"name": where, "digest": base.image_digest}
    result = pushed(image, registry, "apps/web:1")
    assert (result.mounted, result.there) == (3, 0)  # the base's own layers
    assert result.sent_bytes < 5000


def test_what_comes_back_is_what_went(both: Image, registry: LocalRegistry, tmp_path: Path) -> None:
    pushed(both, registry, "c/back:1")
    other = Workspace(str(tmp_path / "other"))

    assert pulled(other, from_registry(registry, "c/back:1")).digest == both.image_digest
    write_layout(other.blobs, both.descriptor, str(tmp_path / "layout"), "back:1")
    again = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry.address}/c/back:1"],
        capture_output=True,
        check=True,
    )
    assert again.stdout == other.blobs.read(both.descriptor.digest[7:])


def test_one_platform_can_be_pulled(both: Image, registry: LocalRegistry, tmp_path: Path) -> None:
    pushed(both, registry, "d/one:1")
    other = Workspace(str(tmp_path / "other"))

    root = pulled(other, from_registry(registry, "d/one:1"), Platform("linux", "arm64"))

    assert root.digest == both.record["platforms"][1]["digest"]
    assert len(os.listdir(other.blobs.path())) == 5  # manifest, configuration, base, description, code


def test_layouts_and_archives_can_be_pulled(both: Image, tmp_path: Path) -> None:
    write_layout(both.workspace.blobs, both.descriptor, str(tmp_path / "layout"))
    write_archive(both.workspace.blobs, both.descriptor, str(tmp_path / "archive.tar"))
    files = TarFiles(str(tmp_path / "archive.tar"))
    other = Workspace(str(tmp_path / "other"))

    assert pulled(other, LayoutSource(FolderFiles(str(tmp_path / "layout")))).digest == both.image_digest
    assert pulled(Workspace(str(tmp_path / "third")), LayoutSource(files)).digest == both.image_digest
    files.close()


def test_equal_images_give_equal_archives(both: Image, tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        write_archive(both.workspace.blobs, both.descriptor, str(tmp_path / name), "both:1")

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with pytest.raises(PackagingError, match="A docker archive holds one platform"):
        write_archive(both.workspace.blobs, both.descriptor, str(tmp_path / "no.tar"), "x", for_docker=True)
    assert not list(tmp_path.glob("no.tar*"))


def test_an_index_without_an_image_is_not_pulled(tmp_path: Path) -> None:
    blobs = tmp_path / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    empty = encoded(index_document([]))
    (blobs / digest_of(empty)[7:]).write_bytes(empty)
    (tmp_path / "layout" / "index.json").write_bytes(encoded(index_document([Descriptor.to(INDEX, empty)])))
    (tmp_path / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    with pytest.raises(PackagingError, match=r"layout is an index without an image. Push or export it anew"):
        Image.pull(Workspace(str(tmp_path / "other")), str(tmp_path / "layout"), "back")


def test_a_folder_of_other_things_is_no_layout(both: Image, tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match="holds other files than an OCI layout"):
        write_layout(both.workspace.blobs, both.descriptor, str(tmp_path))


def test_documents_that_are_none_are_named() -> None:
    with pytest.raises(PackagingError, match="index is no JSON document"):
        read_document(b"{", "index")
    with pytest.raises(PackagingError, match="index is no JSON object"):
        read_document(b"[]", "index")
    for document in ({"manifests": {}}, {"config": {}, "layers": "x"}):
        with pytest.raises(PackagingError, match="Expected a list of descriptors in an image's document, got"):
            children(document)
    for document in ({"manifests": [5]}, {"config": 5, "layers": []}):
        with pytest.raises(PackagingError, match="Expected a descriptor with a sha256 digest and a size, got"):
            children(document)
    with pytest.raises(PackagingError, match="formats older than 2017"):
        children({"schemaVersion": 1, "fsLayers": []})


def test_the_bill_of_materials_is_attached_once(both: Image, registry: LocalRegistry, tmp_path: Path) -> None:
    (tmp_path / "sbom").write_text("{}")
    pushed(both, registry, "e/sbom:1")
    repository = Repository(Reference.parse(f"{registry.address}/e/sbom:1"), Credentials())

    first = attach(repository, both.descriptor, str(tmp_path / "sbom"), SBOM_TYPE)
    assert attach(repository, both.descriptor, str(tmp_path / "sbom"), SBOM_TYPE) == first

    tag = both.descriptor.digest.replace(":", "-")
    index = json.loads(repository.manifest(tag)[0])
    assert [(one["digest"], one["artifactType"]) for one in index["manifests"]] == [(first, SBOM_TYPE)]
    assert json.loads(repository.manifest(first)[0])["subject"]["digest"] == both.image_digest
