"""A numpy parameter."""

import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema

SAMPLE = np.array([[1.0, 2.0, 3.0]])


def init():
    pass


@input_schema("data", NumpyParameterType(SAMPLE))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data):
    return {
        "type": type(data).__name__,
        "dtype": str(data.dtype),
        "shape": list(data.shape),
        "text": repr(data.tolist()),
    }
