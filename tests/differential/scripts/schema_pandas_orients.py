"""A table in each other orient."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType as Pandas
from inference_schema.schema_decorators import input_schema

SAMPLE = pd.DataFrame({"a": [1, 2], "b": [3, 4]})


def init():
    pass


@input_schema("split", Pandas(SAMPLE, orient="split"))
@input_schema("values", Pandas(SAMPLE, orient="values"))
@input_schema("index", Pandas(SAMPLE, orient="index"))
@input_schema("columns", Pandas(SAMPLE, orient="columns"))
@input_schema("free", Pandas(SAMPLE, enforce_shape=False))
def run(
    split={"columns": ["a", "b"], "index": [0], "data": [[0, 0]]},  # noqa: B006
    values=[[0, 0]],  # noqa: B006
    index={"0": {"a": 0, "b": 0}},  # noqa: B006
    columns={"a": {"0": 0}, "b": {"0": 0}},  # noqa: B006
    free=[{"a": 0, "b": 0}],  # noqa: B006
):
    frames = (split, values, index, columns, free)
    return [[[str(c) for c in f.columns], [str(i) for i in f.index], repr(f.values.tolist())] for f in frames]
