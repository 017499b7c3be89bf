"""The same classifier for the servers that have no score.py."""

from __future__ import annotations

from typing import Any

import numpy as np

weights = np.random.default_rng(7).normal(size=(784, 10))


def predict_array(data: np.ndarray) -> list[int]:
    return np.argmax(data @ weights, axis=1).tolist()


def predict(document: Any) -> list[int]:
    return predict_array(np.array(document["data"], dtype=np.float64))
