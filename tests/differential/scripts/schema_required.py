"""Two required parameters and an optional one."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Standard
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema(param_name="a", param_type=Standard(1))
@input_schema(param_name="b", param_type=Standard("text"))
@output_schema(Standard([1]))
def run(a, b, undeclared="d"):
    return [a, b, undeclared]
