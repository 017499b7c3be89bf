"""The flags of `scoring image`."""

from __future__ import annotations

from typing import Any

from scoring_runtime.cli.azure_flags import add_azure_flags
from scoring_runtime.cli.model_flags import Command, finish, key_or_pair, pair

__all__ = ["add_build", "add_export", "add_list", "add_one", "add_pull", "add_push"]

ENGINES = ("direct", "docker", "podman", "buildah")
FORMATS = ("oci", "oci-archive", "docker-archive")


def add_build(verbs: Any, command: Command) -> None:
    verb = verbs.add_parser("build", help="a script, its models and its packages as one image", allow_abbrev=False)
    add = verb.add_argument
    add("path", nargs="?", metavar="PATH", help="score.py, or a folder with one; or use --ic")
    add("-n", "--name", required=True, help="3 to 32 lower-case letters, digits, '-' and '.'")
    add("-m", "--model", dest="models", action="append", default=[], metavar="NAME:VERSION|PATH", help="repeatable")
    add("--ic", "--inference-config-file", dest="inference_config", metavar="FILE", help="an inferenceconfig.json")
    add("-r", "--requirements", metavar="FILE", help="a requirements.txt, where there is no --ic")
    add("--cf", "--conda-file", dest="conda_file", metavar="FILE", help="a conda YAML, where there is no --ic")
    add("--base", metavar="IMAGE", help="reference, OCI layout, archive, or a root file system's tar file")
    add("--base-for", dest="bases", action="append", type=pair, default=[], metavar="PLATFORM=IMAGE")
    add("--platform", dest="platforms", action="append", default=[], metavar="OS/ARCH", help="repeatable: an index")
    add("--engine", choices=ENGINES, default="direct", help="direct needs no daemon; the others build a Dockerfile")
    add("--dockerfile", metavar="FOLDER", help="build nothing: write a Dockerfile with all it needs into the folder")
    add("--tag", dest="tags", action="append", type=pair, default=[], metavar="KEY=VALUE", help="of the record")
    add("--property", dest="properties", action="append", type=pair, default=[], metavar="KEY=VALUE")
    add("-d", "--description", metavar="TEXT")
    add("--allow-secret", dest="allow_secrets", action="append", default=[], metavar="PATH", help="it is none")
    add("-t", "--output-metadata-file", metavar="FILE", help="write the image's id to it, as JSON")
    add("--dry-run", action="store_true", help="only say what would be done")
    add_access(verb)
    add_azure_flags(verb)
    finish(verb, command)


def add_access(verb: Any) -> None:
    add = verb.add_argument
    add("--username", help="for the registry; else the logins of docker and podman are used")
    add("--password-stdin", action="store_true", help="read the password from standard input")
    add("--insecure", action="store_true", help="allow plain HTTP, and certificates that nobody vouches for")
    add("--ca-file", metavar="PEM", help="the authority that the registry's certificate is from")


def add_list(verbs: Any, command: Command) -> None:
    verb = verbs.add_parser("list", help="what there is", allow_abbrev=False)
    add = verb.add_argument
    add("-n", "--image-name", "--name", dest="name")
    add("--model-name", metavar="NAME", help="only with a version of this model")
    add("--model-id", metavar="NAME:VERSION", help="only with this one")
    add("--tag", dest="tags", action="append", type=key_or_pair, metavar="KEY[=VALUE]")
    add("--property", dest="properties", action="append", type=key_or_pair, metavar="KEY[=VALUE]")
    add_azure_flags(verb)
    finish(verb, command)


def add_one(verbs: Any, name: str, help: str, command: Command) -> Any:
    verb = verbs.add_parser(name, help=help, allow_abbrev=False)
    verb.add_argument("image", metavar="NAME[:VERSION]", help="without a version: the latest")
    add_azure_flags(verb)
    return finish(verb, command)


def add_push(verbs: Any, command: Command) -> None:
    verb = add_one(verbs, "push", "to a registry; only what is not there is sent", command)
    verb.add_argument("target", metavar="REFERENCE", help="registry/repository:tag, or registry/path/ for its own name")
    verb.add_argument("--sbom", action="store_true", help="attach the bill of materials")
    verb.add_argument("--dry-run", action="store_true", help="only say what would be sent at most")
    add_access(verb)


def add_pull(verbs: Any, command: Command) -> None:
    verb = verbs.add_parser("pull", help="from a registry, an OCI layout or an OCI archive", allow_abbrev=False)
    add = verb.add_argument
    add("reference", metavar="REFERENCE|PATH")
    add("-n", "--name", help="default: the last part of the repository's name")
    add("--platform", metavar="OS/ARCH", help="only this one; default: all that there are")
    add_access(verb)
    add_azure_flags(verb)
    finish(verb, command)


def add_export(verbs: Any, command: Command) -> None:
    verb = add_one(verbs, "export", "as files that other tools read", command)
    verb.add_argument("path", metavar="PATH", help="a folder for oci, else a tar file")
    verb.add_argument("--format", choices=FORMATS, help="default: oci, or docker-archive where PATH ends in .tar")
    verb.add_argument("--platform", metavar="OS/ARCH")
