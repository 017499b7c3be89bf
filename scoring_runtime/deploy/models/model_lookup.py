"""Finding the documents of models, and saying what there is when one is not found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scoring_runtime.deploy.models.model_record import Filter, check_name, matches, split_id
from scoring_runtime.errors import ModelError, ModelNotFound

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.records import Document
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["found", "listed", "missing", "read_model"]


def found(
    workspace: Workspace,
    name: str | None,
    id: str | None,
    tags: Filter,
    properties: Filter,
    version: int | None,
    run_id: str | None,
    model_framework: str | None,
) -> Document:
    """The version that is named, else the newest one that the filters take. Raises ModelNotFound."""
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise ModelError(f"A model's version: expected a whole number, such as 1, got {version!r}.")
    if id is not None:
        named = split_id(id)
        if version not in (None, named[1]) or (name is not None and ":" not in name and name != named[0]):
            raise ModelError(f"A model: got the id {id!r}, and beside it {name or ''}:{version or ''}. Name it once.")
        name, version = named
    if name is not None and version is not None:
        document = read_model(workspace, check_name(name), int(version))
        if document is None:
            raise missing(workspace, f"{name}:{version}")
        return document
    documents = listed(workspace, name, tags, properties, run_id, model_framework=model_framework)
    if not documents:
        raise missing(workspace, name or "that the filters take")
    return max(documents, key=lambda document: (document["created"], document["version"]))


def listed(
    workspace: Workspace,
    name: str | None,
    tags: Filter = None,
    properties: Filter = None,
    run_id: str | None = None,
    latest: bool = False,
    dataset_id: str | None = None,
    model_framework: str | None = None,
) -> list[Document]:
    """By name, and of each name the newest first."""
    records = workspace.records("models")
    result: list[Document] = []
    for one in records.names() if name is None else [check_name(name)]:
        for version in reversed(records.versions(one)):
            document = read_model(workspace, one, version)
            if document is not None and taken(document, tags, properties, run_id, dataset_id, model_framework):
                result.append(document)
                if latest:
                    break
    return result


def taken(
    document: Document,
    tags: Filter,
    properties: Filter,
    run_id: str | None,
    dataset_id: str | None,
    framework: str | None,
) -> bool:
    """Models are registered from files here, never from runs: a run's id finds nothing."""
    used = [dataset for _, dataset in document["datasets"]]
    return (
        run_id is None and (dataset_id is None or dataset_id in used) and matches(document, tags, properties, framework)
    )


def read_model(workspace: Workspace, name: str, version: int) -> Document | None:
    """None if it is not there, or not any more."""
    try:
        return workspace.records("models").read(name, version)
    except FileNotFoundError:
        return None


def missing(workspace: Workspace, what: str) -> ModelNotFound:
    records = workspace.records("models")
    name = what.partition(":")[0]
    versions = records.versions(name)
    there = f"versions of {name}: {shown(versions)}" if versions else f"models there: {shown(records.names())}"
    return ModelNotFound(
        f"There is no model {what} in {workspace.folder}; {there}. See `scoring model list`, or register it: "
        f"scoring model register -n {name if versions else 'NAME'} -p PATH"
    )


def shown(names: Sequence[object]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(map(str, names[:20])) + more if names else "none"
