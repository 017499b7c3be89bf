"""`scoring deploy`: from flags and files to a service that answers; everything is checked before anything is done."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from scoring_runtime.cli.azure_flags import add_azure_flags
from scoring_runtime.cli.output import Steps, show
from scoring_runtime.cli.service_flags import add_waiting, finish, pair

if TYPE_CHECKING:
    from scoring_runtime.deploy import InferenceConfig, Workspace
    from scoring_runtime.deploy.targets.base import Plan

__all__ = ["add_to", "plan_text"]

ENTRY_SCRIPTS = ("score.py", "main.py")


def add_to(nouns: Any, help: str) -> None:
    parser = nouns.add_parser("deploy", help=help, allow_abbrev=False)
    add = parser.add_argument
    add("source", nargs="?", metavar="SCRIPT", help="score.py or a folder with one, in place of --ic")
    add("-n", "--name", help="of the service: 3 to 32 of a-z, 0-9 and -; default: after SCRIPT or the file of -f")
    add("-m", "--model", dest="models", action="append", default=[], metavar="NAME[:VERSION]", help="repeatable")
    add("--ic", "--inference-config-file", dest="inference", metavar="FILE", help="inferenceconfig.json")
    add("--dc", "--deploy-config-file", dest="deployment", metavar="FILE", help="deploymentconfig.json")
    add("-f", "--file", dest="yaml", metavar="FILE", help="a v2 deployment, in YAML")
    add("--endpoint", metavar="FILE", help="the v2 endpoint that it belongs to: its auth_mode, tags and name")
    add("--image", metavar="NAME:VERSION", help="an image of the workspace, in place of --ic")
    add("--ct", "--compute-target", dest="target", metavar="NAME", help="an attached cluster")
    add("--engine", metavar="ENGINE", help="in a container of docker, podman, or the engine at unix:///...")
    add("--auth", choices=("none", "key", "token"), help="who may call a service on this machine; default: all")
    add("--port", type=int, help="on this machine; default: a free one, which it keeps")
    add("--cc", dest="cpu", type=float, metavar="CORES", help="the most it may use on this machine")
    add("--gb", dest="memory", type=float, metavar="GB", help="memory, likewise")
    add("--env", dest="environ", action="append", type=pair, default=[], metavar="NAME=VALUE", help="repeatable")
    add("--overwrite", action="store_true", help="update the service if it is there")
    add("--tag", dest="tags", action="append", type=pair, default=[], metavar="KEY=VALUE", help="repeatable")
    add("--property", dest="properties", action="append", type=pair, default=[], metavar="KEY=VALUE")
    add("-d", "--description", metavar="TEXT")
    add("-t", "--output-metadata-file", dest="metadata", metavar="FILE", help="write the service to it, as JSON")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add("--files", metavar="FOLDER", help="write the host's files there, secrets and all, and do nothing else")
    add_waiting(parser)
    add_azure_flags(parser)
    finish(parser, deploy_command)


def deploy_command(arguments: argparse.Namespace) -> int:
    from scoring_runtime.deploy import Workspace
    from scoring_runtime.deploy.services.deploy_verbs import deploy, plan_of, wish_for

    workspace = Workspace(arguments.workspace)
    steps = Steps(arguments.json)
    arguments.dry_run |= arguments.files is not None
    given = request_of(workspace, arguments, steps)
    tags, properties = dict(arguments.tags) or None, dict(arguments.properties) or None
    environ = {**given.pop("environ", {}), **dict(arguments.environ)}
    if arguments.dry_run:
        wish = wish_for(workspace, *(given[name] for name in WISHED))
        wish = wish.labelled(tags, properties, arguments.description, environ)
        planned, plan = plan_of(workspace, given["name"], wish)
        if arguments.files:
            paths = write_plan(plan, arguments.files, planned.deployment.compute_type)
            show({"service": planned.name, "files": paths}, arguments.json, lambda: "\n".join(paths))
            return 0
        document = {"service": planned.name, "steps": plan.steps, "documents": dict(plan.documents)}
        show(document, arguments.json, lambda: plan_text(plan))
        return 0
    steps(f"deploying {given['name']}")
    service = deploy(
        workspace,
        **given,
        overwrite=arguments.overwrite,
        tags=tags,
        properties=properties,
        description=arguments.description,
        environ=environ,
        progress=steps,
    )
    if not arguments.no_wait:
        service.wait_for_deployment(timeout_sec=arguments.timeout)
        steps("healthy")
    document = service.serialize()
    if arguments.metadata:
        with open(arguments.metadata, "w") as file:
            json.dump(document, file, indent=1)
    show(document, arguments.json, lambda: f"{document['state']}  {document['scoring_uri'] or ''}".rstrip())
    return 0


WISHED = ("models", "inference_config", "deployment_config", "deployment_target", "image")


def request_of(workspace: Workspace, arguments: argparse.Namespace, say: Any) -> dict[str, Any]:
    """The arguments of deploy(), from flags and files. Raises ConfigError."""
    from scoring_runtime.deploy.services.deployment_file import from_file
    from scoring_runtime.errors import ConfigError

    sources = [one for one in ("source", "inference", "yaml", "image") if getattr(arguments, one)]
    if len(sources) > 1:
        expected = "one of SCRIPT, --ic, -f and --image"
        raise ConfigError("scoring deploy", " and ".join(sources), expected, "Leave the others out.")
    given: dict[str, Any] = {"deployment_config": None, "inference_config": None, "name": None}
    if arguments.yaml:
        given |= from_yaml(workspace, arguments, say)
    elif arguments.source:
        given["inference_config"], given["name"] = from_source(arguments.source)
    elif arguments.inference:
        given["inference_config"] = inference_from(workspace, arguments.inference, say)
    given["name"] = arguments.name or given["name"]
    if not given["name"]:
        raise ConfigError("name", None, "a name for the service", "Give it: -n NAME")
    given["models"] = [*given.get("models", []), *arguments.models]
    given["image"] = arguments.image
    given["deployment_target"] = arguments.target
    if arguments.deployment:
        given["deployment_config"] = from_file(arguments.deployment, say)
    if arguments.engine:
        given["deployment_config"], given["deployment_target"] = for_engine(workspace, given, arguments)
    given["deployment_config"] = with_flags(given["deployment_config"], arguments)
    return given


def for_engine(workspace: Workspace, given: dict[str, Any], arguments: argparse.Namespace) -> tuple[Any, str | None]:
    """A container in place of a process; with --dry-run the engine is not written down."""
    from dataclasses import fields

    from scoring_runtime.deploy import AciWebservice
    from scoring_runtime.deploy.services.compute import attach_engine
    from scoring_runtime.errors import ConfigError

    config = given["deployment_config"]
    if config is not None and config.compute_type not in ("local", "aci"):
        raise ConfigError("--engine", arguments.engine, f"none for a service on {config.compute_type}")
    if getattr(config, "token_auth_enabled", False):
        raise ConfigError("token_auth_enabled", True, "false with --engine", "Set auth_enabled (authEnabled) for keys.")
    if config is None or config.compute_type == "local":
        values = {one.name: getattr(config, one.name) for one in fields(config)} if config else {}
        given_ones = {name: value for name, value in values.items() if value is not None}
        given_ones.pop("token_auth_enabled", None)
        config = AciWebservice.deploy_configuration(**given_ones)
    return config, None if arguments.dry_run else attach_engine(workspace, arguments.engine)


def inference_from(workspace: Workspace, path: str, say: Any) -> InferenceConfig:
    from scoring_runtime.deploy import InferenceConfig

    config = InferenceConfig.from_file(path, workspace)
    for note in config.notes:
        say(note)
    return config


def from_source(source: str) -> tuple[InferenceConfig, str]:
    """A script, or a folder with one; and a name for the service."""
    from scoring_runtime.deploy import InferenceConfig
    from scoring_runtime.errors import ConfigError

    path = os.path.abspath(source)
    home = path if os.path.isdir(path) else os.path.dirname(path)
    name = re.sub("[^a-z0-9]+", "-", os.path.basename(home).lower()).strip("-")
    name = name if re.match("[a-z]", name) else f"service-{name}"
    if not os.path.isdir(path):
        return InferenceConfig(path), name[:32].strip("-")
    script = next((one for one in ENTRY_SCRIPTS if os.path.isfile(os.path.join(path, one))), None)
    if script is None:
        raise ConfigError("SCRIPT", source, f"a folder with {' or '.join(ENTRY_SCRIPTS)}", "Name the script itself.")
    return InferenceConfig(script, source_directory=path), name[:32].strip("-")


def from_yaml(workspace: Workspace, arguments: argparse.Namespace, say: Any) -> dict[str, Any]:
    from scoring_runtime.deploy.services.v2 import deployment_from_yaml

    found = deployment_from_yaml(workspace, arguments.yaml, arguments.endpoint, say)
    return {
        "name": found.name,
        "models": list(found.models),
        "inference_config": found.inference_config,
        "deployment_config": found.deployment,
        "environ": found.environ,
    }


def with_flags(config: Any, arguments: argparse.Namespace) -> Any:
    """--auth, --port, --cc and --gb over what the file says."""
    from dataclasses import fields, replace

    from scoring_runtime.deploy import LocalWebservice
    from scoring_runtime.errors import ConfigError

    flags = {"port": arguments.port, "cpu_cores": arguments.cpu, "memory_gb": arguments.memory}
    changes: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    if arguments.auth:
        changes |= {"auth_enabled": arguments.auth == "key", "token_auth_enabled": arguments.auth == "token"}
    if not changes:
        return config
    config = config or LocalWebservice.deploy_configuration()
    known = {one.name for one in fields(config)}
    for name in changes.keys() - known:
        if changes[name]:
            raise ConfigError(name, changes[name], f"nothing, as a service on {config.compute_type} has no such thing")
    return replace(config, **{name: value for name, value in changes.items() if name in known})


def write_plan(plan: Plan, folder: str, host: str) -> list[str]:
    """For the tools of others, and for nobody else's eyes. Raises ConfigError where the host has no files."""
    from scoring_runtime.durable import make_folder, write_files
    from scoring_runtime.errors import ConfigError

    if not plan.files:
        expected = "a service whose host takes files: aci, aks or iot"
        raise ConfigError("--files", host, expected, "Name its deployment configuration: --dc FILE")
    paths = {os.path.join(folder, name): text for name, text in plan.files.items()}
    make_folder(folder, private=True)
    write_files({path: [text.encode()] for path, text in paths.items()}, private=True)
    return list(paths)


def plan_text(plan: Plan) -> str:
    """For people: the steps, then each document whole."""
    lines = [f"{number}. {step}" for number, step in enumerate(plan.steps, 1)]
    for name, text in plan.documents.items():
        lines += ["", f"--- {name}", text.rstrip()]
    sys.stdout.flush()
    return "\n".join(lines)
