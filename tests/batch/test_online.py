"""Scripts written for online serving, on records: the answers that a client would get, one for each record."""

from __future__ import annotations

import pandas
import pytest

from scoring_runtime import schemas
from scoring_runtime.batch.online import OnlineScript, RecordFailure, is_online, split
from scoring_runtime.script import load_script

NUMPY = """
import numpy as np
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
calls = []
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
def run(data):
    calls.append(len(data))
    if (data < 0).any():
        raise ValueError("negative")
    return data.sum(axis=1).tolist()
"""
PANDAS = """
import pandas as pd
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
calls = []
@input_schema("data", PandasParameterType(pd.DataFrame({{"a": [1], "b": ["x"]}}), orient="{orient}"))
def run(data):
    calls.append(len(data))
    return {{"predictions": (data["a"] * 2).tolist(), "labels": data["b"].tolist()}}
"""
TWO = """
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
@input_schema("a", StandardPythonParameterType(1))
@input_schema("b", StandardPythonParameterType(2))
def run(a, b):
    return a + b
"""
TEXT = """
import json
calls = []
def run(raw_data):
    data = json.loads(raw_data)["data"]
    calls.append(len(data))
    if [3, 0.5] in data:
        raise ValueError("three")
    return json.dumps({"result": [row[0] * 2 for row in data]})
"""
TABLE = pandas.DataFrame({"a": [1, 2, 3], "b": [0.5, 0.5, 0.5]})


@pytest.fixture
def online(tmp_path):
    made = []

    def make(text: str):
        (tmp_path / "score.py").write_text(text)
        schemas.install()
        script = load_script("score.py", str(tmp_path), init_required=False)
        assert is_online(script, "auto")
        made.append(OnlineScript(script))
        return made[-1], getattr(script.module, "calls", [])

    yield make
    for script in made:
        script.close()


def test_rows_of_a_table_go_together_as_an_array(online):
    script, calls = online(NUMPY)
    assert script.score_table(TABLE) == [1.5, 2.5, 3.5]
    assert calls == [3]


def test_a_bad_record_gets_its_own_failure_and_no_other(online):
    script, calls = online(NUMPY)
    answers = script.score_table(TABLE.assign(b=[0.5, -9, 0.5]))
    assert [answers[0], answers[2]] == [1.5, 3.5]
    assert answers[1].reason == "ValueError: negative"
    assert calls == [3, 1, 1, 1]


@pytest.mark.parametrize("orient", ["records", "split", "index", "columns", "table"])
def test_rows_of_a_table_go_together_as_a_dataframe_with_the_samples_columns(online, orient):
    script, calls = online(PANDAS.format(orient=orient))
    table = pandas.DataFrame({"id": [7, 8], "b": ["x", "y"], "a": [1, 2]})
    assert script.score_table(table) == [{"predictions": 2, "labels": "x"}, {"predictions": 4, "labels": "y"}]
    assert calls == [2]


def test_the_orient_values_has_no_column_names(online):
    script, _ = online(PANDAS.format(orient="values").replace('data["a"]', "data[0]").replace('data["b"]', "data[1]"))
    assert script.score_bodies([b'[1, "x"]', b'[2, "y"]'])[0] == {"predictions": 2, "labels": "x"}


def test_json_lines_may_be_rows_or_whole_bodies(online):
    script, calls = online(NUMPY)
    rows = [b"[1, 2]", b'{"x": 3, "y": 4}']
    assert script.score_bodies(rows) == [3.0, 7.0]
    assert script.score_bodies(rows[:1]) == [[3.0]]
    assert script.score_bodies([b'{"data": [[1, 2], [3, 4]]}', b'{"data": [[5, 6]]}']) == [[3.0, 7.0], [11.0]]
    assert calls == [2, 1, 2, 1]


def test_a_line_that_is_not_json_fails_alone(online):
    script, _ = online(NUMPY)
    answers = script.score_bodies([b'{"data": [[1, 2]]}', b"nonsense"])
    assert answers[0] == [3.0]
    assert "BadInput" in answers[1].reason


def test_several_parameters_take_the_columns_of_their_names(online):
    script, _ = online(TWO)
    assert script.score_table(pandas.DataFrame({"a": [1, 2], "b": [10, 20], "c": [0, 0]})) == [11, 22]
    assert script.score_bodies([b'{"a": 1, "b": 2}']) == [3]
    assert "not provided for the 'b' parameter" in script.score_bodies([b'{"a": 1}'])[0].reason


def test_undecorated_scripts_get_rows_under_data(online):
    script, calls = online(TEXT)
    answers = script.score_table(TABLE)
    assert [getattr(a, "reason", a) for a in answers[:2]] == [{"result": 2}, {"result": 4}]
    assert answers[2].reason == "ValueError: three"
    assert calls == [3, 1, 1, 1]


def test_undecorated_scripts_get_each_json_line_as_a_body(online):
    script, _ = online("def run(raw_data):\n    return raw_data.upper()")
    assert script.score_bodies([b'{"a": 1}', b"b"]) == ['{"A": 1}', "B"]


def test_an_answer_for_all_records_makes_each_go_alone(online):
    script, _ = online("def run(raw_data, request_headers):\n    return [raw_data, request_headers['Content-Type']]")
    answers = script.score_table(TABLE[:1])
    assert answers == [['{"data": [[1, 0.5]]}', "application/json"]]


def test_mixed_columns_keep_their_types(online):
    script, _ = online("import json\ndef run(raw_data):\n    return json.loads(raw_data)['data']")
    table = pandas.DataFrame({"n": [1, 2], "s": ["a", "b"]})
    assert script.score_table(table) == [[1, "a"], [2, "b"]]


def test_async_run_is_awaited(online):
    script, _ = online("async def run(raw_data):\n    return raw_data")
    assert script.score_bodies([b"a", b"b"]) == ["a", "b"]


def test_rawhttp_scripts_get_a_request_and_answer_with_a_response(online):
    script, _ = online("""
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
@rawhttp
def run(request):
    body = request.get_json()
    if body["a"] == 2:
        return AMLResponse("no twos", 400)
    return AMLResponse({"got": body["a"]}, 200)
""")
    answers = script.score_table(TABLE[["a"]])
    assert [answers[0], answers[2]] == [{"got": 1}, {"got": 3}]
    assert answers[1].reason == "BatchError: run() answered 400: no twos"


def test_each_call_is_announced(online):
    heard = []
    script, _ = online(NUMPY)
    script.on_call = lambda: heard.append(1)
    script.score_table(TABLE)
    assert heard == [1]


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ([1, 2], [1, 2]),
        ({"a": [1, 2], "b": ["x", "y"]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ('{"a": [1, 2]}', [{"a": 1}, {"a": 2}]),
        (pandas.DataFrame({"p": [1, 2]}), [{"p": 1}, {"p": 2}]),
        (pandas.Series([1, 2]), [1, 2]),
        ([1, 2, 3], None),
        ({"a": [1, 2], "b": 7}, None),
        ({}, None),
        ("text", None),
        (5, None),
    ],
)
def test_an_answer_is_split_only_where_it_has_one_part_for_each_record(answer, parts):
    assert split(answer, 2) == parts


@pytest.mark.parametrize(
    ("text", "style", "online"),
    [
        ("def run(mini_batch): ...", "auto", False),
        ("def run(data): ...", "auto", False),
        ("def run(raw_data): ...", "auto", True),
        ("def run(a, b): ...", "auto", True),
        ("def run(raw_data): ...", "mini-batch", False),
        ("def run(data): ...", "online", True),
    ],
)
def test_how_run_looks_says_how_it_is_called_unless_the_user_does(tmp_path, text, style, online):
    (tmp_path / "score.py").write_text(text)
    assert is_online(load_script("score.py", str(tmp_path), init_required=False), style) is online


def test_a_failure_says_what_was_raised():
    assert RecordFailure(KeyError("a")).reason == "KeyError: 'a'"


def test_a_record_whose_run_ends_the_process_fails_alone(online):
    script, _ = online(TEXT.replace('raise ValueError("three")', "raise SystemExit(3)"))
    answers = script.score_table(pandas.DataFrame({"a": [1, 3], "b": [0.5, 0.5]}))
    assert answers[0] == {"result": 2}
    assert isinstance(answers[1], RecordFailure)
