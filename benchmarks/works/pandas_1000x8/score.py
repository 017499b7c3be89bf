"""A table of a thousand customers, its input declared by the pandas schema; the script only adds up."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.schema_decorators import input_schema

SAMPLE = pd.DataFrame(
    {
        "customer": [1],
        "age": [42],
        "income": [1234.5],
        "balance": [-12.25],
        "city": ["Oslo"],
        "segment": ["retail"],
        "active": [True],
        "joined": ["2024-01-31"],
    }
)


def init():
    pass


@input_schema("data", PandasParameterType(SAMPLE))
def run(data):
    return [float(len(data)), float(data["income"].sum()), float(data["active"].sum())]
