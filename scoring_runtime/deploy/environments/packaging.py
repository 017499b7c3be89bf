"""What goes where in an image or app root, as pure data: code, models, environment variables, requirements.

/var/azureml-app/                            the app root, the server's working folder
  score.py                                   without a source directory, else
  <basename of source directory>/score.py
  azureml-models/<name>/<version>/<file or folder>
  model_config_map.json
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scoring_runtime.accelerators import accelerator
from scoring_runtime.deploy.environments.packaged_code import MODELS, File, file_of, packaged_code
from scoring_runtime.deploy.environments.packaged_models import PackagedModel, packaged_models
from scoring_runtime.deploy.environments.requirements import Requirements, requirements_of

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.inference_config import InferenceConfig
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["APP_ROOT", "BuildContext", "File", "PackagedModel", "build_context", "environ_in", "file_of"]

APP_ROOT = "/var/azureml-app"


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
    packaged = packaged_models(workspace, list(models), allow_secrets)
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
        base_image=docker.base_image_registry.full_name(docker.base_image) if docker.base_image else "",
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
