"""Standard Python parameters, each with a default, and the headers."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Standard
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema("number", Standard(1))
@input_schema("ratio", Standard(0.5))
@input_schema("name", Standard("x"))
@input_schema("flag", Standard(True))
@input_schema("items", Standard([1, 2]))
@input_schema("mapping", Standard({"k": 1}))
@input_schema("raw", Standard(b"bytes"))
@output_schema(Standard({"k": 1}))
def run(
    number=7,
    ratio=0.25,
    name="default",
    flag=False,
    items=[3],  # noqa: B006
    mapping={"d": 1},  # noqa: B006
    raw="YWJj",
    request_headers=None,
):
    values = {"number": number, "ratio": ratio, "name": name, "flag": flag, "items": items, "mapping": mapping}
    values["raw"] = str(raw)
    values["headers"] = request_headers.get("X-Mine")
    return values
