"""`scoring image build|list|show|push|pull|export|delete`: each verb is a few lines on Image."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from scoring_runtime.cli.image_flags import add_build, add_export, add_list, add_one, add_pull, add_push
from scoring_runtime.cli.output import Steps, show, table

if TYPE_CHECKING:
    from scoring_runtime.deploy import Image, InferenceConfig, Workspace
    from scoring_runtime.deploy.images.image_sources import Access

__all__ = ["add_to"]

# what only an image in the workspace can have
OF_DIRECT = {
    "base-for": "bases",
    "tag": "tags",
    "property": "properties",
    "output-metadata-file": "output_metadata_file",
}


def add_to(nouns: Any, help: str) -> None:
    noun = nouns.add_parser("image", help=help)
    verbs = noun.add_subparsers(dest="verb", required=True, metavar="verb")
    add_build(verbs, build_command)
    add_list(verbs, list_command)
    add_one(verbs, "show", "everything about one version", show_command)
    add_push(verbs, push_command)
    add_pull(verbs, pull_command)
    add_export(verbs, export_command)
    delete = add_one(verbs, "delete", "remove one version, and what nothing else uses", delete_command)
    delete.add_argument("--dry-run", action="store_true", help="only say whether it would be refused")


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    from scoring_runtime.deploy import Workspace

    return Workspace(arguments.workspace)


def image_of(arguments: argparse.Namespace) -> Image:
    from scoring_runtime.deploy import Image

    named = {"id": arguments.image} if ":" in arguments.image else {"name": arguments.image}
    return Image(workspace_of(arguments), **named)


def access_of(arguments: argparse.Namespace) -> Access:
    from scoring_runtime.deploy.images.credentials import Credentials
    from scoring_runtime.deploy.images.image_sources import Access
    from scoring_runtime.errors import RegistryError

    if bool(arguments.username) != arguments.password_stdin:
        raise RegistryError("--username and --password-stdin go together: echo PASSWORD | ... --password-stdin")
    login = Credentials(arguments.username, sys.stdin.readline().rstrip("\n")) if arguments.username else None
    return Access(login, arguments.insecure, arguments.ca_file)


# build


def config_of(arguments: argparse.Namespace, workspace: Workspace) -> InferenceConfig:
    """An inferenceconfig.json, a script, or a folder with a score.py. Raises PackagingError."""
    from scoring_runtime.deploy import Environment, InferenceConfig
    from scoring_runtime.errors import PackagingError

    if (arguments.path is None) == (arguments.inference_config is None):
        raise PackagingError("Expected a script, a folder with a score.py, or --ic FILE; one of them.")
    if arguments.inference_config:
        if arguments.requirements or arguments.conda_file:
            raise PackagingError(
                "With --ic the environment is in that file; leave out --requirements and --conda-file."
            )
        return InferenceConfig.from_file(arguments.inference_config, workspace)
    environment = None
    if arguments.requirements:
        environment = Environment.from_pip_requirements(f"{arguments.name}-env", arguments.requirements)
    elif arguments.conda_file:
        environment = Environment.from_conda_specification(f"{arguments.name}-env", arguments.conda_file)
    folder = arguments.path if os.path.isdir(arguments.path) else None
    return InferenceConfig(
        "score.py" if folder else arguments.path,
        source_directory=folder,
        description=arguments.description,
        environment=environment,
    )


def build_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import Image
    from scoring_runtime.deploy.environments.packaging import build_context
    from scoring_runtime.deploy.images.builder import BuildOrder, default_base
    from scoring_runtime.deploy.images.image_build import build_image, plan_lines
    from scoring_runtime.deploy.images.oci import Platform

    workspace = workspace_of(arguments)
    config = config_of(arguments, workspace)
    if arguments.engine != "direct" or arguments.dockerfile:
        return build_by_engine(arguments, workspace, config)
    context = build_context(workspace, arguments.models, config, allow_secrets=arguments.allow_secrets)
    platforms = tuple(map(Platform.parse, arguments.platforms))
    order = BuildOrder(
        arguments.name, context, arguments.base or "", dict(arguments.bases), platforms, access_of(arguments)
    )
    if arguments.dry_run:
        lines = plan_lines(order, order.base or context.base_image or default_base(context))
        return show({"plan": lines}, arguments.json, lambda: "\n".join(lines))
    steps = Steps(arguments.json)
    if arguments.json:  # else they are among the steps
        for note in context.notes:
            print(f"note: {note}", file=sys.stderr)
    version = build_image(workspace, order, dict(arguments.tags), dict(arguments.properties), steps)
    image = Image(workspace, arguments.name, version=version)
    if arguments.output_metadata_file:
        write_metadata(image, arguments.output_metadata_file)
    return show(image.serialize(), arguments.json, lambda: f"Built {image.id}: {summary(image)}")


def build_by_engine(arguments: argparse.Namespace, workspace: Workspace, config: InferenceConfig) -> None:
    """The image lies with the engine then, or the Dockerfile in a folder; nothing in the workspace."""
    from scoring_runtime.deploy.environments.packaging import build_context
    from scoring_runtime.deploy.images.docker_context import write_docker_context
    from scoring_runtime.deploy.images.dockerfile import dockerfile
    from scoring_runtime.deploy.images.package import package
    from scoring_runtime.errors import PackagingError

    given = [f"--{flag}" for flag, name in OF_DIRECT.items() if getattr(arguments, name)]
    if given or len(arguments.platforms) > 1:
        raise PackagingError(
            f"With --engine {arguments.engine} the image is the engine's, and for one platform; leave out: "
            f"{', '.join(given) or 'all platforms but one'}."
        )
    platform = arguments.platforms[0] if arguments.platforms else "linux/amd64"
    if arguments.dry_run or arguments.dockerfile:
        context = build_context(workspace, arguments.models, config, allow_secrets=arguments.allow_secrets)
    if arguments.dry_run:
        text = dockerfile(context, "pip.whl" if context.requirements.pip else "", arguments.name)
        doing = f"write to {arguments.dockerfile}" if arguments.dockerfile else f"have {arguments.engine} build"
        said = f"Would {doing} this for {arguments.name}, with all it needs beside it:"
        return show({"plan": [said, text]}, arguments.json, lambda: f"{said}\n\n{text}")
    if arguments.dockerfile:
        write_docker_context(workspace, context, arguments.dockerfile, platform, arguments.name)
        for note in context.notes:
            print(f"note: {note}", file=sys.stderr)
        said = f"Wrote {arguments.dockerfile}. Build it: docker build -t {arguments.name} {arguments.dockerfile}"
        document = {"generateDockerfile": True, "state": "Succeeded", "location": arguments.dockerfile}
        return show(document, arguments.json, lambda: said)
    made = package(
        workspace,
        arguments.models,
        config,
        image_name=arguments.name,
        image_label="latest",
        engine=arguments.engine,
        base=arguments.base or "",
        platform=platform,
        allow_secrets=arguments.allow_secrets,
    )
    for note in made.context.notes:
        print(f"note: {note}", file=sys.stderr)
    return show(made.serialize(), arguments.json, lambda: f"Built {made.location} in {arguments.engine}")


def write_metadata(image: Image, path: str) -> None:
    from scoring_runtime.durable import write_file
    from scoring_runtime.errors import DeployError

    document = {"imageId": image.id, "digest": image.image_digest, "workspaceName": image.workspace.name}
    try:
        write_file(path, json.dumps(document, indent=1).encode() + b"\n")
    except OSError as error:
        raise DeployError(f"{image.id} is built, but {path} cannot be written: {error.strerror}.") from None


def summary(image: Image) -> str:
    places = ", ".join(one["platform"] for one in image.record.get("platforms", []))
    return f"{places}, {image.record['size']:,} bytes, {image.image_digest}"


# the others


def list_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import Image

    images = Image.list(
        workspace_of(arguments),
        arguments.name,
        arguments.model_name,
        arguments.model_id,
        arguments.tags,
        arguments.properties,
    )
    columns = ("name", "version", "state", "platforms", "size", "created", "digest")
    show([one.serialize() for one in images], arguments.json, lambda: table([row(one) for one in images], columns))


def row(image: Image) -> dict[str, object]:
    return {
        "name": image.name,
        "version": image.version,
        "state": image.creation_state,
        "platforms": ",".join(one["platform"] for one in image.record.get("platforms", [])),
        "size": f"{image.record.get('size', 0):,}",
        "created": f"{image.created_time:%Y-%m-%d %H:%M}",
        "digest": (image.image_digest or "")[:19],
    }


def show_command(arguments: argparse.Namespace) -> None:
    image = image_of(arguments)
    show(image.serialize(), arguments.json, lambda: about(image))


def about(image: Image) -> str:
    lines = {
        "id": image.id,
        "state": image.creation_state,
        "error": image.record["error"] or "",
        "digest": image.image_digest or "",
        "for": ", ".join(one["platform"] for one in image.record.get("platforms", [])),
        "size": f"{image.record.get('size', 0):,} bytes in {len(image.record.get('layers', []))} layers",
        "base": " ".join(filter(None, (image.record.get("base") or {}).values())),
        "models": ", ".join(image.record["models"]),
        "location": image.image_location or "",
        "description": image.description,
        "tags": ", ".join(f"{key}={value}" for key, value in sorted(image.tags.items())),
        "properties": ", ".join(f"{key}={value}" for key, value in sorted(image.properties.items())),
        "created": f"{image.created_time:%Y-%m-%d %H:%M:%S} UTC",
        "log": image.image_build_log_uri,
    }
    return "\n".join(f"{key + ':':<13}{value}" for key, value in lines.items() if value)


def push_command(arguments: argparse.Namespace) -> None:
    image = image_of(arguments)
    if arguments.dry_run:
        said = f"Would push {image.id} to {arguments.target}: at most {image.record.get('size', 0):,} bytes"
        return show({"id": image.id, "target": arguments.target}, arguments.json, lambda: said)
    pushed = image.push(
        arguments.target, access=access_of(arguments), with_sbom=arguments.sbom, progress=Steps(arguments.json)
    )
    document = {"id": image.id, "imageLocation": image.image_location, "sentBytes": pushed.sent_bytes}
    text = (
        f"Pushed {image.id} to {image.image_location}: {pushed.sent_bytes:,} bytes in {pushed.sent} blobs; "
        f"{pushed.there} were there, {pushed.mounted} mounted"
    )
    return show(document, arguments.json, lambda: text)


def pull_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import Image

    image = Image.pull(
        workspace_of(arguments),
        arguments.reference,
        arguments.name,
        platform=arguments.platform,
        access=access_of(arguments),
        progress=Steps(arguments.json),
    )
    show(image.serialize(), arguments.json, lambda: f"Pulled {image.id}: {summary(image)}")


def export_command(arguments: argparse.Namespace) -> None:
    image = image_of(arguments)
    form = arguments.format or ("docker-archive" if arguments.path.endswith(".tar") else "oci")
    image.export(arguments.path, form, arguments.platform)
    document = {"id": image.id, "path": arguments.path, "format": form}
    show(document, arguments.json, lambda: f"Wrote {arguments.path}: {image.id} as {form}")


def delete_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy.workspaces.usage import services_with
    from scoring_runtime.errors import ImageInUse

    image = image_of(arguments)
    if not arguments.dry_run:
        image.delete()
    elif users := services_with(image.workspace, image.id):
        raise ImageInUse(f"The image {image.id} is used by {', '.join(users)}.")
    said = "Would delete" if arguments.dry_run else "Deleted"
    show({"id": image.id}, arguments.json, lambda: f"{said} {image.id}")
