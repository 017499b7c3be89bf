"""inference-schema is cured when it is imported, once, and not before."""

from __future__ import annotations

import datetime
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

import numpy
import pandas
import pytest
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

from scoring_runtime import schemas
from scoring_runtime.errors import BadInput
from scoring_runtime.schemas.cures import CuringFinder

NUMBER = StandardPythonParameterType(1)
TEXT = StandardPythonParameterType(b"x")


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_install_imports_nothing_heavy() -> None:
    code = (
        "import sys; from scoring_runtime import schemas; schemas.install(); import scoring_runtime.server.swagger; "
        "print(sorted({'numpy', 'pandas', 'simdjson', 'orjson', 'wrapt', 'inference_schema'} & set(sys.modules)))"
    )
    assert in_a_new_process(code) == "[]"


def test_standard_types_need_no_numpy() -> None:
    code = """
import sys
from scoring_runtime import schemas
schemas.install()
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
declared = schemas.describe(input_schema("x", StandardPythonParameterType(1))(lambda x: x))
print(declared.convert(b'{"x": 5}'), "numpy" in sys.modules, "simdjson" in sys.modules)
"""
    assert in_a_new_process(code) == "{'x': 5} False False"


def test_modules_imported_before_install_are_cured_too() -> None:
    code = """
import inference_schema.schema_decorators as decorators
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from scoring_runtime import schemas
schemas.install()
print(schemas.describe(decorators.input_schema("x", StandardPythonParameterType(1))(lambda x: x)) is not None)
"""
    assert in_a_new_process(code) == "True"


def test_missing_inference_schema_stays_a_plain_import_error() -> None:
    code = """
import sys
from scoring_runtime import schemas
schemas.install()
sys.meta_path[:] = sys.meta_path[:1]
sys.modules.pop("inference_schema", None)
try:
    import inference_schema.schema_decorators
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert in_a_new_process(code) == "inference_schema"


def test_finder_finds_nothing_where_no_other_does(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = CuringFinder()
    monkeypatch.setattr(sys, "meta_path", [finder])
    assert finder.find_spec("inference_schema.schema_decorators") is None


def test_loader_shared_with_other_modules_cures_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    executed = []
    loader = types.SimpleNamespace(create_module=lambda spec: None, exec_module=executed.append)
    spec = ModuleSpec("inference_schema.schema_decorators", loader)  # type: ignore[arg-type]
    other = types.SimpleNamespace(find_spec=lambda name, path, target: spec)
    monkeypatch.setattr(sys, "meta_path", [object(), CuringFinder(), other])
    CuringFinder().find_spec("inference_schema.schema_decorators")
    stranger = types.ModuleType("stranger")
    loader.exec_module(stranger)
    assert executed == [stranger]
    assert not hasattr(stranger, "input_schema")


def test_installing_twice_changes_nothing() -> None:
    before = list(sys.meta_path), input_schema
    schemas.install()
    assert (list(sys.meta_path), sys.modules["inference_schema.schema_decorators"].input_schema) == before


@pytest.mark.parametrize("decorate", [lambda sample: input_schema("x", sample), output_schema])
def test_sample_without_a_parameter_type_is_refused(decorate: Any) -> None:
    with pytest.raises(TypeError, match=r"expected an object of a ParameterType class.*got 5"):
        decorate(5)


@pytest.mark.parametrize(
    ("sample", "example"),
    [
        (numpy.array([True, False]), [True, False]),
        (numpy.array(["2020-01-02T03:04:05.000006007"], "datetime64[ns]"), ["2020-01-02 03:04:05.000006"]),
        (numpy.array(["2020-01-02T03:04"], "datetime64[m]"), ["2020-01-02 03:04:00.000000"]),
        (numpy.array(["NaT"], "datetime64[ns]"), ["NaT"]),
        (numpy.array(1.5), 1.5),
        (numpy.array(True), True),
        (numpy.array([[1, 2]]), [[1, 2]]),
        (numpy.array(["a"]), ["a"]),
    ],
    ids=[
        "defect 3: bools",
        "defect 1: ns",
        "defect 4: no comma",
        "not a time",
        "defect 2: 0-d",
        "0-d bool",
        "2-d",
        "text",
    ],
)
def test_examples_are_what_the_parameter_takes(sample: Any, example: Any, convert: Any) -> None:
    param_type = NumpyParameterType(sample)
    assert param_type.input_to_swagger()["example"] == example
    assert convert(param_type, example).shape == sample.shape


def test_scalar_sample_is_documented_as_its_item() -> None:
    schema = NumpyParameterType(numpy.array(1.5)).input_to_swagger()
    assert schema == {"type": "number", "format": "double", "example": 1.5}


@pytest.mark.parametrize("sample", [datetime.date(2020, 1, 1), bytearray(b"x")])
def test_numbers_are_neither_dates_nor_bytes(sample: Any) -> None:
    with pytest.raises((ValueError, AttributeError)):
        StandardPythonParameterType(sample).deserialize_input(5)


def test_defect_11_sample_of_none_stays_refused() -> None:
    with pytest.raises(ValueError, match="cannot be None"):
        input_schema("x", StandardPythonParameterType(None))


def test_defect_13_output_is_left_to_the_server() -> None:
    result = numpy.zeros(2)
    assert output_schema(NumpyParameterType(numpy.zeros(1)))(lambda x: result)(1) is result


def test_defect_16_row_labels_stay_in_the_schema_as_clients_know_it() -> None:
    schema = PandasParameterType(pandas.DataFrame({"a": [1]}), orient="index").input_to_swagger()
    assert schema["required"] == ["0"]


# -- run() called by the script itself, through the layers ------------------------------------------------------------


@input_schema("x", TEXT)
@input_schema("n", NUMBER)
@input_schema("raw", TEXT, convert_to_provided_type=False)
@input_schema("maybe", TEXT, optional=True)
@output_schema(NUMBER)
def run(x: Any, n: Any = 5, raw: Any = "raw", maybe: Any = None) -> Any:
    return x, n, raw, maybe


def test_positional_call_converts() -> None:
    assert run("eHl6", 1) == (b"xyz", 1, "raw", None)


def test_defect_9_call_without_a_defaulted_argument_works() -> None:
    assert run(x="eHl6") == (b"xyz", 5, "raw", None)


def test_default_of_none_stays_none() -> None:
    assert input_schema("x", TEXT)(lambda x=None: x)() is None


def test_default_converts_in_a_call_of_the_scripts_own() -> None:
    assert input_schema("x", TEXT)(lambda x="eHl6": x)() == b"xyz"


def test_optional_argument_converts_by_keyword_only() -> None:
    assert run("eHl6", 1, "raw", "eHl6") == (b"xyz", 1, "raw", "eHl6")
    assert run("eHl6", maybe="eHl6") == (b"xyz", 5, "raw", b"xyz")
    assert run("eHl6", maybe="") == (b"xyz", 5, "raw", "")


def test_call_with_a_wrong_value_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="The 'n' parameter: expected an integer at /n, got the string 'a'"):
        run("eHl6", n="a")


def test_call_without_a_required_argument_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        run()


def test_declared_name_that_the_function_lacks_is_named_in_a_call() -> None:
    with pytest.raises(TypeError, match=r"declares 'y', which run\(x\) does not take"):
        input_schema("y", NUMBER)(lambda x: x)(1)


def test_defect_15_hugging_face_dict_is_not_converted() -> None:
    value = {"parameters": {}, "input_string": ["hi"]}
    assert run(value, "as it is") == (value, "as it is", "raw", None)
