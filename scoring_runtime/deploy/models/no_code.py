"""Models that are deployed without a script: one of ours serves them, if their framework is one of the table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import scoring_runtime
from scoring_runtime.deploy.environments.conda import CondaDependencies
from scoring_runtime.deploy.environments.environment import Environment
from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.models.model import Model
from scoring_runtime.errors import NoScript

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.deployment_config import Deployment
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["no_code_config", "sole_model", "with_resources"]

# Framework -> script, the package whose version the model's is, and what else the script imports.
SCRIPTS = {
    "ScikitLearn": ("score_sklearn.py", "scikit-learn", ("joblib", "numpy", "pandas")),
    "Onnx": ("score_onnx.py", "onnxruntime", ("numpy",)),
}


def sole_model(workspace: Workspace, models: Sequence[Any]) -> Model:
    """The one model, given as such, or by name or id. Raises NoScript and ModelNotFound."""
    if len(models) != 1:
        raise NoScript(f"{len(models)} models", f"exactly one model of the framework {' or '.join(SCRIPTS)}")
    if not isinstance(models[0], str):
        model: Model = models[0]
        return model
    if ":" in models[0]:
        return Model(workspace, id=models[0])
    if os.path.exists(models[0]) and not workspace.records("models").versions(models[0]):
        raise NoScript(f"the path {models[0]}", "a registered model, whose framework is known")
    return Model(workspace, models[0])


def no_code_config(model: Model) -> InferenceConfig:
    """What serves the model where there is no inference config. Raises NoScript."""
    if model.model_framework not in SCRIPTS:
        of = f"of the framework {model.model_framework}" if model.model_framework else "without a framework"
        raise NoScript(f"the model {model.id} {of}", f"a model registered with model_framework {' or '.join(SCRIPTS)}")
    script, package, more = SCRIPTS[model.model_framework]
    environment = Environment(f"no-code-{model.model_framework}")
    # The version of an ONNX model is that of its operators; a pickle has to be read by what wrote it.
    pinned = model.model_framework_version if package == "scikit-learn" else None
    first = f"{package}=={pinned}" if pinned else package
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["azureml-defaults", first, *more])
    return InferenceConfig(script_path(script), environment=environment)


def with_resources(deployment: Deployment, model: Model) -> Deployment:
    """What the model was registered to need, where a deployment has room to say it and nobody did."""
    wanted = model.resource_configuration
    if wanted is None:
        return deployment
    asked = {"cpu_cores": wanted.cpu, "memory_gb": wanted.memory_in_gb, "gpu_cores": wanted.gpu}
    known = {field.name for field in fields(deployment)}
    return replace(deployment, **{name: value for name, value in asked.items() if value is not None and name in known})


def script_path(name: str) -> str:
    return os.path.join(scoring_runtime.__path__[0], "ready_scripts", name)
