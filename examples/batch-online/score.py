"""Written for online serving; scores a table too: scoring-serve score.py, or scoring batch run score.py ..."""

import os

import joblib
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


@input_schema("data", NumpyParameterType(np.array([[0.1, -0.2, 0.3]])))
@output_schema(NumpyParameterType(np.array([0.5])))
def run(data):
    return model.predict_proba(data)[:, 1].round(6).tolist()
