"""Environments: what they are made from, what pip and conda get of them, and their versions in the workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from scoring_runtime.deploy import CondaDependencies, ContainerRegistry, Environment, Workspace
from scoring_runtime.deploy.environments.requirements import map_conda, map_pip, requirements_of
from scoring_runtime.errors import BadEnvironment, ConfigError


def with_packages(*pip: str, conda: tuple[str, ...] = ()) -> Environment:
    environment = Environment("demo")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=pip, conda_packages=conda)
    return environment


# conda files


def test_conda_file_goes_round(tmp_path: Path) -> None:
    made = CondaDependencies.create(
        pip_packages=["azureml-defaults", "numpy"], conda_packages=["scikit-learn=1.5"], python_version="3.11"
    )

    path = made.save(str(tmp_path))

    assert path == str(tmp_path / "conda_dependencies.yml")
    assert CondaDependencies(path).as_document() == {
        "name": "project_environment",
        "channels": ["conda-forge"],
        "dependencies": ["python=3.11", "scikit-learn=1.5", {"pip": ["azureml-defaults", "numpy"]}],
    }


def test_packages_replace_those_of_their_name() -> None:
    dependencies = CondaDependencies.create(pip_packages=["numpy==1"], conda_packages=["pip"], python_version="3.10")

    dependencies.add_pip_package("NumPy>=2")
    dependencies.add_conda_package("conda-forge::pip=24")
    dependencies.set_python_version("3.12")
    dependencies.add_channel("nvidia")
    dependencies.remove_channel("conda-forge")
    dependencies.set_pip_option("--pre")

    assert dependencies.as_document() == {
        "name": "project_environment",
        "channels": ["nvidia"],
        "dependencies": ["python=3.12", "conda-forge::pip=24", {"pip": ["--pre", "NumPy>=2"]}],
    }


def test_sdk_defaults() -> None:
    assert CondaDependencies.create().pip_packages == ["azureml-defaults"]
    assert CondaDependencies.create(pip_indexurl="https://index.invalid/simple", pip_packages=["a"]).pip_packages == [
        "--index-url https://index.invalid/simple",
        "a",
    ]
    assert CondaDependencies().python_version is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "is not YAML"),
        ("- a", "expected a mapping with name, channels and dependencies, got"),
        ("dependencies: numpy", "dependencies: expected a list, got 'numpy'"),
        ("dependencies: [numpy, {conda: [a]}]", r"dependencies\[1\]: expected a package such as"),
        ("channels: conda-forge", "channels: expected a list of names, got 'conda-forge'"),
    ],
)
def test_broken_conda_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "conda.yml").write_text(text)

    with pytest.raises(BadEnvironment, match=said) as caught:
        CondaDependencies(str(tmp_path / "conda.yml"))
    assert str(tmp_path / "conda.yml") in str(caught.value)


def test_missing_conda_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment, match="No such file"):
        CondaDependencies(str(tmp_path / "conda.yml"))


# from packages to requirements


@pytest.mark.parametrize(
    ("written", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4.*"),
        ("numpy>=1.26,<2", "numpy>=1.26,<2"),
        ("numpy >=1.26, <2", "numpy>=1.26,<2"),
        ("numpy 1.26.*", "numpy==1.26.*"),
        ("numpy 1.26.4 py311h64a7726_0", "numpy==1.26.4.*"),
        ("numpy *", "numpy"),
        ("numpy = 1.26", "numpy==1.26.*"),
        ("numpy==1.26.4=py311h64a7726_0", "numpy==1.26.4"),
        ("numpy>1,=2", "numpy>1,==2.*"),
        ("numpy>=1.26.*", "numpy>=1.26"),
        ("numpy!=1.26.*", "numpy!=1.26.*"),
        ("numpy=2.0.0rc1", "numpy==2.0.0rc1"),
        ("numpy=*=*_openblas", "numpy"),
        ("conda-forge::numpy=1.26", "numpy==1.26.*"),
        ("pytorch=2.3", "torch==2.3.*"),
        ("py-xgboost", "xgboost"),
        ("Scikit_Learn", "scikit-learn"),
    ],
)
def test_conda_package_that_pip_has(written: str, requirement: str) -> None:
    assert map_conda([written])[:2] == ([requirement], ())


@pytest.mark.parametrize(
    "written",
    [
        "cudatoolkit=11.8",
        "r-base",
        "libgdal",
        "mkl",
        "numpy[version='>=1']",
        "numpy=1.25|1.26",
        "nvidia::cuda-nvcc",
        "bioconda::samtools",
        "gcc_linux-64",
    ],
)
def test_conda_package_that_pip_has_not(written: str) -> None:
    assert map_conda([written])[:2] == ([], (written,))


def test_tools_of_conda_are_not_installed() -> None:
    assert map_conda(["python=3.11", "pip", "setuptools=65", "nomkl"]) == ([], (), [])


def test_renamed_packages_are_said() -> None:
    assert map_conda(["pytorch"])[2] == ["Taken from PyPI under its name there: pytorch (torch)."]


@pytest.mark.parametrize(
    ("lines", "requirements"),
    [
        (["azureml-defaults", "numpy"], ["numpy", "scoring-runtime"]),
        (["azureml-defaults>=1.0.45", "azureml-inference-server-http"], ["scoring-runtime"]),
        (["azureml-defaults[async]", "pandas==2.2"], ["pandas==2.2", "scoring-runtime[pandas]"]),
        (["inference-schema[numpy-support,pandas-support]"], None),
        (["scoring-runtime[onnx]", "# a comment", "", "x # why"], ["scoring-runtime[onnx]", "x"]),
        (["azureml-ai-monitoring"], ["scoring-runtime[pandas]"]),
    ],
)
def test_azure_packages_become_this_one(lines: list[str], requirements: list[str] | None) -> None:
    expected = requirements or ["inference-schema[numpy-support,pandas-support]", "scoring-runtime[pandas]"]

    assert map_pip(lines)[0] == expected


def test_what_a_replaced_package_leaves_out_is_said() -> None:
    assert map_pip(["azureml-core"])[2] == [
        "scoring-runtime takes the place of azureml-core: Workspace, Run, Dataset and the other cloud classes are not "
        "there; Model.get_model_path() is."
    ]


def test_server_is_added_aloud() -> None:
    assert map_pip(["numpy", "--index-url https://index.invalid"]) == (
        ["numpy", "scoring-runtime"],
        ("--index-url https://index.invalid",),
        ["No azureml-defaults and no scoring-runtime is named: scoring-runtime, the server, is added."],
    )


def test_conda_and_pip_lines_become_one_list() -> None:
    found = requirements_of(with_packages("azureml-defaults", "numpy==2.0", conda=("python=3.12.1", "numpy", "scipy")))

    assert (found.pip, found.python, found.conda) == (("numpy==2.0", "scipy", "scoring-runtime"), "3.12", ())


def test_old_python_gives_way_aloud() -> None:
    found = requirements_of(with_packages("azureml-defaults", conda=("python=3.6.2",)))

    assert (found.python, found.notes) == (
        "",
        ("python=3.6.2 is too old for this server (3.10 or newer): the base's Python is used.",),
    )


@pytest.mark.parametrize(
    ("written", "python", "pythons", "likely"),
    [
        ("python 3.12", "3.12", (), "3.12"),
        ("conda-forge::python==3.10.14", "3.10", (), "3.10"),
        ("python=3.12=h1234_0_cpython", "3.12", (), "3.12"),
        ("python", "", (), "3.11"),
        ("python=3", "", ("3.10", "3.11", "3.12", "3.13", "3.14"), "3.11"),
        ("python>=3.8", "", ("3.10", "3.11", "3.12", "3.13", "3.14"), "3.11"),
        ("python>=3.10, <3.13", "", ("3.10", "3.11", "3.12"), "3.11"),
        ("python >=3.12", "", ("3.12", "3.13", "3.14"), "3.12"),
        ("python<=3.10,!=3.9", "", ("3.10",), "3.10"),
        ("python~=3.13", "", ("3.13", "3.14"), "3.13"),
    ],
)
def test_python_is_one_version_or_a_range(written: str, python: str, pythons: tuple[str, ...], likely: str) -> None:
    found = requirements_of(with_packages("azureml-defaults", conda=(written,)))

    assert (found.python, found.pythons, found.likely_python, found.notes) == (python, pythons, likely, ())


def test_range_of_old_pythons_gives_way_aloud() -> None:
    found = requirements_of(with_packages("azureml-defaults", conda=("python<3.9",)))

    assert found.notes == (
        "python<3.9 takes no version that this server knows (3.10 to 3.14): the base's Python is used.",
    )


def test_what_a_conda_file_says_in_vain_is_said() -> None:
    document = {"dependencies": ["numpy"], "variables": {"A": "1"}, "prefix": "/x", "channels": ["https://me:pw@x/y"]}
    environment = Environment("demo")
    environment.python.conda_dependencies = CondaDependencies(_underlying_structure=document)

    assert requirements_of(environment).notes[:2] == (
        "the conda specification: without effect here: prefix, variables. Variables are set by the environment's "
        "environmentVariables.",
        "Not asked, for PyPI has these packages: the channels https://***@x/y.",
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-r more.txt", "'-r more.txt' is not followed. Write those requirements into the list itself"),
        ("-cpins.txt", "is not followed"),
        ("-e .", "'-e .' is source, and nothing is built here. Build a wheel of it"),
        ("--editable=/src/x", "is source"),
        ("x @ git+https://me:secret@example.com/x", r"'x @ git\+https://\*\*\*@example.com/x' is source"),
        ("./x-1.0-py3-none-any.whl", "expected an absolute path or a URL, got './x-1.0-py3-none-any.whl'"),
        ("--find-links wheels", "expected an absolute path or a URL, got '--find-links wheels'"),
        (".", "expected an absolute path or a URL"),
    ],
)
def test_pip_line_that_names_what_is_not_there_is_refused(line: str, said: str) -> None:
    with pytest.raises(BadEnvironment, match=f"^pip packages: .*{said}"):
        map_pip(["azureml-defaults", line])


@pytest.mark.parametrize(
    "line",
    [
        "x @ https://example.com/x-1.0-py3-none-any.whl",
        "/wheels/x-1.0-py3-none-any.whl",
        "--find-links=/wheels",
        "-f/w",
    ],
)
def test_pip_line_of_an_address_stays(line: str) -> None:
    assert line in {*map_pip([line])[0], *map_pip([line])[1]}


def test_conda_only_package_takes_the_dockerfile_way_aloud() -> None:
    found = requirements_of(with_packages("azureml-defaults", conda=("python=3.11", "gdal=3.8", "scipy=1.14", "pip")))

    assert (found.conda, found.pip) == (("gdal=3.8",), ("scoring-runtime",))
    assert CondaDependencies(_underlying_structure=yaml.safe_load(found.conda_file)).as_document() == {
        "name": "project_environment",
        "channels": ["conda-forge"],
        "dependencies": ["python=3.11", "gdal=3.8", "scipy=1.14"],
    }
    assert found.notes[0] == "Only conda has gdal=3.8: the image is built by a Dockerfile with micromamba."


def test_user_managed_image_is_left_alone_or_gets_the_server() -> None:
    environment = Environment.from_docker_image("demo", "example/base:1")
    left = requirements_of(environment)
    environment.inferencing_stack_version = "latest"
    added = requirements_of(environment)

    assert (left.pip, added.pip) == ((), ("scoring-runtime",))
    assert left.notes[0].startswith("userManagedDependencies is true: nothing is installed")


# environments


def test_environment_from_a_requirements_file(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy>=1 \\\n  ; python_version>'3'\n# no\nazureml-defaults # s\n")

    environment = Environment.from_pip_requirements("demo", str(tmp_path / "requirements.txt"))

    assert requirements_of(environment).pip == ("numpy>=1    ; python_version>'3'", "scoring-runtime")


@pytest.mark.parametrize(("line", "said"), [("-r other.txt", "'-r other.txt' is not followed"), (None, "No such file")])
def test_requirements_file_that_cannot_be_read(tmp_path: Path, line: str | None, said: str) -> None:
    if line:
        (tmp_path / "requirements.txt").write_text(line)

    with pytest.raises(BadEnvironment, match=said):
        Environment.from_pip_requirements("demo", str(tmp_path / "requirements.txt"))


def test_files_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes("numpy".encode("utf-16"))

    for read in (Environment.from_pip_requirements, Environment.from_conda_specification, Environment.from_dockerfile):
        with pytest.raises(BadEnvironment, match=r"file: expected a .* as UTF-8, got other bytes. Save it as UTF-8"):
            read("demo", str(tmp_path / "file"))


def test_mark_of_windows_is_no_part_of_the_first_requirement(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xef\xbb\xbfnumpy==2.0\n")

    environment = Environment.from_pip_requirements("demo", str(tmp_path / "requirements.txt"))

    assert requirements_of(environment).pip == ("numpy==2.0", "scoring-runtime")


@pytest.mark.parametrize("name", ["A=B", "", "A B"])
def test_variable_that_no_container_can_have_is_refused(name: str) -> None:
    with pytest.raises(BadEnvironment, match="environmentVariables: expected names without spaces and '='"):
        Environment.from_document({"environmentVariables": {name: "x"}})


def test_environment_from_a_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM example\n")
    (tmp_path / "conda.yml").write_text("dependencies: [python=3.11]")
    (tmp_path / "requirements.txt").write_text("numpy")
    path = str(tmp_path / "Dockerfile")

    alone = Environment.from_dockerfile("demo", path)
    with_conda = Environment.from_dockerfile("demo", path, conda_specification=str(tmp_path / "conda.yml"))
    with_pip = Environment.from_dockerfile("demo", "FROM example", pip_requirements=str(tmp_path / "requirements.txt"))

    assert [one.python.user_managed_dependencies for one in (alone, with_conda, with_pip)] == [True, False, False]
    assert [one.docker.base_dockerfile for one in (alone, with_pip)] == ["FROM example\n", "FROM example"]
    with pytest.raises(BadEnvironment, match=r"No such file or directory. Name a Dockerfile"):
        Environment.from_dockerfile("demo", str(tmp_path / "none"))


def test_base_image_and_dockerfile_exclude_each_other() -> None:
    environment = Environment("demo")
    environment.docker.base_image, environment.docker.base_dockerfile = "a", "FROM b"

    with pytest.raises(BadEnvironment, match=r"exclude each other. Remove one"):
        environment.check()


@pytest.mark.parametrize("name", ["AzureML-mine", "Microsoft", "a b", "", "-a", "x" * 256])
def test_names_have_rules(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment, match="Choose another"):
        Environment(name).register(Workspace(str(tmp_path)))


def test_registering_makes_versions_of_what_differs(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    environment = with_packages("numpy")

    first = environment.register(workspace)
    again = first.register(workspace)
    environment.environment_variables["A"] = "b"
    second = environment.register(workspace)

    assert [one.version for one in (first, again, second)] == ["1", "1", "2"]
    assert Environment.get(workspace, "demo", "1").environment_variables == {}
    assert {name: one.version for name, one in Environment.list(workspace).items()} == {"demo": "2"}
    assert repr(second) == "Environment('demo', version='2')"


def test_password_of_a_registry_is_not_recorded(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    environment = Environment.from_docker_image("demo", "x/y", ContainerRegistry("x", "me", "hush"))

    registered = environment.register(workspace)

    assert registered.docker.base_image_registry.as_mapping() == {"address": "x", "username": "me"}
    assert "hush" not in repr(environment.docker)


def test_missing_environment_names_what_there_is(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    Environment("demo").register(workspace)

    with pytest.raises(BadEnvironment, match=r"version 3, is registered in .*; versions: 1"):
        Environment.get(workspace, "demo", "3")
    with pytest.raises(BadEnvironment, match=r"No environment other is registered in .*; environments: demo"):
        Environment.get(workspace, "other")


def test_environment_goes_to_a_folder_and_back(tmp_path: Path) -> None:
    environment = with_packages("numpy")
    environment.environment_variables = {"A": "b"}
    environment.inferencing_stack_version = "latest"

    environment.save_to_directory(str(tmp_path / "there"))

    assert Environment.load_from_directory(str(tmp_path / "there")) == environment
    assert (tmp_path / "there" / "azureml_environment.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadEnvironment, match=r"is there already. Write over it with overwrite=True"):
        environment.save_to_directory(str(tmp_path / "there"))


def test_clone_is_another_one() -> None:
    environment = with_packages("numpy")

    clone = environment.clone("other")
    clone.environment_variables["A"] = "b"

    assert (clone.name, clone.version, environment.environment_variables) == ("other", None, {})
    assert environment != clone


def test_broken_environment_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "azureml_environment.json").write_text(json.dumps({"name": "a", "environmentVariables": {"A": 1}}))

    with pytest.raises(ConfigError, match=r"environmentVariables: expected an object of texts, got {'A': 1}"):
        Environment.load_from_directory(str(tmp_path))
