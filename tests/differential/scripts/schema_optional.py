"""optional=True and convert_to_provided_type=False."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Standard
from inference_schema.schema_decorators import input_schema


def init():
    pass


@input_schema("number", Standard(1), optional=True)
@input_schema("loose", Standard(1), convert_to_provided_type=False)
def run(number=None, loose=5):
    return {"number": number, "loose": loose}
