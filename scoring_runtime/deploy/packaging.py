"""What goes where in an image or app root, as pure data: code, models, environment variables, requirements.

/var/azureml-app/                            the app root, the server's working folder
  score.py                                   without a source directory, else
  <basename of source directory>/score.py
  azureml-models/<name>/<version>/<file or folder>
  model_config_map.json
"""

from __future__ import annotations

import ast
import json
import keyword
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scoring_runtime.accelerators import accelerator
from scoring_runtime.deploy.code_folder import CodeFile, code_file, list_code, refuse_secrets
from scoring_runtime.deploy.requirements import Requirements, requirements_of
from scoring_runtime.errors import ModelNotFound, PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.inference_config import InferenceConfig
    from scoring_runtime.deploy.workspace import Workspace

__all__ = ["APP_ROOT", "MODELS", "BuildContext", "File", "PackagedModel", "build_context", "environ_in"]

APP_ROOT = "/var/azureml-app"
MODELS = "azureml-models"
MOST_MODELS = 1000
LOCAL_NAME = 30  # of a path that is no registered model its name keeps so many characters


@dataclass(frozen=True, order=True)
class File:
    """One file of the app root, and where its bytes are now."""

    path: str  # below the app root
    source: str
    size: int
    mode: int  # 0o644 or 0o755
    sha256: str = ""  # of a registered model's file
    modified_ns: int = 0  # of any other, as it was when it was listed


@dataclass(frozen=True)
class PackagedModel:
    name: str
    version: int  # 0 for a path that is not registered
    basename: str  # of the one file or folder below <name>/<version>
    files: tuple[File, ...]

    @property
    def id(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def folder(self) -> str:
        """Below the app root."""
        return f"{MODELS}/{self.name}/{self.version}"


@dataclass(frozen=True)
class BuildContext:
    """Everything an image is made of, beside its base. Equal contexts over equal files give equal images."""

    entry_script: str  # below the app root
    code: tuple[File, ...]
    models: tuple[PackagedModel, ...]
    environ: Mapping[str, str]  # for the server, with the app root at APP_ROOT
    requirements: Requirements
    base_image: str = ""  # empty: what the builder has for the variant
    base_registry: Mapping[str, str] = field(default_factory=dict, repr=False)  # address, username, password
    variant: str = "cpu"  # the folder of base_images/ that fits: cpu, cuda, spark
    base_dockerfile: str = ""
    dockerfile_steps: str = ""  # more lines for the Dockerfile
    description: str = ""
    notes: tuple[str, ...] = ()  # sentences that a person should read

    @property
    def needs_dockerfile(self) -> bool:
        """No plain layer on a base can give this."""
        return bool(self.base_dockerfile or self.dockerfile_steps or self.requirements.conda)

    @property
    def files(self) -> tuple[File, ...]:
        return (*self.code, *(file for model in self.models for file in model.files))

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def documents(self) -> dict[str, bytes]:
        """The files of the app root that are written rather than copied."""
        models = {
            model.id: {"name": model.name, "version": model.version, "path": f"{model.folder}/{model.basename}"}
            for model in self.models
        }
        text = json.dumps({"accountContext": {}, "modelsInfo": models}, indent=1, sort_keys=True)
        return {"model_config_map.json": text.encode()}


def build_context(
    workspace: Workspace,
    models: Iterable[Any],
    inference_config: InferenceConfig,
    settings_environ: Mapping[str, str] | None = None,
    *,
    allow_secrets: Collection[str] = (),
) -> BuildContext:
    """Read what there is, decide what goes where. `models`: Model objects, "name:version", "name", or paths.

    Raises PackagingError; secrets in the source directory are an error unless their paths are allowed.
    """
    code, entry, notes = packaged_code(inference_config, allow_secrets)
    packaged = packaged_models(workspace, list(models))
    environment = inference_config.resolved_environment()
    environment.check()
    requirements = requirements_of(environment)
    own = {"AML_APP_ROOT": APP_ROOT, "AZUREML_ENTRY_SCRIPT": entry}
    if inference_config.source_directory:
        own["AZUREML_SOURCE_DIRECTORY"] = entry.partition("/")[0]
    if packaged:
        own["AZUREML_MODEL_DIR"] = f"{APP_ROOT}/{model_dir(packaged)}"
    theirs = environment.environment_variables
    notes += [f"{name} is set by the deployment, your value has no effect." for name in theirs.keys() & own]
    environ = dict(sorted({**(settings_environ or {}), **theirs, **own}.items()))
    docker = environment.docker
    return BuildContext(
        entry_script=entry,
        code=code,
        models=packaged,
        environ=environ,
        requirements=requirements,
        base_image=docker.base_image or "",
        base_registry=docker.base_image_registry.as_mapping(),
        variant=variant_of(inference_config, environ),
        base_dockerfile=docker.base_dockerfile or "",
        dockerfile_steps=inference_config.dockerfile_steps(),
        description=inference_config.description or "",
        notes=(*notes, *requirements.notes, *inference_config.notes, *environment.notes),
    )


def variant_of(config: InferenceConfig, environ: Mapping[str, str]) -> str:
    """What the configuration says, else what the accelerator needs."""
    if config.variant != "cpu" or "SCORING_ACCELERATOR" not in environ:
        return config.variant
    return accelerator(environ["SCORING_ACCELERATOR"]).base_image or "cpu"


def environ_in(context: BuildContext, folder: str) -> dict[str, str]:
    """The server's environment where the app root is another folder: absolute, whatever the working folder is."""
    root = os.path.abspath(folder)
    moved = {name: root + value[len(APP_ROOT) :] for name, value in context.environ.items() if below(value, APP_ROOT)}
    return {**context.environ, **{name: moved[name] for name in moved if name in ("AML_APP_ROOT", "AZUREML_MODEL_DIR")}}


def below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def model_dir(models: Sequence[PackagedModel]) -> str:
    """One model: its version's folder; more: the folder of all."""
    return models[0].folder if len(models) == 1 else MODELS


# code


def packaged_code(config: InferenceConfig, allow_secrets: Collection[str]) -> tuple[tuple[File, ...], str, list[str]]:
    """The files, the entry script below the app root, and what to say."""
    folder = config.source_directory
    if folder is None:
        tree = parsed(config.entry_script)
        alone = code_file(config.entry_script, os.path.basename(config.entry_script))
        refuse_secrets([alone], allow_secrets)
        return (file_of(alone, ""),), alone.path, left_behind(config.entry_script, tree)
    if not os.path.isdir(folder):
        raise PackagingError(f"sourceDirectory: {folder} is not a folder. Name the folder that holds the entry script.")
    parsed(os.path.join(folder, config.entry_script))
    prefix = os.path.basename(os.path.abspath(folder))
    if prefix in ("", MODELS):
        raise PackagingError(f"sourceDirectory: {folder} cannot be packaged under its name {prefix!r}. Rename it.")
    files = list_code(folder)
    refuse_secrets(files, {os.path.normpath(path) for path in allow_secrets})
    entry = f"{prefix}/{os.path.normpath(config.entry_script)}"
    packaged = tuple(file_of(file, f"{prefix}/") for file in files)
    if entry not in {file.path for file in packaged}:
        raise PackagingError(
            f"entryScript: {config.entry_script} is not among the files of {folder}. Put the script into that folder."
        )
    return packaged, entry, []


def file_of(file: CodeFile, prefix: str) -> File:
    mode = 0o755 if file.executable else 0o644
    return File(prefix + file.path, file.source, file.size, mode, modified_ns=file.modified_ns)


def parsed(script: str) -> ast.Module:
    """The script's tree. Raises PackagingError for what no server could load."""
    name = os.path.basename(script)
    stem, ending = os.path.splitext(name)
    if ending != ".py":
        raise PackagingError(f"entryScript: expected a file that ends in .py, got {script!r}. Rename it: {stem}.py")
    if not stem.isidentifier() or keyword.iskeyword(stem):
        raise PackagingError(f"entryScript: {stem!r} cannot be imported. Rename the file to a plain name: score.py")
    try:
        with open(script, "rb") as file:
            return ast.parse(file.read(), script)
    except OSError as error:
        here = "" if os.path.isabs(script) else f" (looked for in {os.getcwd()})"
        raise PackagingError(
            f"entryScript: {script}{here}: {error.strerror}. Name the script; with a source directory, relative to it."
        ) from None
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise PackagingError(f"entryScript: {script}{line}: {said}. Fix that line.") from None


def left_behind(script: str, tree: ast.Module) -> list[str]:
    """Modules beside the script that it imports: without a source directory only the script itself is packaged."""
    beside = os.path.dirname(os.path.abspath(script))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    names = {name.partition(".")[0] for name in imported}
    found = [
        name
        for name in sorted(names - {""})
        if os.path.isfile(os.path.join(beside, f"{name}.py"))
        or os.path.isfile(os.path.join(beside, name, "__init__.py"))
    ]
    what = f"{os.path.basename(script)} imports {', '.join(found)}, which is not packaged"
    return [f"{what}: name the folder that holds both as the source directory."] if found else []


# models


def packaged_models(workspace: Workspace, models: Sequence[Any]) -> tuple[PackagedModel, ...]:
    if len(models) > MOST_MODELS:
        raise PackagingError(
            f"An image holds at most {MOST_MODELS} models, and here are {len(models)}. Register folders of models, or "
            "deploy several services."
        )
    packaged = tuple(sorted((packaged_model(workspace, one) for one in models), key=lambda model: model.id))
    for one, other in pairwise(packaged):
        if one.id == other.id:
            raise PackagingError(f"The model {one.id} is given twice. Name it once.")
    return packaged


def packaged_model(workspace: Workspace, model: Any) -> PackagedModel:
    if isinstance(model, str):
        name, colon, version = model.partition(":")
        if colon and version.isdigit():
            return registered(workspace, name, int(version))
        if workspace.records("models").versions(model):
            return registered(workspace, model, workspace.records("models").versions(model)[-1])
        if os.path.exists(model):
            return unregistered(model)
        raise ModelNotFound(
            f"No model {model!r} is registered in {workspace.folder}, and there is no such file. "
            f"See `scoring model list`, or register it: scoring model register -n {model} -p FILE"
        )
    return registered(workspace, model.name, int(model.version))


def registered(workspace: Workspace, name: str, version: int) -> PackagedModel:
    try:
        record = workspace.records("models").read(name, version)
    except FileNotFoundError:
        there = ", ".join(map(str, workspace.records("models").versions(name))) or "none"
        raise ModelNotFound(
            f"The model {name}:{version} is not registered in {workspace.folder}; versions there: {there}. "
            "See `scoring model list`."
        ) from None
    base = record["basename"]
    home = f"{MODELS}/{name}/{version}"
    files = [
        File(
            f"{home}/{base}" if record["kind"] == "file" else f"{home}/{base}/{file['path']}",
            workspace.blobs.path(file["sha256"]),
            file["size"],
            0o755 if file["mode"] & 0o111 else 0o644,
            sha256=file["sha256"],
        )
        for file in record["files"]
    ]
    return PackagedModel(name, version, base, tuple(sorted(files)))


def unregistered(path: str) -> PackagedModel:
    """A file or folder that is only here, as <basename>/0/<basename>."""
    base = os.path.basename(os.path.abspath(path))
    name = base[:LOCAL_NAME]
    home = f"{MODELS}/{name}/0"
    found = (code_file(path, base),) if os.path.isfile(path) else list_code(path)
    prefix = f"{home}/" if os.path.isfile(path) else f"{home}/{base}/"
    return PackagedModel(name, 0, base, tuple(file_of(file, prefix) for file in found))
