"""Serves a scikit-learn model that was saved with joblib or pickle.

{"data": [[1, 2], [3, 4]], "method": "predict"}  ->  {"predict": [0, 1]}

Without a method: predict_proba where the model has it, else predict. Data may be rows of values, or rows of
{"column": value}, which need pandas. Other keys are arguments of the method: {"data": ..., "return_std": true}.
"""

from __future__ import annotations

import inspect
import json
import os
from typing import Any

import joblib
import numpy as np

from scoring_runtime.api.response import AMLResponse

__all__ = ["init", "run"]

METHODS = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples"),
    *("transform", "inverse_transform", "apply", "kneighbors"),
)

model: Any


def init() -> None:
    global model
    model = joblib.load(model_file(os.environ["AZUREML_MODEL_DIR"]))


def run(raw_data: str) -> Any:
    try:
        request = json.loads(raw_data)
        if not isinstance(request, dict) or "data" not in request:
            raise ValueError('expected {"data": [[...], ...]}, and if need be a "method"')
        method = method_of(request.pop("method", None))
        data = as_model_wants(request.pop("data"))
        check_arguments(method, request)
        return {method: plain(getattr(model, method)(data, **request))}
    except ValueError as error:  # also what scikit-learn raises for data of a wrong shape
        return AMLResponse(f"This request cannot be scored: {error}", 400)


def model_file(folder: str) -> str:
    """The one file, or the one that is called like a saved model."""
    paths = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
    saved = [path for path in paths if path.endswith((".joblib", ".pkl", ".pickle"))]
    for found in (paths, saved):
        if len(found) == 1:
            return found[0]
    raise FileNotFoundError(f"{folder}: expected one file, or one *.joblib or *.pkl, found {sorted(paths)}")


def method_of(name: Any) -> str:
    """Only those that score: fit() and set_params() would change the model for everybody."""
    there = [one for one in METHODS if hasattr(model, one)]
    if name is None:
        return "predict_proba" if "predict_proba" in there else "predict"
    if name not in there:
        raise ValueError(f"method {name!r}: this model has {', '.join(there)}")
    return str(name)


def check_arguments(method: str, arguments: dict[str, Any]) -> None:
    allowed = inspect.signature(getattr(model, method)).parameters
    if any(one.kind is one.VAR_KEYWORD for one in allowed.values()):
        return
    unknown = [name for name in arguments if name not in allowed]
    if unknown:
        raise ValueError(f"{method}() takes no {', '.join(unknown)}")


def as_model_wants(data: Any) -> Any:
    """Rows with names, if it was fitted with names; else an array."""
    names = getattr(model, "feature_names_in_", None)
    named = bool(data) and isinstance(data, list) and all(isinstance(row, dict) for row in data)
    if not named and names is None:
        try:
            return np.array(data)
        except ValueError:
            raise ValueError("data: expected rows of the same length") from None
    import pandas as pd

    if not named:
        return pd.DataFrame(data, columns=names)
    frame = pd.DataFrame(data)
    if names is None:
        return frame.to_numpy()
    missing = [name for name in names if name not in frame]
    if missing:
        raise ValueError(f"data: rows lack {', '.join(missing)}")
    return frame[list(names)]


def plain(result: Any) -> Any:
    """Some methods return several arrays, or sparse ones."""
    if isinstance(result, tuple):
        return [plain(one) for one in result]
    return result.toarray() if hasattr(result, "toarray") else result
