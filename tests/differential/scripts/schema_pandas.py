"""A table in the default orient."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.schema_decorators import input_schema, output_schema

SAMPLE = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})


def init():
    pass


@input_schema("data", PandasParameterType(SAMPLE))
@output_schema(PandasParameterType(SAMPLE))
def run(data):
    return {
        "columns": [str(column) for column in data.columns],
        "dtypes": [str(dtype) for dtype in data.dtypes],
        "index": [str(label) for label in data.index],
        "values": repr(data.values.tolist()),
    }
