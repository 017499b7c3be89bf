"""inferenceconfig.json: every key, what excludes what, and what is said about the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scoring_runtime.deploy import ContainerRegistry, Environment, InferenceConfig, Workspace
from scoring_runtime.deploy.environments.requirements import requirements_of
from scoring_runtime.errors import ConfigError

SAMPLE: dict[str, Any] = {  # the shape that Azure ML's own samples have
    "entryScript": "score.py",
    "sourceDirectory": "./source_dir",
    "environment": {
        "docker": {"arguments": [], "baseDockerfile": None, "baseImage": "example/base:1", "enabled": False},
        "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
        "name": "my-deploy-env",
        "python": {
            "baseCondaEnvironment": None,
            "condaDependencies": {
                "channels": ["conda-forge"],
                "dependencies": ["python=3.6.2", {"pip": ["azureml-defaults", "numpy"]}],
                "name": "project_environment",
            },
            "condaDependenciesFile": None,
            "interpreterPath": "python",
            "userManagedDependencies": False,
        },
        "spark": {"packages": [], "repositories": []},
        "databricks": {"pypiLibraries": []},
        "inferencingStackVersion": None,
        "version": "1",
    },
}


def written(folder: Path, document: object) -> str:
    path = folder / "inferenceconfig.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_sample_of_the_original_is_read_whole(tmp_path: Path) -> None:
    config = InferenceConfig.from_file(written(tmp_path, SAMPLE))
    environment = config.resolved_environment()

    assert (config.entry_script, config.source_directory) == ("score.py", str(tmp_path / "source_dir"))
    assert environment.environment_variables == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}
    assert environment.docker.base_image == "example/base:1"
    assert requirements_of(environment).pip == ("numpy", "scoring-runtime")
    assert [note.partition("json: ")[2] for note in environment.notes] == [
        "without effect here: environment.docker.arguments, environment.docker.enabled, "
        "environment.python.baseCondaEnvironment, environment.spark, environment.databricks."
    ]


def test_older_keys_make_an_environment(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "conda.yml").write_text("dependencies: [python=3.11, {pip: [azureml-defaults, scipy]}]")
    (tmp_path / "src" / "steps").write_text("RUN true\n")
    document = {
        "entryScript": "score.py",
        "sourceDirectory": "src",
        "runtime": "python",
        "condaFile": "conda.yml",
        "extraDockerfileSteps": "steps",
        "baseImage": "example/base:1",
        "baseImageRegistry": {"address": "example", "username": "me", "password": "hush"},
        "description": "mine",
    }

    config = InferenceConfig.from_file(written(tmp_path, document))
    environment = config.resolved_environment()

    assert environment.name == "score-env"
    assert requirements_of(environment).pip == ("scipy", "scoring-runtime")
    assert environment.docker.base_image_registry == ContainerRegistry("example", "me", "hush")
    assert (config.dockerfile_steps(), config.variant, config.description) == ("RUN true\n", "cpu", "mine")


def test_paths_without_a_source_directory_are_beside_the_file(tmp_path: Path) -> None:
    document = {"entryScript": "score.py", "condaFile": "conda.yml"}

    config = InferenceConfig.load(written(tmp_path, document))

    assert (config.entry_script, config.conda_file) == (str(tmp_path / "score.py"), str(tmp_path / "conda.yml"))


@pytest.mark.parametrize(
    ("keys", "variant"),
    [({}, "cpu"), ({"enableGpu": True}, "cuda"), ({"runtime": "spark-py"}, "spark"), ({"cudaVersion": "10.0"}, "cuda")],
)
def test_older_keys_choose_the_base(tmp_path: Path, keys: dict[str, Any], variant: str) -> None:
    config = InferenceConfig.from_file(written(tmp_path, {"entryScript": "score.py", **keys}))

    assert config.variant == variant


def test_cuda_version_is_said_to_be_the_images_own(tmp_path: Path) -> None:
    config = InferenceConfig.from_file(written(tmp_path, {"entryScript": "score.py", "cudaVersion": "9.1"}))

    assert config.notes[0].endswith("the cuda base image has its own.")


def test_environment_may_be_a_registered_one(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    environment = Environment("demo")
    environment.environment_variables = {"A": "1"}
    environment.register(workspace)
    path = written(tmp_path, {"entryScript": "score.py", "environment": "demo:1"})

    assert InferenceConfig.from_file(path, workspace).resolved_environment().environment_variables == {"A": "1"}
    with pytest.raises(ConfigError, match="expected an object where no workspace is named, got 'demo:1'"):
        InferenceConfig.from_file(path)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected a JSON object"),
        ({}, "entryScript: expected a script, got nothing"),
        ({"entryScript": 1}, "entryScript: expected a text that is not empty, got 1"),
        ({"entryScript": "a.py", "runtime": "r"}, "runtime: expected one of python, spark-py, python-slim, got 'r'"),
        ({"entryScript": "a.py", "cudaVersion": "12"}, "cudaVersion: expected one of 9.0, 9.1, 10.0, got '12'"),
        ({"entryScript": "a.py", "enableGpu": "yes"}, "enableGpu: expected true or false, got 'yes'"),
        ({"entryScript": "a.py", "environment": 1}, "environment: expected an object, or the name of a registered one"),
        (
            {"entryScript": "a.py", "environment": {}, "runtime": "python", "enableGpu": False},
            "environment: expected none of the older keys beside it, got 'runtime, enableGpu'",
        ),
        (
            {"entryScript": "a.py", "baseImage": "b", "enableGpu": True},
            "baseImage: expected none beside enableGpu and cudaVersion, got 'b'",
        ),
        (
            {"entryScript": "a.py", "environment": {"python": []}},
            r"environment.python: expected an object, got \[\]",
        ),
        (
            {"entryScript": "a.py", "environment": {"python": {"userManagedDependencies": 1}}},
            "environment.python.userManagedDependencies: expected true or false, got 1",
        ),
        (
            {"entryScript": "a.py", "environment": {"docker": {"baseImage": "a", "baseDockerfile": "FROM b"}}},
            "exclude each other",
        ),
    ],
)
def test_value_that_cannot_be_is_named(tmp_path: Path, document: object, said: str) -> None:
    with pytest.raises((ConfigError, Exception), match=said) as caught:
        InferenceConfig.from_file(written(tmp_path, document))
    assert type(caught.value).__name__ in ("ConfigError", "BadEnvironment")


def test_password_is_not_in_the_message(tmp_path: Path) -> None:
    document = {"entryScript": "a.py", "baseImageRegistry": {"password": ["hush"]}}

    with pytest.raises(ConfigError, match=r"baseImageRegistry.password: expected a text, got '\*\*\*'") as caught:
        InferenceConfig.from_file(written(tmp_path, document))
    assert "hush" not in str(caught.value)


def test_interpreter_of_ones_own_is_said_to_be_the_bases(tmp_path: Path) -> None:
    document = {"entryScript": "a.py", "environment": {"python": {"interpreterPath": "/opt/py/bin/python"}}}

    config = InferenceConfig.from_file(written(tmp_path, document))

    assert [note.partition("json: ")[2] for note in config.resolved_environment().notes] == [
        "environment.python.interpreterPath has no effect: it is the Python of the base image."
    ]


def test_unknown_keys_are_said_with_a_guess(tmp_path: Path) -> None:
    document = {"entryScript": "a.py", "sourcedirectory": "x", "environment": {"pyton": {}, "zzz": 1}}

    config = InferenceConfig.from_file(written(tmp_path, document))

    assert [note.partition("json: ")[2] for note in (*config.notes, *config.resolved_environment().notes)] == [
        "sourcedirectory is no key that is known here, and has no effect. Did you mean 'sourceDirectory'?",
        "environment.pyton is no key that is known here, and has no effect. Did you mean 'python'?",
        "environment.zzz is no key that is known here, and has no effect.",
    ]


@pytest.mark.parametrize(("text", "said"), [("{", "expected a JSON file, got"), (None, "expected a file, got nothing")])
def test_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "inferenceconfig.json").write_text(text)

    with pytest.raises(ConfigError, match=said):
        InferenceConfig.from_file(str(tmp_path / "inferenceconfig.json"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"entry_script": ""},
        {"entry_script": "a.py", "runtime": "r"},
        {"entry_script": "a.py", "environment": Environment("demo"), "conda_file": "x"},
        {"entry_script": "a.py", "base_image": "x", "cuda_version": "9.0"},
    ],
)
def test_arguments_obey_the_same_rules(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="InferenceConfig: "):
        InferenceConfig(**arguments)


def test_missing_dockerfile_steps_are_named() -> None:
    config = InferenceConfig("a.py", extra_docker_file_steps="none")

    with pytest.raises(ConfigError, match="extraDockerfileSteps: expected a file with lines of a Dockerfile"):
        config.dockerfile_steps()
    assert repr(config) == "InferenceConfig('a.py', source_directory=None)"
