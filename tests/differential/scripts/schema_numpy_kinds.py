"""Integer, text, boolean and structured arrays; and one whose shape is not enforced."""

import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType as Numpy
from inference_schema.schema_decorators import input_schema


def init():
    pass


@input_schema("ints", Numpy(np.array([1, 2], dtype="int32")))
@input_schema("texts", Numpy(np.array(["a", "b"])))
@input_schema("flags", Numpy(np.array([True])))
@input_schema("free", Numpy(np.array([[1.0]]), enforce_shape=False))
@input_schema("single", Numpy(np.array([1.5], dtype="float32")))
def run(ints=[1], texts=["d"], flags=[False], free=[[0]], single=[0]):  # noqa: B006
    return [[str(a.dtype), list(a.shape), repr(a.tolist())] for a in (ints, texts, flags, free, single)]
