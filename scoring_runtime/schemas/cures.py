"""inference-schema, cured as a script imports it: its decorators leave readable layers, its known defects are gone.

install() costs nothing until a script imports inference_schema (22 ms and wrapt): a finder on sys.meta_path lets the
usual ones find the module and runs the cure after it. What is cured, by number in the list of known defects:

 1 datetime64 numpy samples with a unit finer than microseconds      4 their examples have "," before the fraction
 2 0-d numpy samples                                                 3 bool arrays have examples "True", "False"
 5 StandardPythonParameterType(date) cannot convert                  9 a defaulted argument left out is an IndexError
 - StandardPythonParameterType(bytearray) cannot either
10 request_headers shows among the inputs                           17 conversion errors say neither name nor place

Also: a second script with a function of the same name, and decorators of the script's own around a schema.
"""

from __future__ import annotations

import base64
import datetime
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from scoring_runtime.schemas.layers import Layer, chain, innermost

__all__ = ["install"]

PACKAGE = "inference_schema"
MARK = "__scoring_runtime_cured__"


def install() -> None:
    """Cure inference-schema's modules, those imported already and those to come. Calling it again changes nothing."""
    if not any(isinstance(finder, CuringFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, CuringFinder())
    for name, cure in CURES.items():
        if name in sys.modules:
            _cure_once(sys.modules[name], cure)


class CuringFinder:
    """Finds nothing itself: it hands on what the next finders find, with a cure to follow the module's execution."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in CURES:
            return None
        spec = _found_by_others(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                if module.__name__ in CURES:  # a zip's loader is shared by all its modules
                    _cure_once(module, CURES[module.__name__])

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010 - mypy refuses to assign to a method
        return spec


def _found_by_others(name: str, path: Any, target: Any) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        if not isinstance(finder, CuringFinder) and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


def _cure_once(module: ModuleType, cure: Callable[[ModuleType], None]) -> None:
    if not hasattr(module, MARK):
        cure(module)
        setattr(module, MARK, True)


# -- schema_decorators ----------------------------------------------------------------------------------------------


def _cure_decorators(module: Any) -> None:
    import wrapt

    base = module.AbstractParameterType
    util = sys.modules[f"{PACKAGE}.schema_util"]
    util._get_decorators = module._get_decorators = lambda function: list(chain(function))  # type: ignore[attr-defined]

    def layered(layer: Layer, attribute: str, schema: dict[str, Any]) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            _register(module, attribute, schema, layer.versions, function)
            return wrapt.FunctionWrapper(function, layer)

        return decorate

    def input_schema(
        param_name: str, param_type: Any, convert_to_provided_type: bool = True, optional: bool = False
    ) -> Callable[[Any], Any]:
        """Declare one argument of run(): its type, from a sample, for the conversion and the documentation."""
        _check_type(param_type, base)
        schema = param_type.input_to_swagger()
        layer = Layer(
            schema, param_type.supported_versions(), param_name, param_type, bool(convert_to_provided_type), optional
        )
        return layered(layer, module.INPUT_SCHEMA_ATTR, {param_name: schema})

    def output_schema(output_type: Any) -> Callable[[Any], Any]:
        """Declare what run() returns, for the documentation only."""
        _check_type(output_type, base)
        schema = output_type.input_to_swagger()
        return layered(Layer(schema, output_type.supported_versions()), module.OUTPUT_SCHEMA_ATTR, schema)

    module.input_schema = input_schema
    module.output_schema = output_schema


def _check_type(param_type: Any, base: type) -> None:
    if not isinstance(param_type, base):
        raise TypeError(
            f"expected an object of a ParameterType class, such as NumpyParameterType(sample), got {param_type!r}"
        )


def _register(module: Any, attribute: str, schema: dict[str, Any], versions: list[str], function: Any) -> None:
    """inference-schema's registry, kept for scripts that read it through schema_util."""
    last = innermost(function)
    key = module._get_function_full_qual_name(last)
    if not any(isinstance(getattr(each, "_self_wrapper", None), Layer) for each in chain(function)):
        module.__functions_schema__.pop(key, None)  # another function of this name, from another script
        module.__versions__.pop(key, None)
    module._add_schema_to_global_schema_dictionary(attribute, schema, last)
    module._add_versions_to_global_versions_dictionary(attribute, versions, last)
    inputs = module.__functions_schema__[key].get(module.INPUT_SCHEMA_ATTR)
    if inputs is not None:
        inputs["properties"].pop("request_headers", None)
        inputs["example"].pop("request_headers", None)


# -- parameter types ------------------------------------------------------------------------------------------------


def _cure_abstract(module: Any) -> None:
    """Examples are made of numpy items here: dates by their text, bools as bools, any unit of datetime64."""
    base = module.AbstractParameterType
    of_record = base._get_data_record_swagger_sample.__func__

    def sample(cls: Any, schema: dict[str, Any], item: Any) -> Any:
        return bool(item) if schema.get("type") == "boolean" else of_record(cls, schema, item)

    def date_time(cls: Any, item: Any) -> str:
        moment = item.astype("datetime64[us]").astype(datetime.datetime)
        return "NaT" if moment is None else str(moment.strftime("%Y-%m-%d %H:%M:%S.%f"))

    base._get_data_record_swagger_sample = classmethod(sample)
    base._datetime_item_to_string = classmethod(date_time)


def _cure_numpy(module: Any) -> None:
    numpy_type = module.NumpyParameterType
    to_swagger = numpy_type.input_to_swagger

    def input_to_swagger(self: Any) -> dict[str, Any]:
        if self.sample_input.ndim:
            schema: dict[str, Any] = to_swagger(self)
            return schema
        item = module.Dtype2Swagger.convert_dtype_to_swagger(self.sample_input.dtype)
        example = self._get_data_record_swagger_sample(item, self.sample_input[()])
        return {**item, "example": example}

    numpy_type.input_to_swagger = input_to_swagger


def _cure_standard(module: Any) -> None:
    standard_type = module.StandardPythonParameterType
    deserialize = standard_type.deserialize_input

    def deserialize_input(self: Any, input_data: Any) -> Any:
        if isinstance(input_data, str):
            if self.sample_data_type is datetime.date:
                return datetime.datetime.strptime(input_data, module.DATE_FORMAT).date()
            if self.sample_data_type is bytearray:
                return bytearray(base64.b64decode(input_data))
        if self.sample_data_type is datetime.date:
            raise ValueError(f"expected {module.DATE_FORMAT}")
        return deserialize(self, input_data)

    standard_type.deserialize_input = deserialize_input


CURES: dict[str, Callable[[Any], None]] = {
    f"{PACKAGE}.schema_decorators": _cure_decorators,
    f"{PACKAGE}.parameter_types.abstract_parameter_type": _cure_abstract,
    f"{PACKAGE}.parameter_types.numpy_parameter_type": _cure_numpy,
    f"{PACKAGE}.parameter_types.standard_py_parameter_type": _cure_standard,
}
