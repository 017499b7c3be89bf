"""The documents of images."""

from __future__ import annotations

from typing import Any

import pytest

from scoring_runtime.deploy.images import oci
from scoring_runtime.deploy.images.oci import Descriptor, Platform
from scoring_runtime.errors import PackagingError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "platform", "again"),
    [
        ("linux/amd64", Platform("linux", "amd64"), "linux/amd64"),
        ("linux/arm/v7", Platform("linux", "arm", "v7"), "linux/arm/v7"),
        ("linux/arm64/v8", Platform("linux", "arm64"), "linux/arm64"),
        ("linux/aarch64", Platform("linux", "arm64"), "linux/arm64"),
    ],
)
def test_platforms_are_read_and_written(text: str, platform: Platform, again: str) -> None:
    assert Platform.parse(text) == platform
    assert str(platform) == again
    assert Platform.of(platform.document()) == platform


def test_a_word_is_no_platform() -> None:
    with pytest.raises(PackagingError, match="os/architecture, like linux/amd64 or linux/arm64, got 'arm64'"):
        Platform.parse("arm64")


def test_descriptor_comes_back_as_it_went() -> None:
    descriptor = Descriptor(oci.MANIFEST, DIGEST, 7, {"a": "b"}, Platform("linux", "arm64"), "text/x")

    assert Descriptor.of(descriptor.document()) == descriptor


def test_dockers_names_become_those_of_oci() -> None:
    document = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": DIGEST, "size": 1}

    assert Descriptor.of(document) == Descriptor(oci.LAYER, DIGEST, 1)
    assert oci.is_layer(Descriptor.of(document))


@pytest.mark.parametrize(
    "document", [{}, {"digest": "sha256:zz", "size": 1}, {"digest": DIGEST, "size": "1"}, {"digest": "../x", "size": 1}]
)
def test_a_descriptor_without_a_digest_and_a_size_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(PackagingError, match="Expected a descriptor with a sha256 digest and a size"):
        Descriptor.of(document)


def test_platform_of_an_attestation_is_none() -> None:
    place = {"os": "unknown", "architecture": "unknown"}

    assert Descriptor.of({"digest": DIGEST, "size": 1, "platform": place}).platform is None


def test_documents_have_one_way_of_being_written() -> None:
    assert oci.encoded({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'.encode()
    assert oci.digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_manifest_of_an_artifact_names_what_it_belongs_to() -> None:
    config, subject = Descriptor(oci.CONFIG, DIGEST, 2), Descriptor(oci.MANIFEST, DIGEST, 3)

    document = oci.manifest_document(config, [], {"k": "v"}, "text/spdx", subject)

    assert document["subject"] == subject.document()
    assert document["artifactType"] == "text/spdx"
    assert document["annotations"] == {"k": "v"}
    assert not oci.is_index(document)
    assert oci.is_index(oci.index_document([subject]))
