"""The Power BI shape: Inputs and GlobalParameters, tables inside a dict."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

TABLE = PandasParameterType(pd.DataFrame({"a": [1.5], "b": ["x"]}))


def init():
    pass


@input_schema("Inputs", StandardPythonParameterType({"WebServiceInput0": TABLE}))
@input_schema("GlobalParameters", StandardPythonParameterType(1.0))
@output_schema(StandardPythonParameterType({"Results": {"WebServiceOutput0": [0.5]}}))
def run(Inputs, GlobalParameters=2.0):  # noqa: N803
    frame = Inputs["WebServiceInput0"]
    rows = repr(frame.values.tolist())
    return {"Results": {"WebServiceOutput0": rows, "columns": list(frame.columns), "factor": GlobalParameters}}
