"""Models that are deployed without a script: one of ours serves them, if their framework is one of the table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import scoring_runtime
from scoring_runtime.deploy.conda import CondaDependencies
from scoring_runtime.deploy.environment import Environment
from scoring_runtime.deploy.inference_config import InferenceConfig
from scoring_runtime.errors import NoScript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scoring_runtime.deploy.model import Model

__all__ = ["no_code_config"]

# Framework -> script, the package whose version the model's is, and what else the script imports.
SCRIPTS = {
    "ScikitLearn": ("score_sklearn.py", "scikit-learn", ("joblib", "numpy", "pandas")),
    "Onnx": ("score_onnx.py", "onnxruntime", ("numpy",)),
}


def no_code_config(models: Sequence[Model]) -> InferenceConfig:
    """What serves the one model where there is no inference config. Raises NoScript."""
    if len(models) != 1:
        raise NoScript(f"{len(models)} models", f"exactly one model of the frameworks {' and '.join(SCRIPTS)}")
    model = models[0]
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


def script_path(name: str) -> str:
    return os.path.join(scoring_runtime.__path__[0], "ready_scripts", name)
