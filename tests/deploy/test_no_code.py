"""Models that nobody wrote a script for: served for real, and compared with the library that made them."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from onnxruntime.datasets import get_example
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from scoring_runtime.api.response import AMLResponse
from scoring_runtime.deploy import Model, ResourceConfiguration, Workspace
from scoring_runtime.deploy.models.no_code import no_code_config, with_resources
from scoring_runtime.deploy.services.deploy_verbs import wish_for
from scoring_runtime.deploy.services.deployment_config import AksDeployment, LocalDeployment
from scoring_runtime.errors import ModelInUse, ModelNotFound, NoScript
from scoring_runtime.ready_scripts import score_onnx, score_sklearn
from tests.deploy.local_services import workspace_at
from tests.serving import Server, until

IRIS = load_iris()
ROWS = IRIS.data[::40]


@contextmanager
def served(folder: Path, path: Path, framework: str) -> Iterator[Server]:
    """The model as it is after registration, with the script that is made for it."""
    ws = Workspace(str(folder / "ws"))
    model = Model.register(ws, str(path), "m", model_framework=framework)
    model_dir = folder / "azureml-models" / "m" / "1"
    model.download(str(model_dir))
    config = no_code_config(model)
    server = Server(Path(config.entry_script), "--model_dir", str(model_dir), folder=folder)
    try:
        until(server.ready, 60)
        yield server
    finally:
        server.end()


def sklearn_served(folder: Path, model: Any) -> Any:
    joblib.dump(model, folder / "model.pkl")
    return served(folder, folder / "model.pkl", "ScikitLearn")


@contextmanager
def loaded(script: ModuleType, path: Path) -> Iterator[Callable[[object], Any]]:
    """The script without a server: what run() returns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZUREML_MODEL_DIR", str(path))
        script.init()
        yield lambda value: script.run(json.dumps(value))


def refusal(answer: Any) -> str:
    """What is said about a request that cannot be scored."""
    assert isinstance(answer, AMLResponse), answer
    assert answer.status_code == 400
    return str(answer.get_data(as_text=True))


def test_classifier_is_served_as_the_library_scores(tmp_path: Path) -> None:
    model = LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)
    rows = ROWS.tolist()

    with sklearn_served(tmp_path, model) as server:
        for method in ("predict_proba", "predict", "decision_function"):
            answer = server.post({"data": rows, "method": method}).json()
            assert answer == {method: getattr(model, method)(ROWS).tolist()}
        assert server.post({"data": rows}).json() == {"predict_proba": model.predict_proba(ROWS).tolist()}
        refused = server.post({"data": [[1]]})

    assert refused.status_code == 400
    assert "X has 1 features, but LogisticRegression is expecting 4" in refused.text


def test_what_the_model_cannot_do_is_said(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), tmp_path / "model.pkl")
    rows = ROWS.tolist()

    with loaded(score_sklearn, tmp_path) as run:
        assert list(run({"data": rows})) == ["predict_proba"]
        for method in ("fit", "set_params", "__class__", "coef_", 1):
            said = refusal(run({"data": rows, "method": method}))
            assert f"method {method!r}: this model has predict, predict_proba" in said
        assert 'expected {"data": [[...], ...]}' in refusal(run(rows))
        assert "data: expected rows of the same length" in refusal(run({"data": [[1], [1, 2]]}))
        assert "predict_proba() takes no nonsense" in refusal(run({"data": rows, "nonsense": 1}))


def test_rows_with_names_for_a_model_without(tmp_path: Path) -> None:
    model = LinearRegression().fit([[1.0, 2.0], [2.0, 5.0]], [1, 2])
    joblib.dump(model, tmp_path / "model.pkl")

    with loaded(score_sklearn, tmp_path) as run:
        assert run({"data": [[1, 2]]})["predict"].tolist() == model.predict([[1, 2]]).tolist()
        assert run({"data": [{"a": 1, "b": 2}]})["predict"].tolist() == model.predict([[1, 2]]).tolist()


def test_other_keys_are_arguments_of_the_method(tmp_path: Path) -> None:
    model = GaussianProcessRegressor(optimizer=None).fit(IRIS.data[:20], np.arange(20))
    joblib.dump(model, tmp_path / "model.pkl")

    with loaded(score_sklearn, tmp_path) as run:
        answer = run({"data": ROWS.tolist(), "return_std": True})

    mean, deviation = model.predict(ROWS, return_std=True)
    assert {key: [part.tolist() for part in value] for key, value in answer.items()} == {
        "predict": [mean.tolist(), deviation.tolist()]
    }


def test_names_of_columns_reach_the_model(tmp_path: Path) -> None:
    frame = pd.DataFrame({"colour": ["red", "blue", "red"], "size": [1.0, 2.0, 3.0]})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["colour"]), remainder="passthrough")
    model = make_pipeline(encoder, LinearRegression()).fit(frame, [1, 2, 3])
    expected = model.predict(frame[:2]).tolist()

    joblib.dump(model, tmp_path / "model.pkl")

    with loaded(score_sklearn, tmp_path) as run:
        named = [{"size": 1, "colour": "red"}, {"size": 2, "colour": "blue", "more": 0}]
        for data in (named, [["red", 1.0], ["blue", 2.0]]):
            assert run({"data": data})["predict"].tolist() == expected
        for data, message in (
            ([{"size": 1}], "data: rows lack colour"),
            ([["red"]], "2 columns passed, passed data had 1"),
        ):
            answer = run({"data": data})
            assert (answer.status_code, message in answer.get_data(as_text=True)) == (400, True)


def test_a_transformer_in_a_folder_with_other_files(tmp_path: Path) -> None:
    joblib.dump(OneHotEncoder().fit([["a"], ["b"]]), tmp_path / "model.joblib")
    (tmp_path / "README").write_text("how it was made")

    with loaded(score_sklearn, tmp_path) as run:
        assert run({"data": [["b"]], "method": "transform"})["transform"].tolist() == [[0.0, 1.0]]
    joblib.dump(1, tmp_path / "other.pkl")
    with (
        pytest.raises(FileNotFoundError, match=r"expected one file, or one \*.joblib or \*.pkl, found"),
        loaded(score_sklearn, tmp_path),
    ):
        pass


X = np.linspace(-2, 2, 60, dtype="f4").reshape(3, 4, 5)
TENSOR = {"dims": ["3", "4", "5"], "dataType": 1}
RAW = {**TENSOR, "rawData": base64.b64encode(X.tobytes()).decode()}


def sigmoid() -> tuple[Path, Any]:
    """A model with the input x and the output y, and its y for X."""
    path = Path(get_example("sigmoid.onnx"))
    return path, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"x": X})[0]


def test_onnx_is_served_as_the_library_scores(tmp_path: Path) -> None:
    path, y = sigmoid()

    with served(tmp_path, path, "Onnx") as server:
        by_name = server.post({"x": X.tolist()}).json()
        as_tensor = server.post({"inputs": {"x": RAW}, "outputFilter": ["y"]}).json()
        refused = server.post({"x": [1, 2]})

    assert np.array_equal(np.array(by_name["y"], "f4"), y)
    assert as_tensor == {"outputs": {"y": {**TENSOR, "rawData": base64.b64encode(y.tobytes()).decode()}}}
    assert refused.status_code == 400
    assert "x: expected the shape [3, 4, 5], got [2]" in refused.text


def test_onnx_by_names_as_data_or_as_onnx_runtime_server_had_it(tmp_path: Path) -> None:
    path, y = sigmoid()

    shutil.copy(path, tmp_path)
    with loaded(score_onnx, tmp_path) as run:
        for key in ("x", "data", "input", "inputs"):
            assert np.array_equal(run({key: X.tolist()})["y"], y)
        for one in (RAW, {**TENSOR, "floatData": X.ravel().tolist()}):
            assert run({"inputs": {"x": one}})["outputs"]["y"]["dims"] == ["3", "4", "5"]
        for request, message in (
            ({"z": 1}, "expected the inputs x, got z"),
            ({}, "expected the inputs x, got nothing"),
            ([1], "expected an object with the inputs x"),
            ({"x": [1, 2]}, "x: expected the shape [3, 4, 5], got [2]"),
            ({"x": "text"}, "x: expected a tensor(float): could not convert"),
            ({"inputs": {"x": RAW}, "outputFilter": ["z"]}, "outputFilter: the outputs are y"),
            ({"inputs": {"x": {**RAW, "dataType": 99}}}, "x: dataType 99 is not one of 1, 2"),
            ({"inputs": {"x": {**RAW, "dims": ["7"]}}}, "cannot reshape array"),
            ({"inputs": {"x": {**RAW, "rawData": "?"}}}, "base64"),
        ):
            assert message in refusal(run(request))


def test_onnx_classifier_answers_a_probability_for_each_class(tmp_path: Path) -> None:
    shutil.copy(get_example("logreg_iris.onnx"), tmp_path)
    (tmp_path / "README").write_text("how it was made")
    rows = IRIS.data[:3, :2].astype("f4")
    session = onnxruntime.InferenceSession(tmp_path / "logreg_iris.onnx", providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"float_input": rows})

    with loaded(score_onnx, tmp_path) as run:
        answer = run({"data": rows.tolist()})
        tensor = {"dims": ["3", "2"], "dataType": 1, "floatData": rows.ravel().tolist()}
        assert "is no tensor of numbers" in refusal(run({"inputs": {"float_input": tensor}}))

    assert (answer["label"].tolist(), answer["probabilities"]) == (labels.tolist(), probabilities)


def test_onnx_folder_without_one_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected one \*\.onnx, found \[\]"), loaded(score_onnx, tmp_path):
        pass


def registered(folder: Path, name: str, framework: str | None, version: str | None = None) -> Model:
    (folder / "model").write_text("weights")
    return Model.register(
        Workspace(str(folder / "ws")),
        str(folder / "model"),
        name,
        model_framework=framework,
        model_framework_version=version,
    )


def test_the_environment_has_what_the_model_was_made_with(tmp_path: Path) -> None:
    configs = [
        no_code_config(registered(tmp_path, "s", "ScikitLearn", "1.5.2")),
        no_code_config(registered(tmp_path, "o", "Onnx", "1.3")),
    ]

    assert [Path(config.entry_script).name for config in configs] == ["score_sklearn.py", "score_onnx.py"]
    assert [list(config.resolved_environment().python.resolved_dependencies().pip_packages) for config in configs] == [
        ["azureml-defaults", "scikit-learn==1.5.2", "joblib", "numpy", "pandas"],
        ["azureml-defaults", "onnxruntime", "numpy"],
    ]


def test_what_cannot_do_without_a_script_is_named(tmp_path: Path) -> None:
    for framework, said in (("PyTorch", "m:1 of the framework PyTorch"), (None, "m:2 without a framework")):
        with pytest.raises(NoScript, match=f"ScikitLearn or Onnx, got the model {said}. Write a score.py"):
            no_code_config(registered(tmp_path, "m", framework))
    ws = Workspace(str(tmp_path / "ws"))
    for models, said in (([], "0 models"), (["m", "m"], "2 models"), ([__file__], f"the path {__file__}")):
        with pytest.raises(NoScript, match=f"got {said}. Write a score.py"):
            Model.deploy(ws, "web", models)
    with pytest.raises(ModelNotFound):
        Model.deploy(ws, "web", ["nothing:1"])


def test_the_resources_of_the_model_are_asked_for_where_nothing_else_is(tmp_path: Path) -> None:
    model = registered(tmp_path, "m", "Onnx")
    model.update(resource_configuration=ResourceConfiguration(cpu=0.5, memory_in_gb=1.5))

    deployment = with_resources(AksDeployment(), model)

    assert deployment == AksDeployment(cpu_cores=0.5, memory_gb=1.5)
    assert with_resources(LocalDeployment(), model) == LocalDeployment(cpu_cores=0.5, memory_gb=1.5)
    assert with_resources(AksDeployment(), registered(tmp_path, "other", "Onnx")) == AksDeployment()


def test_without_an_inference_config_it_is_the_one_for_the_framework(tmp_path: Path) -> None:
    model = registered(tmp_path, "m", "Onnx")
    model.update(resource_configuration=ResourceConfiguration(cpu=0.5))

    for given in (model, "m", "m:1"):
        wish = wish_for(model.workspace, [given], None, None, None, None)
        assert wish.models == ("m:1",)
        assert wish.inference_config is not None
        assert wish.inference_config.entry_script == no_code_config(model).entry_script
        assert wish.deployment == LocalDeployment(cpu_cores=0.5)
    said = wish_for(model.workspace, [model], None, LocalDeployment(port=6001), None, None)
    assert said.deployment == LocalDeployment(port=6001)


@pytest.mark.nightly  # it makes an environment with onnxruntime
def test_a_model_alone_is_deployed(tmp_path: Path) -> None:
    with workspace_at(tmp_path / "ws") as ws:
        Model.register(ws, get_example("sigmoid.onnx"), "sigmoid", model_framework=Model.Framework.ONNX)

        service = Model.deploy(ws, "web", ["sigmoid"])
        service.wait_for_deployment(timeout_sec=60)
        answer = service.run(json.dumps({"x": np.zeros((3, 4, 5)).tolist()}))

        with pytest.raises(ModelInUse, match=r"sigmoid:1 is used by service web"):
            Model(ws, "sigmoid").delete()

    assert answer == {"y": np.full((3, 4, 5), 0.5).tolist()}
