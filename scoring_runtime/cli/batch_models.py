"""`scoring batch run --model name:1`: registered models as the folder that AZUREML_MODEL_DIR names.

One model's folder is azureml-models/<name>/<version>/, that of several azureml-models/, as in a service. They are
downloaded once into a folder of the cache that is named by their contents, so that a run that continues finds them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoring_runtime.deploy import Model, Workspace

__all__ = ["folder_of"]

LONG_ID = re.compile(r".*/models/([^/]+)/versions/(\d+)")


def folder_of(names: Sequence[str], workspace: str | None) -> str:
    """AZUREML_MODEL_DIR for these models. Raises WorkspaceError and ModelNotFound."""
    from scoring_runtime.deploy import Workspace

    opened = Workspace(workspace)
    models = [model_of(opened, name) for name in names]
    known = [[model.id, model.record["basename"], model.record["files"]] for model in models]
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
    root = os.path.join(cache(), digest, "azureml-models")
    for model in models:
        place(model, os.path.join(root, model.name, str(model.version)))
    return os.path.join(root, models[0].name, str(models[0].version)) if len(models) == 1 else root


def model_of(workspace: Workspace, text: str) -> Model:
    """`name`, `name:1`, `azureml:name:1`, `azureml:name@latest`, or an id of Azure's with /models/name/versions/1."""
    from scoring_runtime.deploy import Model

    long = LONG_ID.fullmatch(text)
    name = f"{long[1]}:{long[2]}" if long else text.removeprefix("azureml:").removesuffix("@latest")
    return Model(workspace, id=name) if ":" in name else Model(workspace, name)


def place(model: Model, folder: str) -> None:
    """Beside its place and moved there, so that it is whole where it is."""
    if os.path.isdir(folder):
        return
    beside = f"{folder}.{uuid.uuid4().hex[:12]}"
    os.makedirs(beside)
    model.download(beside)
    try:
        os.replace(beside, folder)
    except OSError:  # another process was quicker
        if not os.path.isdir(folder):
            raise


def cache() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "scoring-runtime", "batch-models")
