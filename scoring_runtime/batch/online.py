"""Scores records with a script written for online serving, with the answers that a client would get.

    run(raw_data)               a JSON line, or a file's content, is one request body; rows of a table go together as
                                {"data": [[...], ...]}
    schema-decorated run()      rows go together where the schema has one ndarray or DataFrame; else one by one, each
                                parameter from the column of its name
    @rawhttp run(request)       each record is the body of one POST

A call with many records is undone into its answers; where that cannot be, or where it raised, each goes alone.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from scoring_runtime.api.encode import to_json
from scoring_runtime.api.plain import is_array
from scoring_runtime.api.request import AMLRequest, is_rawhttp
from scoring_runtime.api.response import as_response
from scoring_runtime.errors import BatchError
from scoring_runtime.schemas import Declared, describe
from scoring_runtime.script import Script

if TYPE_CHECKING:
    import pandas

__all__ = ["OnlineScript", "RecordFailure", "is_online"]

HEADERS = [(b"content-type", b"application/json")]
ONLINE_NAMES = {"raw_data", "raw_request", "request"}


class RecordFailure:
    """Stands in the place of an answer: why there is none."""

    def __init__(self, error: BaseException) -> None:
        self.reason = f"{type(error).__name__}: {error}"


def is_online(script: Script, style: str) -> bool:
    """What was asked for, else what run() looks like: decorated, or with the parameter that online scripts have."""
    if style != "auto":
        return style == "online"
    if is_rawhttp(script.run) or describe(script.run) is not None or len(script.data_parameters) > 1:
        return True
    return script.data_parameters[0].name in ONLINE_NAMES


class OnlineScript:
    """score() gives one answer, or one RecordFailure, for each record."""

    def __init__(self, script: Script) -> None:
        #: Told before each call of run().
        self.on_call: Callable[[], None] = lambda: None
        self._declared = describe(script.run)
        self._target: Callable[..., Any] = self._declared.target if self._declared else script.run
        self._parameter = script.data_parameters[0].name
        self._raw = is_rawhttp(script.run)
        self._extra = {"request_headers": {"Content-Type": "application/json"}} if script.takes_headers else {}
        self._loop: asyncio.AbstractEventLoop | None = None  # made in the process that uses it

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()

    # -- bodies: JSON lines and files ---------------------------------------------------------------------------------

    def score_bodies(self, bodies: Sequence[bytes]) -> list[Any]:
        """Each body is one request; JSON lines that are rows of the schema's single table go together."""
        batched = self._batched()
        if batched is not None and len(bodies) > 1:
            rows = [parsed(body) for body in bodies]
            if not any(isinstance(row, dict) and batched.name in row for row in rows) and None not in rows:
                return self._together(rows, lambda some: {batched.name: batched.value_of(some)}, self._one_row)
        return [self._alone(partial(self._body_arguments, body)) for body in bodies]

    def _body_arguments(self, body: bytes) -> dict[str, Any]:
        if self._raw:
            return {self._parameter: AMLRequest(method="POST", path="/score", headers=HEADERS, body=body)}
        if self._declared is None:
            return {self._parameter: body.decode()}
        row, batched = parsed(body), self._batched()
        if batched is not None and not (isinstance(row, dict) and batched.name in row) and row is not None:
            return self._declared.convert_values({batched.name: batched.value_of([row])})
        return self._declared.convert(body)

    # -- rows of a table ----------------------------------------------------------------------------------------------

    def score_table(self, table: pandas.DataFrame) -> list[Any]:
        batched = self._batched()
        if batched is not None:
            rows = batched.rows_of(table)
            return self._together(rows, lambda some: {batched.name: batched.value_of(some)}, self._one_row)
        if self._declared is not None or self._raw:
            records: list[Any] = table.to_dict(orient="records")
            if self._raw:
                return self.score_bodies([to_json(record) for record in records])
            return [self._alone(partial(self._convert, row)) for row in records]
        return self._together(matrix(table), self._text, self._one_text)

    def _convert(self, values: dict[str, Any]) -> dict[str, Any]:
        assert self._declared is not None
        return self._declared.convert_values(values)

    def _text(self, rows: list[Any]) -> dict[str, Any]:
        return {self._parameter: to_json({"data": rows}).decode()}

    def _one_text(self, row: Any) -> Any:
        return self._single(lambda: self._text([row]))

    def _one_row(self, row: Any) -> Any:
        batched = self._batched()
        assert batched is not None
        return self._single(lambda: self._convert({batched.name: batched.value_of([row])}))

    # -- calls --------------------------------------------------------------------------------------------------------

    def _together(
        self, rows: list[Any], values: Callable[[list[Any]], dict[str, Any]], one: Callable[[Any], Any]
    ) -> list[Any]:
        try:
            arguments = values(rows)
            answers = split(self._call(self._convert(arguments) if self._declared else arguments), len(rows))
        except (Exception, SystemExit):
            answers = None
        return answers if answers is not None else [one(row) for row in rows]

    def _single(self, arguments: Callable[[], dict[str, Any]]) -> Any:
        """One row's answer, in the form that it has when rows go together."""
        answer = self._alone(arguments)
        if isinstance(answer, RecordFailure):
            return answer
        answers = split(answer, 1)
        return answer if answers is None else answers[0]

    def _alone(self, arguments: Callable[[], dict[str, Any]]) -> Any:
        try:
            return self._call(arguments())
        except (Exception, SystemExit) as error:
            return RecordFailure(error)

    def _call(self, arguments: dict[str, Any]) -> Any:
        self.on_call()
        result = self._target(**arguments, **self._extra)
        if inspect.isawaitable(result):
            result = self._run_async(result)
        response = as_response(result)
        if response is None:
            return result
        body = response.get_data(as_text=True)
        if response.status_code >= 400:
            raise BatchError(f"run() answered {response.status_code}: {body[:200]}")
        return json.loads(body) if response.is_json else body

    def _run_async(self, awaitable: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(awaitable)

    def _batched(self) -> Batched | None:
        return None if self._declared is None or self._raw else batched_input(self._declared)


class Batched:
    """The one parameter that takes many records at a time."""

    def __init__(self, name: str, columns: list[str] | None, orient: str) -> None:
        self.name = name
        self.columns = columns
        self.orient = orient

    def rows_of(self, table: pandas.DataFrame) -> list[Any]:
        """Rows as JSON would have them: lists for an ndarray, dicts with the sample's columns for a DataFrame."""
        if self.columns is None:
            return matrix(table)
        known = table[self.columns] if set(self.columns) <= set(table.columns) else table
        return known.to_dict(orient="records")

    def value_of(self, rows: list[Any]) -> Any:
        if self.columns is None:
            return [list(row.values()) if isinstance(row, dict) else row for row in rows]
        if self.orient == "records" or (self.orient == "values" and all(isinstance(row, list) for row in rows)):
            return rows
        if not all(isinstance(row, dict) for row in rows):
            raise BatchError(f"The {self.name!r} parameter takes a DataFrame: each record has to be a JSON object.")
        columns = [name for name in self.columns if name in rows[0]] or list(rows[0])
        data = [[row.get(name) for name in columns] for row in rows]
        return as_orient(self.orient, columns, data)


def as_orient(orient: str, columns: list[str], data: list[list[Any]]) -> Any:
    if orient == "values":
        return data
    if orient == "split":
        return {"columns": columns, "index": list(range(len(data))), "data": data}
    if orient == "index":
        return {str(number): dict(zip(columns, row, strict=True)) for number, row in enumerate(data)}
    if orient == "columns":
        return {name: {str(n): row[at] for n, row in enumerate(data)} for at, name in enumerate(columns)}
    import pandas

    return json.loads(pandas.DataFrame(data, columns=columns).to_json(orient="table"))


def batched_input(declared: Declared) -> Batched | None:
    if len(declared.parameters) != 1:
        return None
    name = declared.parameters[0].name
    layers = declared.layers_of(name)
    if len(layers) != 1:
        return None
    kind = layers[0].param_type
    sample = getattr(kind, "sample_input", None)
    if type(kind).__name__ == "PandasParameterType":
        return Batched(name, [str(column) for column in sample.columns], getattr(kind, "orient", "records"))  # type: ignore[union-attr]
    if type(kind).__name__ == "SparkParameterType":
        return Batched(name, list(sample.columns), "records")  # type: ignore[union-attr]
    if type(kind).__name__ == "NumpyParameterType" and getattr(sample, "ndim", 0) > 1:
        return Batched(name, None, "")
    return None


def matrix(table: pandas.DataFrame) -> list[Any]:
    """The rows as lists, each value as its column has it."""
    if len({kind.str for kind in table.dtypes if hasattr(kind, "str")}) == 1 and table.dtypes.iloc[0].kind in "iufb":
        return table.to_numpy().tolist()
    return [list(row) for row in zip(*(table[name].tolist() for name in table.columns), strict=True)]


def parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def split(answer: Any, records: int) -> list[Any] | None:
    """The answer for many records as one for each; None if it does not have that form."""
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except ValueError:
            return None
    if isinstance(answer, dict):
        members = {name: split(value, records) for name, value in answer.items()}
        if not members or any(value is None for value in members.values()):
            return None
        return [dict(zip(members, row, strict=True)) for row in zip(*filter(None, members.values()), strict=True)]
    if is_array(answer):
        answer = answer.to_dict(orient="records") if hasattr(answer, "columns") else list(answer)
    if isinstance(answer, (list, tuple)) and len(answer) == records:
        return list(answer)
    return None
