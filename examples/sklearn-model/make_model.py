"""Trains a classifier of iris flowers and writes it: python make_model.py [folder]"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


def main(folder: Path) -> None:
    iris = load_iris()
    names = iris.target_names[iris.target]
    model = LogisticRegression(max_iter=1000, random_state=0).fit(iris.data, names)
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    print(f"Wrote {folder / 'model.joblib'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "model"))
