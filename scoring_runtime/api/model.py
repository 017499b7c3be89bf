"""Where the model files are: Model.get_model_path() and model_dir().

azureml-models/<name>/<version>/<one file or folder>      below the working directory
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from scoring_runtime.errors import ModelNotFound, ScriptError

__all__ = ["Model", "ModelNotFoundException", "WebserviceException", "model_dir"]

logger = logging.getLogger("azmlinfsrv")

ROOT = "azureml-models"
SHOWN = 50  # names in an error message


class WebserviceException(ScriptError):
    """The model is there, but cannot be taken as one."""


class ModelNotFoundException(ModelNotFound, WebserviceException):
    """No model by that name and version."""


class Model:
    """Finds registered models inside a container. Registering them is what scoring_runtime.deploy does."""

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> str:
        """The path, relative to the working directory, of the one file or folder of the model's newest version.

        Without a registered model of that name: `model_name` itself, if it exists in the working directory.
        Raises ModelNotFoundException, or WebserviceException if there is not exactly one file or folder.
        """
        if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
            raise WebserviceException(
                f"version: expected an int or None, got {version!r}. Write get_model_path({model_name!r}, version=1)."
            )
        if _workspace is not None:
            logger.warning("get_model_path() does not download from a workspace; looking for %s here.", model_name)
        model = os.path.join(ROOT, model_name)
        versions = versions_in(model)
        chosen = version if version is not None else max(versions, default=None)
        if chosen is not None and chosen in versions:
            return only_entry(os.path.join(model, versions[chosen]), model_name)
        if os.path.exists(model_name):
            return model_name
        raise not_found(model_name, version, sorted(versions))


def versions_in(model: str) -> dict[int, str]:
    """The versions that there are, each with the name of its folder."""
    try:
        with os.scandir(model) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return {}
    return {int(name): name for name in names if name.isascii() and name.isdecimal()}


def only_entry(folder: str, model_name: str) -> str:
    names = sorted(os.listdir(folder))
    if len(names) != 1:
        raise WebserviceException(
            f"{folder} can contain only 1 file or folder, found {len(names)}{listed(names)}. Put the files of "
            f"{model_name!r} into one folder and register that, or open them below AZUREML_MODEL_DIR."
        )
    return os.path.join(folder, names[0])


def not_found(model_name: str, version: int | None, versions: list[int]) -> ModelNotFoundException:
    wanted = f"Model {model_name!r}" if version is None else f"Model {model_name!r}, version {version},"
    if versions:
        there = f"versions there{listed([str(one) for one in versions])}"
    else:
        try:
            there = f"{ROOT} holds{listed(sorted(os.listdir(ROOT))) or ' nothing'}"
        except OSError:
            there = f"there is no {ROOT} folder"
    return ModelNotFoundException(
        f"{wanted} was not found: {there}; and {os.path.join(os.getcwd(), model_name)} does not exist. "
        f"Deploy with the model, start the server where {ROOT} is, or read AZUREML_MODEL_DIR "
        f"({os.environ.get('AZUREML_MODEL_DIR') or 'not set'})."
    )


def listed(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f": {', '.join(names[:SHOWN])}{more}"


def model_dir() -> Path:
    """AZUREML_MODEL_DIR as an absolute path: one model's folder, or that of all models where there are several."""
    value = os.environ.get("AZUREML_MODEL_DIR")
    if not value:
        raise ModelNotFoundException(
            "AZUREML_MODEL_DIR is not set, so no model was deployed. Set it, or start with --model_dir FOLDER."
        )
    return Path(value).absolute()
