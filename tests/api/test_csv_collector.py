"""The older data collector: CSV files in a local folder."""

import numpy as np
import pandas as pd
import pytest

from scoring_runtime.api import csv_collector
from scoring_runtime.api.csv_collector import ModelDataCollector


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(csv_collector, "said", set())
    for name in ("STORAGE_ENABLED", "STORAGE", "DEBUG", "BOUNDARY"):
        monkeypatch.delenv(f"AML_MODEL_DC_{name}", raising=False)


@pytest.fixture
def storage(tmp_path, monkeypatch):
    monkeypatch.setenv("AML_MODEL_DC_STORAGE_ENABLED", "true")
    monkeypatch.setenv("AML_MODEL_DC_STORAGE", str(tmp_path))
    return tmp_path


def written(folder) -> list[str]:
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.csv"))]


def test_rows_are_appended_under_the_path_of_the_day(storage):
    collector = ModelDataCollector("best", designation="inputs", feature_names=["x", "y"], model_version=2)
    first = collector.collect(np.array([[1.5, 2.5], [3.0, 4.0]]), "id-1")
    collector.collect([5, 6], "id-2")
    (path,) = written(storage)
    assert path.startswith("default/default/default/default/best/2/inputs/")
    assert path.endswith("/inputs.csv")
    frame = pd.read_csv(storage / path)
    assert [name for name in frame.columns if not name.startswith("$aml_")] == ["x", "y"]
    assert frame["x"].tolist() == [1.5, 3.0, 5.0]
    assert frame["$aml_dc_correlation_id"].tolist() == ["id-1", "id-1", "id-2"]
    assert frame["$aml_model_name"].tolist() == ["best"] * 3
    assert first["aml_dc_correlation_id"] == "id-1"


def test_a_frame_names_its_columns(storage):
    assert ModelDataCollector("m", "predictions").collect(pd.DataFrame({"p": [0.5]})) == {}
    (path,) = written(storage)
    assert pd.read_csv(storage / path)["p"].tolist() == [0.5]


def test_a_spark_frame_is_turned_into_a_pandas_one(storage):
    class Spark:
        def toPandas(self):  # noqa: N802
            return pd.DataFrame({"p": [0.5]})

    ModelDataCollector("m", "labels").collect(Spark())
    assert len(written(storage)) == 1


def test_other_designations_are_named_after_their_collection(storage, monkeypatch):
    monkeypatch.setenv("AML_MODEL_DC_STORAGE", f"file://{storage}")
    monkeypatch.setenv("AML_MODEL_DC_BOUNDARY", "Hour")
    ModelDataCollector("m", collection_name="drift").collect([[1], 2])
    (path,) = written(storage)
    assert "/m/default/general/" in path
    assert path.endswith("/drift.csv")
    assert len(path.split("/")) == 12


def test_ids_of_the_inputs_are_put_before_predictions(storage):
    ids = ModelDataCollector("m", "inputs").collect([1], "id-1")
    collector = ModelDataCollector("m", "predictions")
    assert [row[0] for row in collector.add_correlations([[0.5], [0.6]], ids)] == ["id-1", "id-1"]
    frame = collector.add_correlations(pd.DataFrame({"p": [0.5]}), ids)
    assert list(frame.columns) == ["$aml_dc_correlation_id", "$aml_dc_scoring_timestamp", "p"]


def test_an_id_is_made_up_where_none_is_given(storage):
    collector = ModelDataCollector("m", "inputs")
    assert collector.collect([1])["aml_dc_correlation_id"] != collector.collect([1])["aml_dc_correlation_id"]


def test_nothing_is_written_where_it_is_off(caplog):
    for _ in range(2):
        ModelDataCollector("m", "inputs").collect([1])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "AML_MODEL_DC_STORAGE_ENABLED" in caplog.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "is not set"),
        ("DefaultEndpointsProtocol=https;AccountName=x", "storage account"),
        ("https://x", "storage account"),
    ],
)
def test_storage_that_is_not_local_is_said_once(monkeypatch, caplog, value, text):
    monkeypatch.setenv("AML_MODEL_DC_STORAGE_ENABLED", "True")
    monkeypatch.setenv("AML_MODEL_DC_STORAGE", value)
    ModelDataCollector("m").collect([1])
    assert text in caplog.text


def test_debug_prints_the_rows(monkeypatch, capsys):
    monkeypatch.setenv("AML_MODEL_DC_DEBUG", "true")
    ModelDataCollector("m", "inputs").collect(["a,b"], "id-1")
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("$aml_dc_correlation_id,$aml_dc_scoring_timestamp,")
    assert row.startswith("id-1,")
    assert row.endswith('"a,b"')


def test_data_that_is_no_table_is_refused():
    with pytest.raises(TypeError, match="got str"):
        ModelDataCollector("m").collect("text")


@pytest.mark.parametrize("arguments", [("",), ("m", "guesses")])
def test_names_are_checked(arguments):
    with pytest.raises(ValueError, match="expected"):
        ModelDataCollector(*arguments)
