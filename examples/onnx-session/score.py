"""An ONNX model on the accelerator that SCORING_ACCELERATOR names, else on the processor."""

import json
import os

import numpy

from scoring_runtime.api import open_session


def init():
    global session
    session = open_session(os.path.join(os.environ["AZUREML_MODEL_DIR"], "mul.onnx"))


def run(raw_data):
    values = numpy.array(json.loads(raw_data)["data"], dtype="float32")
    return session.run(["Y"], {"X": values})[0]
