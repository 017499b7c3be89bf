"""The shape that Power BI looks for: Inputs and GlobalParameters come, Results go."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

ROWS = PandasParameterType(pd.DataFrame({"rooms": [3], "area": [80.0]}))
INPUTS = StandardPythonParameterType({"WebServiceInput0": ROWS})
PARAMETERS = StandardPythonParameterType(1000.0)
RESULTS = StandardPythonParameterType({"WebServiceOutput0": StandardPythonParameterType([95000.0])})


def init():
    pass


@input_schema("Inputs", INPUTS)
@input_schema("GlobalParameters", PARAMETERS)
@output_schema(RESULTS)
def run(Inputs, GlobalParameters):  # noqa: N803 - the names that Power BI looks for
    rows = Inputs["WebServiceInput0"]
    prices = (rows["area"] + 5 * rows["rooms"]) * GlobalParameters
    return {"Results": {"WebServiceOutput0": prices.tolist()}}
