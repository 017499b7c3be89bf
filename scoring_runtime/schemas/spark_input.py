"""JSON records into a Spark DataFrame with the sample's schema, each value checked and converted where it stands.

As inference-schema does it, except that a whole number passes where a fraction is declared (JavaScript writes 1.0 as
1), that null passes in every column which may be null, and that a misfit is named by row and column. Spark is told by
its types' own names, so that nothing of it is imported before a request comes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from scoring_runtime.schemas.misfit import Misfit

__all__ = ["SparkInput", "reader_of"]

Reader = Callable[[Any], Any]
WHOLE = {"byte": 8, "short": 16, "integer": 32, "long": 64}


class SparkInput:
    """The conversion of one SparkParameterType, decided from its sample."""

    def __init__(self, param_type: Any) -> None:
        self._deserialize: Reader = param_type.deserialize_input
        self._schema = param_type.sample_input.schema
        self._read_row = reader_of(self._schema) if param_type.apply_sample_schema else None

    def convert(self, value: Any) -> Any:
        if hasattr(value, "sparkSession"):
            return value
        if not isinstance(value, list):
            raise Misfit("an array of objects, one for each row", value)
        try:
            if self._read_row is None:
                return self._deserialize(value)
            rows = [at(row, self._read_row, record) for row, record in enumerate(value)]
            from pyspark.sql import SparkSession

            return SparkSession.builder.getOrCreate().createDataFrame(rows, self._schema)
        except Misfit:
            raise
        except Exception as error:  # what Spark itself does not take, such as null where the schema allows none
            raise Misfit("rows of the sample's schema", value, reason=error) from error


def reader_of(data_type: Any) -> Reader:
    """From a JSON value to what Spark takes for one of its types; null stays null, Spark decides whether it may."""
    read = READERS.get(data_type.typeName(), anything)(data_type)
    return lambda value: None if value is None else read(value)


def at(place: object, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except Misfit as misfit:
        raise misfit.under(place) from misfit.__cause__


def struct(data_type: Any) -> Reader:
    fields = {field.name: reader_of(field.dataType) for field in data_type.fields}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit(f"an object with {', '.join(fields)}", value)
        for name in fields:
            if name not in value:
                raise Misfit(f"the column {name!r}", value)
        return tuple(at(name, read_field, value[name]) for name, read_field in fields.items())

    return read


def array(data_type: Any) -> Reader:
    read_item = reader_of(data_type.elementType)

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise Misfit("an array", value)
        return [at(place, read_item, item) for place, item in enumerate(value)]

    return read


def mapping(data_type: Any) -> Reader:
    read_item = reader_of(data_type.valueType)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit("an object", value)
        return {key: at(key, read_item, item) for key, item in value.items()}

    return read


def whole(data_type: Any) -> Reader:
    bits = WHOLE[data_type.typeName()]

    def read(value: Any) -> Any:
        if type(value) is not int or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise Misfit(f"an integer of {bits} bits", value)
        return value

    return read


def fraction(data_type: Any) -> Reader:
    def read(value: Any) -> Any:
        if type(value) not in (int, float):
            raise Misfit("a number", value)
        return float(value)

    return read


def boolean(data_type: Any) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not bool:
            raise Misfit("a boolean", value)
        return value

    return read


def text(expected: str, parse: Reader) -> Callable[[Any], Reader]:
    """For types that JSON writes as a string, or as a number (decimals)."""

    def reader(data_type: Any) -> Reader:
        def read(value: Any) -> Any:
            if isinstance(value, (bool, list, dict)):
                raise Misfit(expected, value)
            try:
                return parse(str(value))
            except Exception as error:
                raise Misfit(expected, value, reason=error) from error

        return read

    return reader


def moment(value: str) -> Any:
    from dateutil import parser

    return parser.parse(value)


def anything(data_type: Any) -> Reader:
    return lambda value: value


READERS: dict[str, Callable[[Any], Reader]] = {
    "struct": struct,
    "array": array,
    "map": mapping,
    **dict.fromkeys(WHOLE, whole),
    "float": fraction,
    "double": fraction,
    "boolean": boolean,
    "decimal": text("a decimal number", Decimal),
    "date": text("a date", lambda value: moment(value).date()),
    "timestamp": text("a date-time", moment),
    "timestamp_ntz": text("a date-time", moment),
    "binary": text("a base64 string", lambda value: bytearray(base64.b64decode(value))),
}
