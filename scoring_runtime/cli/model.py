"""`scoring model register|list|show|download|update|delete`: each verb is a few lines on Model."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from scoring_runtime.cli.model_flags import add_download, add_list, add_one, add_register, add_update
from scoring_runtime.cli.output import show, table

if TYPE_CHECKING:
    from scoring_runtime.deploy import Model, ResourceConfiguration, Workspace

__all__ = ["add_to"]


def add_to(nouns: Any, help: str) -> None:
    noun = nouns.add_parser("model", help=help)
    verbs = noun.add_subparsers(dest="verb", required=True, metavar="verb")
    add_register(verbs, register_command)
    add_list(verbs, list_command)
    add_one(verbs, "show", "everything about one version", show_command)
    add_download(verbs, download_command)
    add_update(verbs, update_command)
    delete = add_one(verbs, "delete", "remove one version; its number is not given again", delete_command)
    delete.add_argument("--dry-run", action="store_true", help="only say whether it would be refused")


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    from scoring_runtime.deploy import Workspace

    return Workspace(arguments.workspace)


def model_of(arguments: argparse.Namespace) -> Model:
    from scoring_runtime.deploy import Model
    from scoring_runtime.errors import ModelError

    given = [one for one in (arguments.model, arguments.model_id, arguments.name) if one]
    if len(given) != 1:
        raise ModelError(
            f"Expected one model, as NAME, NAME:VERSION, -i NAME:VERSION or -n NAME, got {given or 'none'}."
        )
    id = arguments.model_id or (arguments.model if arguments.model and ":" in arguments.model else None)
    return Model(workspace_of(arguments), arguments.name or arguments.model, id, version=arguments.version)


def resources_of(arguments: argparse.Namespace) -> ResourceConfiguration | None:
    from scoring_runtime.deploy import ResourceConfiguration

    asked = arguments.cpu, arguments.memory_in_gb, arguments.gpu
    return None if asked == (None, None, None) else ResourceConfiguration(*asked)


def register_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.cli.copy_bar import CopyBar
    from scoring_runtime.deploy import Model
    from scoring_runtime.deploy.models.registration import planned

    registration = planned(
        workspace_of(arguments),
        arguments.model_path,
        arguments.name,
        dict(arguments.tags),
        dict(arguments.properties),
        arguments.description,
        model_framework=arguments.model_framework,
        model_framework_version=arguments.model_framework_version,
        child_paths=arguments.child_paths,
        sample_input_dataset=arguments.sample_input,
        sample_output_dataset=arguments.sample_output,
        resource_configuration=resources_of(arguments),
    )
    if arguments.dry_run:
        document, said = registration.preview(), "Would register"
    else:
        with CopyBar(sys.stderr, arguments.json) as bar:
            document, said = registration.store(bar), "Registered"
    model = Model.of(registration.workspace, document)
    if arguments.output_metadata_file and not arguments.dry_run:
        write_metadata(model, arguments.output_metadata_file)
    show(
        model.serialize(), arguments.json, lambda: f"{said} {model.id}: {contents(model)}, in {model.workspace.folder}"
    )


def write_metadata(model: Model, path: str) -> None:
    """What `--model-metadata-file` reads."""
    from scoring_runtime.durable import write_file
    from scoring_runtime.errors import DeployError

    document = {"modelId": model.id, "workspaceName": model.workspace.name}
    try:
        write_file(path, json.dumps(document, indent=1).encode() + b"\n")
    except OSError as error:
        raise DeployError(f"{model.id} is registered, but {path} cannot be written: {error.strerror}.") from None


def contents(model: Model) -> str:
    files = len(model.record["files"])
    return f"{files:,} file{'' if files == 1 else 's'}, {model.record['size']:,} bytes"


def list_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import Model

    models = Model.list(
        workspace_of(arguments),
        arguments.name,
        arguments.tags,
        arguments.properties,
        arguments.run_id,
        arguments.latest,
        arguments.dataset_id,
        model_framework=arguments.model_framework,
    )
    rows = [row(model) for model in models]
    columns = ("name", "version", "framework", "size", "created", "tags")
    show([model.serialize() for model in models], arguments.json, lambda: table(rows, columns))


def row(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "version": model.version,
        "framework": model.model_framework or "",
        "size": f"{model.record['size']:,}",
        "created": f"{model.created_time:%Y-%m-%d %H:%M}",
        "tags": joined(model.tags),
    }


def joined(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))


def show_command(arguments: argparse.Namespace) -> None:
    model = model_of(arguments)
    show(model.serialize() | {"files": model.record["files"]}, arguments.json, lambda: about(model))


def about(model: Model) -> str:
    resources = model.record["resource_configuration"] or {}
    lines = {
        "id": model.id,
        "description": model.description,
        "framework": " ".join(filter(None, (model.model_framework, model.model_framework_version))),
        "created": f"{model.created_time:%Y-%m-%d %H:%M:%S} UTC",
        "tags": joined(model.tags),
        "properties": joined(model.properties),
        "resources": joined({key: str(value) for key, value in resources.items() if value is not None}),
        "sample input": (model.record["sample_input"] or {}).get("name", ""),
        model.record["kind"]: f"{model.record['basename']} ({contents(model)})",
    }
    files = [f"  {file['size']:>14,}  {file['path']}" for file in model.record["files"]]
    return "\n".join([*(f"{key + ':':<14}{value}" for key, value in lines.items() if value), *files])


def download_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.cli.copy_bar import CopyBar
    from scoring_runtime.deploy.models.download import free_target

    model = model_of(arguments)
    if arguments.dry_run:
        path, said = free_target(model.record, arguments.target_dir, arguments.overwrite), "Would write"
    else:
        with CopyBar(sys.stderr, arguments.json) as bar:
            path, said = model.download(arguments.target_dir, arguments.overwrite, progress=bar), "Wrote"
    show({"id": model.id, "path": path}, arguments.json, lambda: f"{said} {path}: {contents(model)} of {model.id}")


def update_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy.models.model_record import with_changes

    model = model_of(arguments)
    changes = dict(arguments.tags), arguments.remove_tags, dict(arguments.properties)
    described, resources = arguments.description, resources_of(arguments)
    if arguments.dry_run:
        model.record = with_changes(model.record, *changes, described, resources)
    else:
        model.update_tags_properties(*changes)  # first: this one can be refused
        samples = arguments.sample_input, arguments.sample_output
        model.update(None, described, *samples, resource_configuration=resources)
    show(model.serialize(), arguments.json, lambda: about(model))


def delete_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy.workspaces.usage import users_of
    from scoring_runtime.errors import ModelInUse

    model = model_of(arguments)
    if not arguments.dry_run:
        model.delete()
    elif users := users_of(model.workspace, model.id):
        raise ModelInUse(model.id, users)
    said = "Would delete" if arguments.dry_run else "Deleted"
    show({"id": model.id}, arguments.json, lambda: f"{said} {model.id}")
