"""Registered models: a file or folder under a name, each registration a version of its own that does not change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from scoring_runtime.deploy.models.download import download_to
from scoring_runtime.deploy.models.model_files import Progress
from scoring_runtime.deploy.models.model_lookup import found, listed, missing, read_model
from scoring_runtime.deploy.models.model_record import Filter, with_changes
from scoring_runtime.deploy.models.registration import planned
from scoring_runtime.deploy.models.resource_configuration import ResourceConfiguration
from scoring_runtime.deploy.models.samples import add_sample, read_sample
from scoring_runtime.deploy.workspaces.disk import named_disk_errors
from scoring_runtime.deploy.workspaces.usage import users_of
from scoring_runtime.errors import BlobCorrupt, ModelInUse

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.inference_config import InferenceConfig
    from scoring_runtime.deploy.images.package import ModelPackage
    from scoring_runtime.deploy.services.webservice import Webservice
    from scoring_runtime.deploy.workspaces.records import Document
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Model"]

Models: TypeAlias = "list[Model]"  # within the class, list is the method


class Model:
    """One version of a model. `Model(ws, "name")` is the latest that the filters take, `id="name:2"` a certain one."""

    class Framework:
        """For `model_framework`. ScikitLearn and Onnx models can be deployed without a script of one's own."""

        CUSTOM = "Custom"
        ONNX = "Onnx"
        SCIKITLEARN = "ScikitLearn"
        TENSORFLOW = "TensorFlow"
        TFKERAS = "TfKeras"
        PYTORCH = "PyTorch"
        MULTI = "Multi"

    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,
        tags: Filter = None,
        properties: Filter = None,
        version: int | None = None,
        run_id: str | None = None,
        model_framework: str | None = None,
        expand: bool = True,
    ) -> None:
        """Raises ModelNotFound."""
        self.workspace = workspace
        self.record = found(workspace, name, id, tags, properties, version, run_id, model_framework)

    @classmethod
    def of(cls, workspace: Workspace, record: Document) -> Model:
        """The model of a record that has been read."""
        model = cls.__new__(cls)
        model.workspace, model.record = workspace, record
        return model

    @classmethod
    def register(
        cls,
        workspace: Workspace,
        model_path: str,
        model_name: str,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        datasets: Iterable[tuple[str, object]] | None = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: Sequence[str] | None = None,
        sample_input_dataset: object = None,
        sample_output_dataset: object = None,
        resource_configuration: ResourceConfiguration | None = None,
        *,
        progress: Progress | None = None,
    ) -> Model:
        """Store a file or folder as the next version of a name.

        A sample is a file, or a value that is stored as JSON. Raises ModelError, FilesChanged and DiskFull; then
        nothing has been stored.
        """
        registration = planned(
            workspace,
            model_path,
            model_name,
            tags,
            properties,
            description,
            datasets,
            model_framework,
            model_framework_version,
            child_paths,
            sample_input_dataset,
            sample_output_dataset,
            resource_configuration,
        )
        return cls.of(workspace, registration.store(progress))

    @classmethod
    def list(
        cls,
        workspace: Workspace,
        name: str | None = None,
        tags: Filter = None,
        properties: Filter = None,
        run_id: str | None = None,
        latest: bool = False,
        dataset_id: str | None = None,
        expand: bool = True,
        page_count: int = 255,
        model_framework: str | None = None,
    ) -> Models:
        """By name, and of each name the newest first; `latest` is the newest of each that the filters take."""
        documents = listed(
            workspace, name, tags, properties, run_id, latest, dataset_id=dataset_id, model_framework=model_framework
        )
        return [cls.of(workspace, document) for document in documents]

    def __repr__(self) -> str:
        return f"Model(workspace={self.workspace!r}, name={self.name!r}, id={self.id!r}, version={self.version})"

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
    def model_framework(self) -> str | None:
        framework: str | None = self.record["framework"]
        return framework

    @property
    def model_framework_version(self) -> str | None:
        version: str | None = self.record["framework_version"]
        return version

    @property
    def resource_configuration(self) -> ResourceConfiguration | None:
        return ResourceConfiguration.deserialize(self.record["resource_configuration"])

    @property
    def sample_input_dataset(self) -> bytes | None:
        """The sample's contents; its name is in `record`."""
        return self.sample("sample_input")

    @property
    def sample_output_dataset(self) -> bytes | None:
        return self.sample("sample_output")

    def sample(self, key: str) -> bytes | None:
        about = self.record[key]
        return None if about is None else self.workspace.blobs.read(about["sha256"])

    def download(
        self,
        target_dir: str = ".",
        exist_ok: bool = False,
        exists_ok: bool | None = None,
        *,
        progress: Progress | None = None,
    ) -> str:
        """Write the file or folder below target_dir, each byte verified, and say where.

        With exist_ok what is there is replaced, file by file. Raises ModelError, BlobCorrupt and DiskFull.
        """
        replace = exist_ok if exists_ok is None else exists_ok
        try:
            return download_to(self.workspace.blobs, self.record, target_dir, replace, progress)
        except BlobCorrupt:
            if read_model(self.workspace, self.name, self.version) is None:
                raise missing(self.workspace, self.id) from None  # it was deleted meanwhile
            raise

    def update(
        self,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        sample_input_dataset: object = None,
        sample_output_dataset: object = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> None:
        """Replace what is given, tags as a whole, and leave the rest."""
        self.workspace.check_writable("Model.update")
        samples = {
            "sample_input": read_sample(sample_input_dataset),
            "sample_output": read_sample(sample_output_dataset),
        }
        removes = any(samples.values())
        with named_disk_errors(self.workspace.folder), self.workspace.blobs.adding(removes) as adding:
            added = {key: add_sample(adding, sample) for key, sample in samples.items() if sample}
            adding.sync()
            self.change(lambda document: replaced(document, tags, description, resource_configuration) | added)

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Those that are there get the new value."""
        self.update_tags_properties(add_tags=tags)

    def remove_tags(self, tags: Iterable[str]) -> None:
        self.update_tags_properties(remove_tags=tags)

    def add_properties(self, properties: Mapping[str, str]) -> None:
        """Raises ModelError for one that is there with another value."""
        self.update_tags_properties(add_properties=properties)

    def update_tags_properties(
        self,
        add_tags: Mapping[str, str] | None = None,
        remove_tags: Iterable[str] | None = None,
        add_properties: Mapping[str, str] | None = None,
    ) -> None:
        self.workspace.check_writable("Model.update_tags_properties")
        self.change(lambda document: with_changes(document, add_tags, remove_tags, add_properties))

    def change(self, changed: Callable[[Document], Document]) -> None:
        """Read, change and write the record as one."""
        with named_disk_errors(self.workspace.folder):
            try:
                self.record = self.workspace.records("models").change(self.name, self.version, changed)
            except FileNotFoundError:
                raise missing(self.workspace, self.id) from None

    def delete(self) -> None:
        """Its version is not given again. Raises ModelInUse, with the images and services that need it."""
        self.workspace.check_writable("Model.delete")
        with self.workspace.blobs.adding(removes=True), self.workspace.lock():
            users = users_of(self.workspace, self.id)
            if users:
                raise ModelInUse(self.id, users)
            try:
                self.workspace.records("models").remove(self.name, self.version)
            except FileNotFoundError:
                raise missing(self.workspace, self.id) from None

    @staticmethod
    def deploy(
        workspace: Workspace,
        name: str,
        models: Sequence[Any],
        inference_config: InferenceConfig | None = None,
        deployment_config: Any = None,
        deployment_target: Any = None,
        overwrite: bool = False,
        show_output: bool = False,
    ) -> Webservice:
        """Begin to run models as a service; wait_for_deployment() of what it returns says how it went."""
        from scoring_runtime.deploy.services.deploy_verbs import deploy

        return deploy(
            workspace, name, models, inference_config, deployment_config, deployment_target, overwrite, show_output
        )

    @staticmethod
    def package(
        workspace: Workspace,
        models: Iterable[Model | str],
        inference_config: InferenceConfig | None = None,
        generate_dockerfile: bool = False,
        image_name: str | None = None,
        image_label: str | None = None,
        **options: Any,
    ) -> ModelPackage:
        """An image, or with generate_dockerfile the folder that docker, podman or buildah build it from.

        See package.package() for the options. Raises PackagingError.
        """
        from scoring_runtime.deploy.images.package import package

        return package(workspace, models, inference_config, generate_dockerfile, image_name, image_label, **options)

    def serialize(self) -> dict[str, Any]:
        """As JSON, with the keys of Azure ML."""
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "framework": self.model_framework,
            "frameworkVersion": self.model_framework_version,
            "description": self.description,
            "createdTime": self.record["created"],
            "tags": self.tags,
            "properties": self.properties,
            "unpack": self.record["kind"] == "folder",
            "size": self.record["size"],
            "resourceConfiguration": self.record["resource_configuration"],
        }

    @classmethod
    def deserialize(cls, workspace: Workspace, model_payload: Mapping[str, Any] | str) -> Model:
        """The registered model that serialize() described, as it is now."""
        payload = json.loads(model_payload) if isinstance(model_payload, str) else model_payload
        return cls(workspace, id=str(payload.get("id") or payload.get("modelId")))

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: Workspace | None = None) -> str:
        """Download it to azureml-models/<name>/<version>/ here, unless it is there, and say where.

        For laptops and jobs; a scoring script has azureml.core.model.Model, which needs no workspace.
        """
        from scoring_runtime.deploy.workspaces.workspace import Workspace

        model = Model(_workspace or Workspace.from_config(), model_name, version=version)
        folder = os.path.join("azureml-models", model.name, str(model.version))
        path = os.path.join(folder, model.record["basename"])
        return path if os.path.exists(path) else model.download(folder)


def replaced(
    document: Document, tags: Mapping[str, str] | None, description: str | None, resources: ResourceConfiguration | None
) -> Document:
    old = set(document["tags"]) - set(tags) if tags is not None else None
    return with_changes(document, tags, old, None, description, resources)
