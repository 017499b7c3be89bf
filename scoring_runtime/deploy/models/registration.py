"""Registering a model in two steps: everything checked and read that can be wrong, then stored."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoring_runtime.deploy.models.model_files import FoundFiles, Progress, find_files
from scoring_runtime.deploy.models.model_lookup import read_model
from scoring_runtime.deploy.models.model_record import check_name, drafted
from scoring_runtime.deploy.models.samples import Sample, add_sample, read_sample
from scoring_runtime.deploy.workspaces.disk import named_disk_errors
from scoring_runtime.deploy.workspaces.storing import Known, stored
from scoring_runtime.errors import ModelError, WorkspaceReadOnly

if TYPE_CHECKING:
    from scoring_runtime.deploy.models.resource_configuration import ResourceConfiguration
    from scoring_runtime.deploy.workspaces.records import Document
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Registration", "planned"]


@dataclass(frozen=True)
class Registration:
    """A model that can be stored."""

    workspace: Workspace
    name: str
    document: Document
    files: FoundFiles
    samples: Mapping[str, Sample | None]

    def preview(self) -> Document:
        """The record as it would be, with the version that is next now, and no hashes."""
        version = self.workspace.records("models").next_version(self.name)
        files = [{"path": file.path, "size": file.size} for file in self.files.files]
        samples = {key: sample and {"name": sample.name} for key, sample in self.samples.items()}
        return {
            **self.document,
            **samples,
            "files": files,
            "name": self.name,
            "version": version,
            "id": f"{self.name}:{version}",
        }

    def store(self, progress: Progress | None = None) -> Document:
        """Files first, then the record that names them: whatever ends this, there is all of it or nothing."""
        records = self.workspace.records("models")
        with named_disk_errors(self.workspace.folder), self.workspace.blobs.adding() as adding:
            samples = {key: add_sample(adding, sample) for key, sample in self.samples.items()}
            files = stored(self.files, adding, progress, self.known())
            version = records.add(self.name, {**self.document, **samples, "files": files})
            return records.read(self.name, version)

    def known(self) -> Known:
        """The blobs of the version before, which this one may well share."""
        versions = self.workspace.records("models").versions(self.name)
        before = read_model(self.workspace, self.name, versions[-1]) if versions else None
        result: dict[int, set[str]] = {}
        for file in before["files"] if before else ():
            result.setdefault(file["size"], set()).add(file["sha256"])
        return result


def planned(
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
) -> Registration:
    """Reads, writes nothing. Raises ModelError, and WorkspaceReadOnly."""
    if not workspace.storage.writable:
        raise WorkspaceReadOnly(workspace.folder, "Model.register")
    check_name(model_name)
    document = drafted(
        tags, properties, description, model_framework, model_framework_version, resource_configuration, datasets
    )
    files = find_files(model_path, child_paths)
    if any(file.source.startswith(workspace.folder + os.sep) for file in files.files):
        raise ModelError(
            f"{model_path} holds the workspace {workspace.folder}. Put the model into a folder of its own."
        )
    document |= {
        "kind": files.kind,
        "basename": files.basename,
        "size": files.size,
        "empty_folders": [*files.empty_folders],
    }
    samples = {"sample_input": read_sample(sample_input_dataset), "sample_output": read_sample(sample_output_dataset)}
    return Registration(workspace, model_name, document, files, samples)
