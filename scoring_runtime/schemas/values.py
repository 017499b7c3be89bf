"""From a parsed JSON value to what a parameter type stands for: the general path, right for every type.

The rules are inference-schema's own: a value that already is of the sample's type passes as it is (so true passes
for int), anything else goes through deserialize_input; dicts and lists are entered where the sample holds types.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from scoring_runtime.schemas.misfit import Misfit

__all__ = ["Convert", "converter_for", "plain_class"]

Convert = Callable[[Any], Any]

WORDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "a boolean",
    dict: "an object",
    list: "an array",
    tuple: "an array",
    bytes: "a base64 string",
    bytearray: "a base64 string",
    datetime.date: "a date (YYYY-MM-DD)",
    datetime.datetime: "a date-time string",
    datetime.time: "a time string",
}


def converter_for(param_type: Any) -> Convert:
    """Raises Misfit, with the place inside the value, when called on what the type cannot take."""
    plain = plain_class(param_type)
    if plain == "NumpyParameterType":
        from scoring_runtime.schemas.numpy_input import NumpyInput

        return NumpyInput(param_type).convert
    if plain == "PandasParameterType":
        from scoring_runtime.schemas.pandas_input import PandasInput

        return PandasInput(param_type).convert
    if plain == "SparkParameterType":
        from scoring_runtime.schemas.spark_input import SparkInput

        return SparkInput(param_type).convert
    sample_class = getattr(param_type, "sample_data_type", None)
    if sample_class is dict and hasattr(param_type, "sample_data_type_map"):
        members = {key: converter_for(member) for key, member in param_type.sample_data_type_map.items()}
        return _object_converter(members)
    if sample_class in (list, tuple) and hasattr(param_type, "sample_data_type_list"):
        items = param_type.sample_data_type_list
        return _array_converter(converter_for(items[0]) if items else None)
    return _leaf_converter(param_type, sample_class)


def plain_class(param_type: Any) -> str:
    """The name of inference-schema's class that does the converting, "" if the script's own class does."""
    for each in type(param_type).__mro__:
        if "deserialize_input" in vars(each):
            return each.__name__ if each.__module__.startswith("inference_schema.parameter_types.") else ""
    return ""


def _object_converter(members: dict[str, Convert]) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit("an object", value)
        if not members:
            return value
        converted = dict(value)
        for key, member in members.items():
            if key in converted:
                try:
                    converted[key] = member(converted[key])
                except Misfit as misfit:
                    raise misfit.under(key) from misfit.__cause__
        return converted

    return convert


def _array_converter(item: Convert | None) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise Misfit("an array", value)
        if item is None:
            return value
        converted = []
        for each in value:
            try:
                converted.append(item(each))
            except Misfit as misfit:
                raise misfit.under(len(converted)) from misfit.__cause__
        return converted

    return convert


def _leaf_converter(param_type: Any, sample_class: Any) -> Convert:
    is_standard = plain_class(param_type) == "StandardPythonParameterType"
    expected = WORDS.get(sample_class, "") if is_standard else ""
    expected = expected or f"what {type(param_type).__name__} takes"
    deserialize = param_type.deserialize_input

    def convert(value: Any) -> Any:
        if isinstance(sample_class, type) and isinstance(value, sample_class):
            return value
        try:
            return deserialize(value)
        except Exception as error:
            reason = "" if is_standard and sample_class in (int, float, str, bool) else str(error)
            raise Misfit(expected, value, reason=reason) from error

    return convert
