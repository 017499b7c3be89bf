"""The same regression for the servers that have no score.py."""

from __future__ import annotations

from typing import Any

import numpy as np

weights = np.linspace(-1.0, 1.0, 10)
bias = 0.25


def predict_array(rows: np.ndarray) -> list[float]:
    probabilities = 1.0 / (1.0 + np.exp(-(rows @ weights + bias)))
    return probabilities.tolist()


def predict(document: Any) -> list[float]:
    return predict_array(np.array(document["data"]))
