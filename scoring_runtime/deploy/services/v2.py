"""The v2 deployment YAML: a deployment, and the endpoint that it belongs to, as what the deploy verbs take."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.conda import loaded_yaml
from scoring_runtime.deploy.environments.config_keys import check_keys, without_nulls
from scoring_runtime.deploy.environments.environment import Environment
from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.services.deployment_config import Deployment
from scoring_runtime.deploy.services.v2_hosts import environ_of, host_of, idle_keys
from scoring_runtime.deploy.services.v2_keys import DEPLOYMENT, ENDPOINT
from scoring_runtime.errors import ConfigError

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["V2Deployment", "deployment_from_yaml"]

REGISTERED = re.compile(r"azureml:([^:@]+)(?::(\w+)|@latest)?")


@dataclass(frozen=True)
class V2Deployment:
    name: str  # of the service
    models: tuple[str, ...]
    inference_config: InferenceConfig | None
    deployment: Deployment
    environ: Mapping[str, str]


def deployment_from_yaml(
    workspace: Workspace, path: str, endpoint: str | None = None, say: Callable[[str], None] = print
) -> V2Deployment:
    """Raises ConfigError, which names file, key, value, rule and fix. `say` is told of what has no effect."""
    document = read_yaml(path, DEPLOYMENT, say)
    ends = read_yaml(endpoint, ENDPOINT, say) if endpoint else {}
    folder = os.path.dirname(os.path.abspath(path))
    for key in ("name", "endpoint_name"):
        if key not in document:
            raise ConfigError(key, None, "a name", f"Add it: {key}: demo", path)
    if ends and ends.get("name") != document["endpoint_name"]:
        expected = f"{ends.get('name')}, the name in {endpoint}"
        raise ConfigError("endpoint_name", document["endpoint_name"], expected, "Change one of the two.", path)
    if sum((ends.get("traffic") or {}).values()) > 100:
        raise ConfigError("traffic", dict(ends["traffic"]), "shares of at most 100 together", "", endpoint or "")
    deployment = host_of(document, ends, path)
    for file, idle in zip((path, endpoint), idle_keys(document, ends), strict=True):
        if idle:
            say(f"{file}: without effect on a {document.get('type', 'managed')} deployment here: {', '.join(idle)}.")
    return V2Deployment(
        name=f"{document['endpoint_name']}-{document['name']}".lower()[:32].rstrip("-"),
        models=models_of(document, folder, path),
        inference_config=inference_of(workspace, document, folder, path),
        deployment=deployment,
        environ=environ_of(document),
    )


def read_yaml(path: str, table: Mapping[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            document = loaded_yaml(file.read(), path)
    except OSError as error:
        raise ConfigError(path, error.strerror, "a YAML file", "Check the path.") from None
    if not isinstance(document, dict):
        raise ConfigError(path, document, "a mapping of keys", "Write one, such as name: blue")
    for note in check_keys(document, table, path):
        say(note)
    return without_nulls(document)


def models_of(document: Mapping[str, Any], folder: str, path: str) -> tuple[str, ...]:
    model = document.get("model")
    if model is None:
        return ()
    if isinstance(model, dict):
        if not isinstance(model.get("path"), str):
            raise ConfigError("model.path", model.get("path"), "the path of a file or folder", "Add it.", path)
        return (os.path.join(folder, model["path"]),)
    found = REGISTERED.fullmatch(model)
    if found is None:
        fix = "Write azureml:NAME:VERSION, azureml:NAME@latest, or path: ./model."
        raise ConfigError("model", model, "a registered model, or an object with a path", fix, path)
    return (f"{found[1]}:{found[2]}" if found[2] else found[1],)


def inference_of(workspace: Workspace, document: Mapping[str, Any], folder: str, path: str) -> InferenceConfig | None:
    code = document.get("code_configuration")
    if code is None:
        return None
    home, script = code.get("code"), code.get("scoring_script")
    if isinstance(home, Mapping):  # as the first documentation had it
        home = home.get("local_path")
    if not isinstance(home, str) or not isinstance(script, str):
        expected = "code: a folder, and scoring_script: a script in it"
        raise ConfigError("code_configuration", dict(code), expected, "Add both.", path)
    source = os.path.normpath(os.path.join(folder, home))
    environment = environment_of(workspace, document.get("environment"), folder, path)
    return InferenceConfig(script, source_directory=source, environment=environment)


def environment_of(workspace: Workspace, value: Any, folder: str, path: str) -> Environment | None:
    if value is None:
        return None
    if isinstance(value, str):
        found = REGISTERED.fullmatch(value)
        if found is None:
            raise ConfigError("environment", value, "azureml:NAME:VERSION, or an object", "Change it.", path)
        return Environment.get(workspace, found[1], found[2])
    name = str(value.get("name") or "inf-conda-env")
    conda = value.get("conda_file")
    build = value.get("build") or {}
    if build.get("path"):
        dockerfile = os.path.join(folder, build["path"], build.get("dockerfile_path") or "Dockerfile")
        return Environment.from_dockerfile(name, dockerfile, conda and os.path.join(folder, conda))
    content: dict[str, Any] = {"name": name, "docker": {"baseImage": value.get("image")}, "python": {}}
    if isinstance(conda, Mapping):
        content["python"]["condaDependencies"] = dict(conda)
    elif conda:
        content["python"]["condaDependenciesFile"] = os.path.join(folder, conda)
    return Environment.from_document(content, path, folder, "environment.")
