"""Only the output is declared: run() is schema-decorated all the same."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import output_schema


def init():
    pass


@output_schema(StandardPythonParameterType({"r": 1}))
def run(data, factor=2):
    return {"data": data, "factor": factor, "type": type(data).__name__}
