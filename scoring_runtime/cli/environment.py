"""`scoring environment scaffold|register|list|show|download|lock`: each verb is a few lines on Environment."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from scoring_runtime.cli.azure_flags import add_azure_flags
from scoring_runtime.cli.model_flags import Command, finish
from scoring_runtime.cli.output import show, table

if TYPE_CHECKING:
    from scoring_runtime.deploy import Environment, Workspace

__all__ = ["add_to"]

PLATFORMS = ("linux/amd64", "linux/arm64")


def add_to(nouns: Any, help: str) -> None:
    verbs = nouns.add_parser("environment", help=help).add_subparsers(dest="verb", required=True, metavar="verb")
    scaffold = added(verbs, "scaffold", "write the files of a new environment, to be edited", scaffold_command)
    scaffold.add_argument("-n", "--name", required=True)
    scaffold.add_argument("-d", "--directory", default=".", metavar="FOLDER", help="default: here")
    register = added(verbs, "register", "the next version, unless the newest is the same", register_command)
    sources = register.add_mutually_exclusive_group()
    sources.add_argument("-d", "--directory", metavar="FOLDER", help="as scaffold wrote it; default: here")
    sources.add_argument("--conda-file", metavar="FILE")
    sources.add_argument("--pip-requirements", metavar="FILE")
    register.add_argument("-n", "--name", help="needed with --conda-file and --pip-requirements")
    added(verbs, "list", "the newest version of each", list_command)
    named(added(verbs, "show", "everything about one version", show_command))
    download = named(added(verbs, "download", "write one into a folder", download_command))
    download.add_argument("-d", "--directory", default=".", metavar="FOLDER", help="default: here")
    download.add_argument("--overwrite", action="store_true")
    lock = named(added(verbs, "lock", "the packages, each with version and hash", lock_command))
    lock.add_argument("--python", default="{}.{}".format(*sys.version_info), help="where the environment names none")
    lock.add_argument("--platform", choices=PLATFORMS, default=PLATFORMS[0])
    lock.add_argument("--update", action="store_true", help="what the index has now, not what was locked before")


def added(verbs: Any, name: str, help: str, command: Command) -> Any:
    verb = verbs.add_parser(name, help=help, allow_abbrev=False)
    add_azure_flags(verb)
    finish(verb, command)
    return verb


def named(verb: Any) -> Any:
    verb.add_argument("-n", "--name", required=True)
    verb.add_argument("-v", "--version", help="default: the newest")
    return verb


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    from scoring_runtime.deploy import Workspace

    return Workspace(arguments.workspace)


def environment_of(arguments: argparse.Namespace) -> Environment:
    from scoring_runtime.deploy import Environment

    return Environment.get(workspace_of(arguments), arguments.name, arguments.version)


def scaffold_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import CondaDependencies, Environment
    from scoring_runtime.errors import BadEnvironment

    environment = Environment(arguments.name)
    environment.check()
    environment.python.conda_dependencies_file = "conda_dependencies.yml"
    there = os.path.join(arguments.directory, "conda_dependencies.yml")
    if os.path.lexists(there):
        raise BadEnvironment(f"{there} is there already, and stays. Name another folder: -d FOLDER")
    environment.save_to_directory(arguments.directory)
    python = "{}.{}".format(*sys.version_info)
    path = CondaDependencies.create(python_version=python).save(arguments.directory)
    files = [os.path.join(arguments.directory, "azureml_environment.json"), path]
    show(files, arguments.json, lambda: f"Wrote {' and '.join(files)}: edit them, then register the folder")


def register_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import Environment
    from scoring_runtime.errors import BadEnvironment

    path = arguments.conda_file or arguments.pip_requirements
    if path and not arguments.name:
        raise BadEnvironment(f"{path} names no environment. Name it: -n NAME")
    if arguments.conda_file:
        environment = Environment.from_conda_specification(arguments.name, path)
    elif arguments.pip_requirements:
        environment = Environment.from_pip_requirements(arguments.name, path)
    else:
        environment = Environment.load_from_directory(arguments.directory or ".")
        environment.name = arguments.name or environment.name
    for note in (*environment.notes, *environment.python.resolved_dependencies().notes):
        print(note, file=sys.stderr)
    registered = environment.register(workspace_of(arguments))
    show(
        registered.to_document(),
        arguments.json,
        lambda: f"{registered.name}, version {registered.version}, is in {workspace_of(arguments).folder}",
    )


def list_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy import Environment

    found = Environment.list(workspace_of(arguments))
    rows = [
        {"name": name, "version": one.version, "python": one.python.resolved_dependencies().python_version or ""}
        for name, one in found.items()
    ]
    documents = [one.to_document() for one in found.values()]
    show(documents, arguments.json, lambda: table(rows, ("name", "version", "python")))


def show_command(arguments: argparse.Namespace) -> None:
    from scoring_runtime.deploy.environments.pip_lines import masked
    from scoring_runtime.deploy.environments.requirements import requirements_of

    environment = environment_of(arguments)
    found = requirements_of(environment)
    lines = [f"{environment.name}, version {environment.version}", f"python {found.python or 'of the base'}"]
    lines += [f"pip {masked(one)}" for one in found.pip]
    lines += [f"conda {one}" for one in found.conda]
    lines += [f"variable {name}={value}" for name, value in environment.environment_variables.items()]
    lines += [f"note: {note}" for note in found.notes]
    show(environment.to_document(), arguments.json, lambda: "\n".join(lines))


def download_command(arguments: argparse.Namespace) -> None:
    environment = environment_of(arguments)
    environment.save_to_directory(arguments.directory, arguments.overwrite)
    show(environment.to_document(), arguments.json, lambda: f"Wrote {environment.name} to {arguments.directory}")


def lock_command(arguments: argparse.Namespace) -> None:
    import json

    from scoring_runtime.deploy.environments.lock import lock
    from scoring_runtime.deploy.environments.requirements import requirements_of

    required = requirements_of(environment_of(arguments))
    for note in required.notes:
        print(f"note: {note}", file=sys.stderr)
    found = lock(workspace_of(arguments), required, arguments.python, arguments.platform, update=arguments.update)
    show(json.loads(found.to_json()), arguments.json, lambda: found.requirements().rstrip())
