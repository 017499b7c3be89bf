"""run() gets a DataFrame, and returns one."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.schema_decorators import input_schema, output_schema

SAMPLE = pd.DataFrame({"item": ["tea"], "price": [2.5], "count": [4]})
ANSWER = pd.DataFrame({"item": ["tea"], "total": [10.0]})


def init():
    pass


@input_schema("orders", PandasParameterType(SAMPLE))
@output_schema(PandasParameterType(ANSWER))
def run(orders):
    return pd.DataFrame({"item": orders["item"], "total": orders["price"] * orders["count"]})
