"""Images of a workspace: each build is a version of a name, and does not change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.environments.packaging import build_context
from scoring_runtime.deploy.images.builder import BuildOrder
from scoring_runtime.deploy.images.image_build import build_image
from scoring_runtime.deploy.images.image_record import FAILED, RUNNING, check_image_name, log_path, missing, read
from scoring_runtime.deploy.images.image_run import run_once
from scoring_runtime.deploy.images.image_shipping import export_image, pull_image, push_image
from scoring_runtime.deploy.images.image_sources import Access
from scoring_runtime.deploy.images.oci import Descriptor, Platform
from scoring_runtime.deploy.images.transfer import Pushed
from scoring_runtime.deploy.models.model import Model
from scoring_runtime.deploy.models.model_record import Filter, matches, with_changes
from scoring_runtime.deploy.workspaces.usage import services_with
from scoring_runtime.errors import DeployError, ImageInUse

if TYPE_CHECKING:
    from scoring_runtime.deploy.images.container_image import ContainerImageConfig
    from scoring_runtime.deploy.workspaces.records import Document
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Image"]

Images: TypeAlias = "list[Image]"  # within the class, list is the method
Progress = Callable[[str], None]
POLL_SECONDS = 0.5


class Image:
    """One version of an image. `Image(ws, "name")` is the latest that the filters take, `id="name:2"` a certain one."""

    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,
        tags: Filter = None,
        properties: Filter = None,
        version: int | None = None,
    ) -> None:
        """Raises ImageNotFound."""
        if id is not None:
            name, _, text = id.partition(":")
            if not text.isdigit():
                raise DeployError(f'An image\'s id: expected "name:version", such as "web:1", got {id!r}.')
            version = int(text)
        self.workspace = workspace
        self.record: Document
        if name is not None and version is not None:
            self.record = read(workspace, check_image_name(name), int(version))
            return
        found = listed(workspace, name, tags, properties)
        if not found:
            raise missing(workspace, name or "that the filters take")
        self.record = max(found, key=lambda document: (document["created"], document["version"]))

    @classmethod
    def of(cls, workspace: Workspace, record: Document) -> Image:
        """The image of a record that has been read."""
        image = cls.__new__(cls)
        image.workspace, image.record = workspace, record
        return image

    @classmethod
    def create(
        cls,
        workspace: Workspace,
        name: str,
        models: Sequence[Any],
        image_config: ContainerImageConfig | InferenceConfig,
        *,
        base: str | None = None,
        bases: Mapping[str, str] | None = None,
        platforms: Iterable[str] = (),
        access: Access | None = None,
        allow_secrets: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Image:
        """Build the next version, and return when it is done. `models`: Model objects, "name:version", or paths.

        `base` is a layout, a tar file or a reference; `bases` says it for each platform. Raises DeployError.
        """
        allowed = set(allow_secrets)
        if isinstance(image_config, InferenceConfig):
            context = build_context(workspace, models, image_config, allow_secrets=allowed)
            tags: Mapping[str, str] | None = None
            properties: Mapping[str, str] | None = None
        else:
            context = image_config.context(workspace, models, allowed)
            tags, properties = image_config.tags, image_config.properties
        order = BuildOrder(
            name,
            context,
            base or "",
            dict(bases or {}),
            tuple(map(Platform.parse, platforms)),
            access or Access(),
        )
        version = build_image(workspace, order, tags, properties, progress)
        return cls(workspace, name, version=version)

    @classmethod
    def list(
        cls,
        workspace: Workspace,
        image_name: str | None = None,
        model_name: str | None = None,
        model_id: str | None = None,
        tags: Filter = None,
        properties: Filter = None,
    ) -> Images:
        """By name, and of each name the newest first."""
        documents = listed(workspace, image_name, tags, properties)
        return [cls.of(workspace, one) for one in documents if has_model(one["models"], model_name, model_id)]

    def __repr__(self) -> str:
        return f"Image(workspace={self.workspace!r}, name={self.name!r}, id={self.id!r}, version={self.version})"

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def version(self) -> int:
        return int(self.record["version"])

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.record["tags"])

    @property
    def properties(self) -> dict[str, str]:
        return dict(self.record["properties"])

    @property
    def description(self) -> str:
        return str(self.record["description"])

    @property
    def created_time(self) -> datetime:
        return datetime.fromisoformat(self.record["created"])

    @property
    def models(self) -> Sequence[Model]:
        """Those of the workspace; files that were packaged without being registered are not among them."""
        return [Model(self.workspace, id=id) for id in self.record["models"] if not id.endswith(":0")]

    @property
    def creation_state(self) -> str:
        """Running, Succeeded or Failed, as it was when the record was read; see update_creation_state()."""
        return str(self.record["state"])

    @property
    def image_flavor(self) -> str:
        return "WebApiContainer"

    @property
    def image_digest(self) -> str | None:
        digest: str | None = self.record.get("digest")
        return digest

    @property
    def image_location(self) -> str | None:
        """Where it was last pushed to."""
        location: str | None = self.record["location"]
        return location

    @property
    def image_build_log_uri(self) -> str:
        return f"file://{log_path(self.workspace, self.name, self.version)}"

    @property
    def descriptor(self) -> Descriptor:
        """Of its manifest or index. Raises DeployError where there is none."""
        if "digest" not in self.record:
            raise DeployError(
                f"The image {self.id} is {self.creation_state}, so there is nothing to use. Build it again."
            )
        return Descriptor(self.record["media_type"], self.record["digest"], self.record["manifest_size"])

    def build_log(self) -> str:
        try:
            with open(log_path(self.workspace, self.name, self.version), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def update_creation_state(self) -> None:
        self.record = read(self.workspace, self.name, self.version)

    def wait_for_creation(self, show_output: bool = False, *, timeout_seconds: float = 3600) -> None:
        """Until another process has built it; prints the log. Raises DeployError if the build failed."""
        deadline = time.monotonic() + timeout_seconds
        shown = 0
        while True:
            self.update_creation_state()
            log = self.build_log()
            if show_output:
                print(log[shown:], end="", flush=True)
            shown = len(log)
            if self.creation_state != RUNNING:
                break
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{self.id} is not built after {timeout_seconds:g} s. Its log: {self.image_build_log_uri}"
                )
            time.sleep(POLL_SECONDS)
        if show_output:
            print(f"Image creation of {self.id}: {self.creation_state}")
        if self.creation_state == FAILED:
            raise DeployError(f"The image {self.id} could not be built: {self.record['error']}")

    def update(self, tags: Mapping[str, str] | None = None) -> None:
        """Replace all tags."""
        if tags is not None:
            self.change(lambda document: with_changes({**document, "tags": {}}, tags))

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Those that are there get the new value."""
        self.change(lambda document: with_changes(document, tags))

    def remove_tags(self, tags: Iterable[str]) -> None:
        self.change(lambda document: with_changes(document, remove_tags=tags))

    def add_properties(self, properties: Mapping[str, str]) -> None:
        """Raises DeployError for one that is there with another value."""
        self.change(lambda document: with_changes(document, add_properties=properties))

    def change(self, changed: Callable[[Document], Document]) -> None:
        self.workspace.check_writable("Image.update")
        try:
            self.record = self.workspace.records("images").change(self.name, self.version, changed)
        except FileNotFoundError:
            raise missing(self.workspace, self.id) from None

    def run(self, input_data: str | bytes, *, engine: str | None = None, timeout_seconds: float = 120) -> Any:
        """What the image answers to one request: started by podman or docker on this machine, and ended again."""
        return run_once(self.workspace.blobs, self.descriptor, self.id, input_data, engine, timeout_seconds)

    def push(
        self,
        target: str,
        *,
        access: Access | None = None,
        with_sbom: bool = False,
        progress: Progress = lambda step: None,
    ) -> Pushed:
        """To `registry/repository:tag`, or under its own name below `registry/path/`; only what is not there is sent.

        `with_sbom` attaches the bill of materials. Raises RegistryError.
        """
        _ = self.descriptor
        _, pushed = push_image(self.workspace, self.record, target, access or Access(), with_sbom, progress)
        self.update_creation_state()
        return pushed

    @classmethod
    def pull(
        cls,
        workspace: Workspace,
        reference: str,
        name: str | None = None,
        *,
        platform: str | None = None,
        access: Access | None = None,
        progress: Progress = lambda step: None,
    ) -> Image:
        """From a registry, an OCI layout or an OCI archive, as the next version of a name."""
        wanted = Platform.parse(platform) if platform else None
        name, version = pull_image(workspace, reference, name, wanted, access or Access(), progress)
        return cls(workspace, name, version=version)

    def export(self, path: str, form: str = "oci", platform: str | None = None) -> None:
        """Write it as an OCI layout folder ("oci"), an "oci-archive", or a "docker-archive" for `docker load`."""
        _ = self.descriptor
        export_image(self.workspace, self.record, path, form, Platform.parse(platform) if platform else None)

    def delete(self) -> None:
        """Its version is not given again. Raises ImageInUse, with the services that need it."""
        self.workspace.check_writable("Image.delete")
        with self.workspace.lock():
            users = services_with(self.workspace, self.id)
            if users:
                raise ImageInUse(
                    f"The image {self.id} is used by {', '.join(users)}. Delete that first, or leave the image."
                )
            try:
                self.workspace.records("images").remove(self.name, self.version)
            except FileNotFoundError:
                raise missing(self.workspace, self.id) from None
        log = log_path(self.workspace, self.name, self.version)
        if os.path.exists(log):
            os.unlink(log)
        self.workspace.blobs.collect()

    def serialize(self) -> Document:
        """Plain values, with the names of the original service where it has them."""
        record = self.record
        return {
            **{key: record.get(key) for key in ("id", "name", "version", "digest", "size", "description", "error")},
            "createdTime": record["created"],
            "creationState": record["state"],
            "imageFlavor": self.image_flavor,
            "imageLocation": record["location"],
            "imageBuildLogUri": self.image_build_log_uri if self.workspace.storage.writable else None,
            "modelIds": record["models"],
            "platforms": [one["platform"] for one in record.get("platforms", [])],
            "layers": record.get("layers", []),
            "base": record.get("base"),
            "tags": record["tags"],
            "properties": record["properties"],
        }


def listed(workspace: Workspace, name: str | None, tags: Filter, properties: Filter) -> Sequence[Document]:
    records = workspace.records("images")
    result = []
    for one in records.names() if name is None else [check_image_name(name)]:
        for version in reversed(records.versions(one)):
            document = read(workspace, one, version)
            if matches({**document, "framework": None}, tags, properties, None):
                result.append(document)
    return result


def has_model(ids: Sequence[str], model_name: str | None, model_id: str | None) -> bool:
    if model_id is not None and model_id not in ids:
        return False
    return model_name is None or any(id.partition(":")[0] == model_name for id in ids)
