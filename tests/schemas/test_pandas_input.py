from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType

from scoring_runtime.schemas.pandas_input import PandasInput

bounded = settings(
    derandomize=True,
    deadline=None,
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# read_json tries labels and columns as dates, and says so where it is not sure of the format.
pytestmark = pytest.mark.filterwarnings("ignore:Could not infer format:UserWarning")

names = st.sampled_from(["a", "b", "c", "1", "02", "date", "x_at", "2020-01-01", "Ünï", "", "timestamp", "1.5"])
finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
CELLS = {
    "float64": finite,
    "float32": st.floats(-1024, 1024, width=32),
    "int64": st.integers(-(2**62), 2**62),
    "int8": st.integers(-128, 300),
    "bool": st.booleans(),
    "object": st.text(max_size=3),
    "str": st.text(max_size=3),
    "string": st.sampled_from(["x", "y"]),
    "datetime64[ns]": st.sampled_from(["2020-01-01", "2020-01-02T03:04:05", 1600000000000]),
    "category": st.sampled_from(["x", "y"]),
    "Int64": st.integers(-5, 5),
}
odd_cells = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), finite, st.text(max_size=2), st.just(float("nan")), st.just([1])
)
SAMPLES = {"bool": [True], "object": ["x"], "str": ["x"], "string": ["x"], "category": ["x"]}


@st.composite
def tables(draw: Any) -> tuple[pandas.DataFrame, list[dict[str, Any]]]:
    """A sample, and records that mostly are like it."""
    columns = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    dtypes = [draw(st.sampled_from(list(CELLS))) for _ in columns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = pandas.DataFrame(
            {
                name: pandas.Series(SAMPLES.get(dtype, [1])).astype(dtype)
                for name, dtype in zip(columns, dtypes, strict=True)
            }
        )
    oddity = draw(st.sampled_from([0, 0, 0, 1, 2, 3, 4]))
    records: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(0, 4))):
        record = {name: draw(CELLS[dtype]) for name, dtype in zip(columns, dtypes, strict=True)}
        if oddity == 1:
            record[draw(st.sampled_from(columns))] = draw(odd_cells)
        elif oddity == 2:
            record = {name: record[name] for name in draw(st.permutations(columns))}
        elif oddity == 3 and draw(st.booleans()):
            record.pop(draw(st.sampled_from(columns)))
        elif oddity == 4:
            record[draw(names)] = draw(odd_cells)
        records.append(record)
    return sample, records


def converted(convert: Any, *args: Any, **options: Any) -> pandas.DataFrame | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame: pandas.DataFrame = convert(*args, **options)
        except Exception:
            return None
        return frame


def assert_same(ours: pandas.DataFrame | None, theirs: pandas.DataFrame | None) -> None:
    """Equal but for the last digits of floats: read_json reads fifteen decimals and drops the rest."""
    if theirs is None or ours is None:
        assert ours is theirs
        return
    assert type(ours.index) is type(theirs.index)
    assert type(ours.columns) is type(theirs.columns)
    pandas.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=1e-11, atol=1e-15, check_freq=False)
    for (_, our_column), (_, their_column) in zip(ours.items(), theirs.items(), strict=True):
        if our_column.dtype == object:
            assert list(map(type, our_column)) == list(map(type, their_column))


@bounded
@given(table=tables(), dtypes=st.booleans(), shape=st.booleans())
def test_records_convert_as_read_json_and_astype_do(convert: Any, table: Any, dtypes: bool, shape: bool) -> None:
    sample, records = table
    param_type = PandasParameterType(sample, dtypes, shape)
    body = json.dumps({"data": records}).encode()
    theirs = converted(param_type.deserialize_input, json.loads(body)["data"])
    assert_same(converted(convert, param_type, body), theirs)


@bounded
@given(table=tables(), dtypes=st.booleans(), orient=st.sampled_from(["split", "values", "index", "columns"]))
def test_other_orients_convert_as_read_json_and_astype_do(convert: Any, table: Any, dtypes: bool, orient: str) -> None:
    sample, records = table
    columns = list(dict.fromkeys(name for record in records for name in record))
    rows = [[record.get(name) for name in columns] for record in records]
    value: Any = {
        "split": {"columns": columns, "index": list(range(len(rows))), "data": rows},
        "values": rows,
        "index": {str(position): record for position, record in enumerate(records)},
        "columns": {
            name: {str(row): cells[place] for row, cells in enumerate(rows)} for place, name in enumerate(columns)
        },
    }[orient]
    param_type = PandasParameterType(sample, dtypes, orient=orient)
    body = json.dumps({"data": value}).encode()
    theirs = converted(param_type.deserialize_input, json.loads(body)["data"])
    assert_same(converted(convert, param_type, body), theirs)


@pytest.mark.parametrize(
    "value",
    [
        {"columns": ["a"], "data": [[1], [2]]},
        {"columns": ["a"], "index": None, "data": [[1], [2]]},
        {"columns": ["a"], "index": ["x", "y"], "data": [[1], [2]]},
        {"columns": ["a"], "index": [5, 4], "data": [[1], [2]]},
        {"columns": ["a"], "index": [0.0, 1.0], "data": [[1], [2]]},
        {"columns": [0], "data": [[1]]},
        {"columns": ["a"], "index": [0], "data": [[1], [2]]},
        {"columns": ["a"], "data": [[1, 2]]},
        {"columns": ["a"], "data": [1]},
        {"columns": ["a"], "data": []},
        {"columns": ["a"], "data": [[1]], "extra": 1},
    ],
)
def test_split_tables_convert_as_read_json_does(convert: Any, value: Any) -> None:
    param_type = PandasParameterType(pandas.DataFrame({"a": [1]}), orient="split")
    assert_same(converted(convert, param_type, value), converted(param_type.deserialize_input, value))


def mixed_records(count: int) -> list[dict[str, Any]]:
    return [{"x": n / 3, "n": n, "s": f"name {n}", "b": n % 2 == 0, "m": n if n % 2 else n / 2} for n in range(count)]


@pytest.mark.parametrize("orient", ["records", "split", "values"])
def test_fast_path_is_taken_for_plain_tables(orient: str) -> None:
    sample = pandas.DataFrame(mixed_records(2))
    table = PandasInput(PandasParameterType(sample, orient=orient, enforce_column_type=orient != "values"))
    table._deserialize = None
    value = json.loads(pandas.DataFrame(mixed_records(50)).to_json(orient=orient))
    assert table.convert(value).shape == (50, 5)


def test_fast_path_is_taken_without_simdjson(convert: Any, no_simdjson: None) -> None:
    frame = convert(PandasParameterType(pandas.DataFrame(mixed_records(2))), mixed_records(5))
    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(mixed_records(5)))


def test_floats_are_bit_exact(convert: Any) -> None:
    values = [n / 3 for n in range(100)]
    frame = convert(PandasParameterType(pandas.DataFrame({"x": [1.5]})), [{"x": value} for value in values])
    assert frame["x"].tolist() == values


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_float_in_a_column_of_texts_gets_the_text_read_json_gives_it(convert: Any, dtype: str) -> None:
    param_type = PandasParameterType(pandas.DataFrame({"x": pandas.Series(["a"]).astype(dtype)}))
    value = [{"x": 1.0053074588959772e16}]
    assert_same(converted(convert, param_type, value), converted(param_type.deserialize_input, value))


def test_integers_beyond_int64_among_floats_are_read_as_read_json_reads_them(convert: Any) -> None:
    param_type = PandasParameterType(pandas.DataFrame({"x": [1.5]}))
    value = [{"x": 2**63}, {"x": 0.5}]
    assert_same(converted(convert, param_type, value), converted(param_type.deserialize_input, value))


def test_columns_named_like_dates_are_converted(convert: Any) -> None:
    param_type = PandasParameterType(pandas.DataFrame({"made_at": pandas.to_datetime(["2020-01-01"])}))
    frame = convert(param_type, [{"made_at": "2021-02-03T04:05:06"}])
    assert frame["made_at"][0] == pandas.Timestamp("2021-02-03T04:05:06")


def test_names_that_read_json_takes_for_dates_are_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """pandas 2 converts such columns, pandas 3 does not with dtype=False."""

    def as_pandas_2(*args: Any, **kwargs: Any) -> pandas.DataFrame:
        return pandas.DataFrame({"made_at": pandas.to_datetime(["2020-01-01"])})

    table = PandasInput(PandasParameterType(pandas.DataFrame({"made_at": [1]})))
    monkeypatch.setattr(pandas, "read_json", as_pandas_2)
    assert table._plan_for(("made_at",)) is None


@pytest.mark.parametrize(
    "dtype", ["datetime64[ns]", "category", "Int64", "Float64", "int32", "bool", "datetime64[ns, UTC]"]
)
def test_columns_of_other_dtypes_convert_as_astype_does(convert: Any, dtype: str) -> None:
    sample = pandas.DataFrame({"x": pandas.Series([1]).astype(dtype)})
    for cells in ([5, 6], [1.5, 2.5], ["2020-01-01", "2020-01-02T03:04:05"], [True, False], [5, None], [2**40, 0.5]):
        param_type = PandasParameterType(sample)
        value = [{"x": cell} for cell in cells]
        assert_same(converted(convert, param_type, value), converted(param_type.deserialize_input, value))


def test_many_sets_of_names_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoring_runtime.schemas.pandas_input.PLANS_KEPT", 2)
    table = PandasInput(PandasParameterType(pandas.DataFrame({"a": [1]})))
    for name in ["a", "b", "c", "a"]:
        table.convert([{name: 1}])
    assert len(table._plans) == 2


def test_frames_of_two_requests_share_nothing(convert: Any, declare: Any) -> None:
    declared = declare(PandasParameterType(pandas.DataFrame({"a": [1]})))
    first = declared.convert(b'{"data": [{"a": 1}]}')["data"]
    first.columns = ["z"]
    first.loc[0, "z"] = 9
    assert declared.convert(b'{"data": [{"a": 1}]}')["data"].to_dict() == {"a": {0: 1}}


def test_dataframe_passes_as_it_is(declare: Any) -> None:
    frame = pandas.DataFrame({"a": [1]})
    assert declare(PandasParameterType(frame)).convert_values({"data": frame})["data"] is frame


def test_deprecated_column_names_are_applied(convert: Any) -> None:
    with pytest.warns(DeprecationWarning, match="apply_column_names"):
        param_type = PandasParameterType(pandas.DataFrame({"a": [1]}), apply_column_names=True)
    assert list(convert(param_type, [{"z": 5}]).columns) == ["a"]


def test_defect_6_null_in_an_integer_column_is_named_with_its_place(refused: Any) -> None:
    sample = pandas.DataFrame({"a": [1], "x": [1.5], "s": ["t"]})
    message = refused(PandasParameterType(sample), [{"a": 1, "x": 1, "s": "t"}, {"a": None, "x": None, "s": None}])
    assert message == "The 'data' parameter: expected an integer (int64) at /data/1/a, got null."


def test_missing_integer_is_named_with_its_record(refused: Any) -> None:
    sample = pandas.DataFrame({"a": [1], "x": [1.5]})
    assert refused(PandasParameterType(sample), [{"x": 1.5, "a": 1}, {"x": 1.5}]) == (
        "The 'data' parameter: expected a value for the column 'a' (int64) at /data/1, got an object with 1 key."
    )


def test_wrong_cell_is_named_with_its_place(refused: Any) -> None:
    assert refused(PandasParameterType(pandas.DataFrame({"a/b": [1.5]})), [{"a/b": 1.0}, {"a/b": "abc"}]) == (
        "The 'data' parameter: expected a number (float64) at /data/1/a~1b, got the string 'abc'."
    )


def test_record_that_is_no_object_is_named(refused: Any) -> None:
    assert "expected an object at /data/1, got the integer 5" in refused(
        PandasParameterType(pandas.DataFrame({"a": [1]})), [{"a": 1}, 5]
    )


def test_wrong_column_count_is_refused(refused: Any) -> None:
    param_type = PandasParameterType(pandas.DataFrame({"a": [1], "s": ["x"]}), enforce_column_type=False)
    message = refused(param_type, [{"a": 1}])
    assert message.startswith(
        "The 'data' parameter: expected a table (orient='records') with the columns a: int64, s: "
    )
    assert "data frame has size 1 on dimension #1" in message


def test_wrong_table_of_another_orient_is_refused(refused: Any) -> None:
    param_type = PandasParameterType(pandas.DataFrame({"a": [1]}), orient="split")
    assert "expected a table (orient='split') with the columns a: int64 at /data" in refused(param_type, [[1]])


def test_text_for_a_table_is_refused(refused: Any) -> None:
    assert "at /data, got the string 'x'" in refused(PandasParameterType(pandas.DataFrame({"a": [1]})), "x")


def test_defect_12_single_object_is_one_record(convert: Any) -> None:
    frame = convert(PandasParameterType(pandas.DataFrame({"a": [1], "s": ["x"]})), {"a": 5, "s": "y"})
    assert frame.to_dict("records") == [{"a": 5, "s": "y"}]


def test_object_of_columns_stays_a_table_of_columns(convert: Any) -> None:
    frame = convert(PandasParameterType(pandas.DataFrame({"a": [1]})), {"a": [5, 6]})
    assert frame["a"].tolist() == [5, 6]


def test_nan_literal_is_a_missing_value(convert: Any) -> None:
    frame = convert(PandasParameterType(pandas.DataFrame({"a": [1.5]})), b'{"data": [{"a": NaN}, {"a": 2}]}')
    assert math.isnan(frame["a"][0])


def test_narrow_dtypes_wrap_as_astype_does(convert: Any) -> None:
    sample = pandas.DataFrame({"a": numpy.array([1], "int8")})
    assert convert(PandasParameterType(sample), [{"a": 300}])["a"].tolist() == [44]
