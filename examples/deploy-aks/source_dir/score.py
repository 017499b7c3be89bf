import json

from azureml.core.model import Model


def init():
    global factor
    with open(Model.get_model_path("my-model")) as file:
        factor = json.load(file)["factor"]


def run(raw_data):
    return [factor * x for x in json.loads(raw_data)["data"]]
