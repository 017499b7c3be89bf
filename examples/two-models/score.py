"""Two registered models in one service, each found by its name in its newest version."""

import json
from pathlib import Path

from azureml.core.model import Model


def init():
    global prices, taxes
    prices = json.loads(Path(Model.get_model_path("prices")).read_text())
    taxes = json.loads(Path(Model.get_model_path("taxes", version=1)).read_text())


def run(raw_data):
    order = json.loads(raw_data)
    net = prices[order["item"]]
    return {"net": net, "gross": round(net * (1 + taxes[order["country"]]), 2)}
