"""Model.get_model_path() in a folder laid out as in a container."""

from pathlib import Path

import pytest

from scoring_runtime.api.model import Model, ModelNotFoundException, WebserviceException, model_dir
from scoring_runtime.errors import ModelNotFound, ScriptError


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    return tmp_path


def put(*paths: str) -> None:
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_the_newest_version_is_found_by_number():
    put("azureml-models/m/9/a.pkl", "azureml-models/m/10/b.pkl", "azureml-models/m/latest/c.pkl", "azureml-models/m/99")
    assert Model.get_model_path("m") == "azureml-models/m/10/b.pkl"


def test_a_version_can_be_named():
    put("azureml-models/m/1/a.pkl", "azureml-models/m/2/b.pkl")
    assert Model.get_model_path("m", version=1) == "azureml-models/m/1/a.pkl"
    assert Model.get_model_path("m", 2) == "azureml-models/m/2/b.pkl"


def test_a_folder_is_a_model():
    put("azureml-models/m/1/saved/variables.bin", "azureml-models/m/1/saved/model.pb")
    assert Model.get_model_path("m") == "azureml-models/m/1/saved"


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_a_version_holds_exactly_one_entry(root, names):
    (root / "azureml-models/m/1").mkdir(parents=True)
    put(*(f"azureml-models/m/1/{name}" for name in names))
    with pytest.raises(WebserviceException, match="can contain only 1 file or folder"):
        Model.get_model_path("m")


@pytest.mark.parametrize("version", [None, 7])
def test_a_file_in_the_working_directory_is_the_last_resort(version):
    put("m", "azureml-models/other/1/a.pkl")
    assert Model.get_model_path("m", version) == "m"


def test_a_missing_version_says_which_ones_there_are():
    put("azureml-models/m/1/a.pkl", "azureml-models/m/12/a.pkl")
    with pytest.raises(ModelNotFoundException, match=r"version 3, was not found: versions there: 1, 12"):
        Model.get_model_path("m", 3)


def test_a_missing_model_says_which_ones_there_are():
    put(*(f"azureml-models/model{number}/1/a.pkl" for number in range(60)))
    with pytest.raises(ModelNotFoundException, match=r"model0, .* and 10 more"):
        Model.get_model_path("m")


def test_without_any_models_the_message_says_so(root, monkeypatch):
    monkeypatch.setenv("AZUREML_MODEL_DIR", "/models")
    with pytest.raises(ModelNotFoundException, match=r"there is no azureml-models folder.*/models"):
        Model.get_model_path("m")
    (root / "azureml-models").mkdir()
    with pytest.raises(ModelNotFoundException, match="holds nothing"):
        Model.get_model_path("m")


@pytest.mark.parametrize("version", ["1", 1.0, True])
def test_a_version_is_an_int(version):
    with pytest.raises(WebserviceException, match="expected an int or None"):
        Model.get_model_path("m", version)


def test_a_workspace_is_not_asked_and_the_log_says_so(caplog):
    put("azureml-models/m/1/a.pkl")
    assert Model.get_model_path("m", _workspace=object()) == "azureml-models/m/1/a.pkl"
    assert "does not download" in caplog.text


def test_the_exceptions_are_of_our_tree():
    assert issubclass(ModelNotFoundException, ModelNotFound)
    assert issubclass(ModelNotFoundException, WebserviceException)
    assert issubclass(WebserviceException, ScriptError)


def test_model_dir_is_absolute(root, monkeypatch):
    monkeypatch.setenv("AZUREML_MODEL_DIR", "azureml-models/m/1")
    assert model_dir() == root / "azureml-models/m/1"


def test_model_dir_that_is_not_set_raises():
    with pytest.raises(ModelNotFoundException, match="not set"):
        model_dir()
