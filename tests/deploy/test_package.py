"""Model.package(): the Dockerfile as text, its folder, and the image that podman builds of it and runs."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import httpx
import pytest

from scoring_runtime import __version__
from scoring_runtime.deploy import CondaDependencies, ContainerRegistry, Environment, InferenceConfig, Model, Workspace
from scoring_runtime.deploy.environments.packaging import BuildContext, build_context
from scoring_runtime.deploy.images.docker_context import write_docker_context
from scoring_runtime.deploy.images.dockerfile import base_of, dockerfile
from scoring_runtime.deploy.images.engine import Subprocess, build, build_command
from scoring_runtime.deploy.images.package import ModelPackage
from scoring_runtime.errors import NoScript, PackagingError
from tests.containers import Podman
from tests.deploy.building import script_alone, small_base
from tests.serving import free_port, until

SCRIPT = """
import os, subprocess
from azureml.core.model import Model


def init():
    global model
    model = open(Model.get_model_path("greeting")).read()
    subprocess.run(["sh", "-c", "sh -c 'sleep 0.05' & exit 0"])


def run(raw_data):
    return [model, os.environ["MINE"], os.getuid(), os.getpid()]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "score.py").write_text(SCRIPT)
    return folder


def config_of(source: Path, *conda: str, **variables: str) -> InferenceConfig:
    environment = Environment("demo")
    environment.python.conda_dependencies = CondaDependencies.create(conda_packages=conda)
    environment.environment_variables = variables
    return InferenceConfig("score.py", source_directory=str(source), environment=environment)


def context_of(workspace: Workspace, config: InferenceConfig, *models: str) -> BuildContext:
    return build_context(workspace, models, config)


def steps(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


class Recorded:
    """A shell that writes down what it is told to run."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.commands: list[Sequence[str]] = []

    def run(self, command: Sequence[str], log: IO[bytes], seconds: float) -> int:
        self.commands.append(command)
        log.write(b"a\nb\n")
        id_file = next(word.partition("=")[2] for word in command if word.startswith("--iidfile"))
        Path(id_file).write_text("sha256:abc\n")
        return self.code


# the text


def test_text_of_a_plain_script(workspace: Workspace, source: Path) -> None:
    text = dockerfile(context_of(workspace, config_of(source, MINE='a "b" $c \\')), "pip-1-py3-none-any.whl", "mine")

    packages, final = text.split("\nFROM ${BASE}\n")
    assert steps(packages)[:4] == [
        "ARG BASE=docker.io/library/python:3.11-slim-bookworm",
        "FROM ${BASE} AS scoring-packages",
        "USER 0",
        'COPY ["wheels/", "requirements.txt", "/wheels/"]',
    ]
    health = steps(final)[17]
    assert steps(final) == [
        "USER 0",
        "COPY --from=scoring-packages /opt/scoring-runtime /opt/scoring-runtime",
        'ENV PATH="/opt/scoring-runtime/bin:$PATH"',
        'ENV HOME="/tmp" \\',
        '    USER="scoring" \\',
        '    PYTHONDONTWRITEBYTECODE="1" \\',
        '    AML_APP_ROOT="/var/azureml-app" \\',
        '    AZUREML_ENTRY_SCRIPT="src/score.py" \\',
        '    AZUREML_SOURCE_DIRECTORY="src" \\',
        '    MINE="a \\"b\\" \\$c \\\\"',
        'LABEL org.opencontainers.image.title="mine" \\',
        '    org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm" \\',
        f'    scoring-runtime.version="{__version__}"',
        "WORKDIR /var/azureml-app",
        "USER 1000:1000",
        "EXPOSE 5001",
        "STOPSIGNAL SIGTERM",
        health,
        'ENTRYPOINT ["/opt/scoring-runtime/bin/python", "-m", "scoring_runtime"]',
        "CMD []",
        'COPY ["lock.json", "/opt/scoring-runtime/share/lock.json"]',
        'COPY ["azureml-app/model_config_map.json", "/var/azureml-app/model_config_map.json"]',
        'COPY ["azureml-app/src/", "/var/azureml-app/src/"]',
    ]
    assert health.startswith("HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD [")


def test_every_command_is_in_exec_form(workspace: Workspace, source: Path) -> None:
    text = dockerfile(context_of(workspace, config_of(source, "gdal=3.8")), "pip-1-py3-none-any.whl")

    for line in steps(text.replace("\\\n", "")):
        if found := re.match(r"(?:RUN|ENTRYPOINT|CMD|COPY|HEALTHCHECK .* CMD) (\[.*)", line):
            assert isinstance(json.loads(found[1]), list)
        else:
            assert re.match(r"(ARG|FROM|USER|ENV|LABEL|WORKDIR|EXPOSE|STOPSIGNAL|COPY --from)[ =]", line)


def test_conda_packages_are_installed_by_micromamba(workspace: Workspace, source: Path) -> None:
    text = dockerfile(context_of(workspace, config_of(source, "python=3.12", "gdal=3.8")), "pip-1-py3-none-any.whl")

    assert steps(text)[:8] == [
        "ARG BASE=docker.io/library/debian:12-slim",
        "ARG MICROMAMBA=docker.io/mambaorg/micromamba:2-debian12-slim",
        "FROM ${MICROMAMBA} AS scoring-packages",
        "USER 0",
        'COPY ["conda.yml", "/tmp/conda.yml"]',
        'RUN ["micromamba", "create", "--yes", "--prefix", "/opt/scoring-runtime", "--file", "/tmp/conda.yml"]',
        'COPY ["wheels/", "requirements.in", "/wheels/"]',
        steps(text)[7],
    ]
    assert '"--no-index", "--find-links", "/wheels"' in steps(text)[7]


@pytest.mark.parametrize(
    ("given", "start", "stage"),
    [
        ("FROM a\nRUN x", ["FROM a AS scoring-base", "RUN x"], "scoring-base"),
        ("FROM a AS one\nFROM b as two\n", ["FROM a AS one", "FROM b as two"], "two"),
    ],
)
def test_dockerfile_of_the_user_comes_first(
    workspace: Workspace, source: Path, given: str, start: list[str], stage: str
) -> None:
    config = config_of(source)
    assert config.environment is not None
    config.environment.docker.base_dockerfile = given

    lines = steps(dockerfile(context_of(workspace, config), "pip-1-py3-none-any.whl"))

    assert lines[:2] == start
    assert [line for line in lines[2:] if line.startswith("FROM")] == [
        f"FROM {stage} AS scoring-packages",
        f"FROM {stage}",
    ]


def test_dockerfile_without_from_is_refused(workspace: Workspace, source: Path) -> None:
    config = config_of(source)
    assert config.environment is not None
    config.environment.docker.base_dockerfile = "RUN x\n"

    with pytest.raises(PackagingError, match="has no FROM line"):
        dockerfile(context_of(workspace, config))


def test_more_steps_come_before_the_code(workspace: Workspace, source: Path) -> None:
    (source / "steps").write_text("RUN apt-get update\nRUN true\n")
    config = InferenceConfig("score.py", source_directory=str(source), extra_docker_file_steps="steps")

    lines = steps(dockerfile(context_of(workspace, config), "pip-1-py3-none-any.whl"))

    assert lines.index("RUN true") < lines.index('COPY ["azureml-app/src/", "/var/azureml-app/src/"]')


def test_image_that_has_everything_is_left_alone(workspace: Workspace, source: Path) -> None:
    environment = Environment.from_docker_image("demo", "team/base:1", ContainerRegistry("registry.invalid"))
    config = InferenceConfig("score.py", source_directory=str(source), environment=environment)

    lines = steps(dockerfile(context_of(workspace, config)))

    assert lines[:2] == ["ARG BASE=registry.invalid/team/base:1", "FROM ${BASE}"]
    assert 'ENTRYPOINT ["python3", "-m", "scoring_runtime"]' in lines


def test_base_of_a_variant_is_built_from_base_images(workspace: Workspace, source: Path) -> None:
    config = InferenceConfig("score.py", source_directory=str(source), enable_gpu=True)
    fpga = build_context(workspace, [], config_of(source), {"SCORING_ACCELERATOR": "fpga"})

    assert base_of(context_of(workspace, config)) == f"localhost/scoring-runtime-cuda:{__version__}"
    assert base_of(fpga) == f"localhost/scoring-runtime-vitis-ai:{__version__}"


def test_each_model_is_a_layer_until_they_are_many(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    for number in range(65):
        (tmp_path / f"m{number}").write_text("x")
    few = context_of(workspace, config_of(source), *[str(tmp_path / f"m{number}") for number in range(2)])
    many = context_of(workspace, config_of(source), *[str(tmp_path / f"m{number}") for number in range(65)])

    assert [line for line in steps(dockerfile(few)) if "azureml-models" in line and "COPY" in line] == [
        'COPY ["azureml-app/azureml-models/m0/0/", "/var/azureml-app/azureml-models/m0/0/"]',
        'COPY ["azureml-app/azureml-models/m1/0/", "/var/azureml-app/azureml-models/m1/0/"]',
    ]
    assert [line for line in steps(dockerfile(many)) if "azureml-models" in line and "COPY" in line] == [
        'COPY ["azureml-app/azureml-models/", "/var/azureml-app/azureml-models/"]'
    ]


def test_value_of_several_lines_is_refused(workspace: Workspace, source: Path) -> None:
    with pytest.raises(PackagingError, match="MINE: a Dockerfile cannot hold a value of several lines"):
        dockerfile(context_of(workspace, config_of(source, MINE="a\nb")))


def test_name_that_a_dockerfile_would_expand_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a*").mkdir()
    (tmp_path / "a*" / "score.py").write_text(SCRIPT)

    with pytest.raises(PackagingError, match="Rename the source directory"):
        dockerfile(context_of(workspace, config_of(tmp_path / "a*")))


# the folder and the package


@pytest.fixture
def greeting(workspace: Workspace, tmp_path: Path) -> str:
    (tmp_path / "greeting.txt").write_text("ciao")
    return Model.register(workspace, str(tmp_path / "greeting.txt"), "greeting").id


def test_folder_holds_all_that_is_needed(workspace: Workspace, source: Path, greeting: str, tmp_path: Path) -> None:
    made = Model.package(workspace, [greeting], config_of(source, MINE="mio"), generate_dockerfile=True)
    made.wait_for_creation(show_output=True)
    made.save(str(tmp_path / "saved"))

    assert sorted(os.listdir(tmp_path / "saved")) == [
        "Dockerfile",
        "azureml-app",
        "lock.json",
        "requirements.txt",
        "wheels",
    ]
    assert sorted(
        str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved/azureml-app").rglob("*")
    ) == [
        "azureml-app/azureml-models",
        "azureml-app/azureml-models/greeting",
        "azureml-app/azureml-models/greeting/1",
        "azureml-app/azureml-models/greeting/1/greeting.txt",
        "azureml-app/model_config_map.json",
        "azureml-app/src",
        "azureml-app/src/score.py",
    ]
    wheels = {name.partition("-")[0] for name in os.listdir(tmp_path / "saved/wheels")}
    assert {"pip", "scoring_runtime", "numpy", "uvloop"} <= wheels
    assert made.serialize() == {"generateDockerfile": True, "state": "Succeeded", "location": made.location}
    with pytest.raises(PackagingError, match="is a folder with a Dockerfile, nothing that can be pulled"):
        made.pull()
    with pytest.raises(PackagingError, match=r"is not empty. Name another folder"):
        made.save(str(tmp_path / "saved"))


def test_same_inputs_make_the_same_folder(workspace: Workspace, source: Path, greeting: str) -> None:
    one, two = (Model.package(workspace, [greeting], config_of(source), generate_dockerfile=True) for _ in range(2))

    def contents(package: ModelPackage) -> dict[str, tuple[int, bytes]]:
        root = Path(package.location)
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes()) for path in files}

    assert contents(one) == contents(two)
    assert all(stat.S_IMODE(mode) in (0o644, 0o755) for mode, _ in contents(one).values())


def test_engine_is_told_what_to_build(workspace: Workspace, source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shell = Recorded()

    made = Model.package(
        workspace, [], config_of(source), image_name="mine", image_label="2", engine="podman", shell=shell
    )
    made.wait_for_creation(show_output=True)
    made.pull()

    command = [word for word in shell.commands[0] if not word.startswith("--iidfile")]
    assert command == ["podman", "build", "--format=docker", "--tag=mine:2", os.path.join(made.folder, "content")]
    assert (made.location, repr(made)) == ("mine:2", "ModelPackage('mine:2', Succeeded)")
    assert capfd.readouterr().out.splitlines()[1:4] == ["a", "b", "Built mine:2: sha256:abc"]
    with pytest.raises(PackagingError, match=r"mine:2 is an image. Write pull"):
        made.save("anywhere")
    assert os.listdir(made.folder) == ["build.log"]


def test_failed_build_shows_the_last_lines(workspace: Workspace, source: Path) -> None:
    with pytest.raises(PackagingError, match=r"docker build ended with exit code 1. Its last lines:\n.*\n  a\n  b\n"):
        Model.package(workspace, [], config_of(source), engine="docker", shell=Recorded(1))
    [folder] = os.listdir(workspace.path("packages"))
    assert os.listdir(workspace.path("packages", folder)) == ["build.log"]


def test_folder_that_cannot_be_completed_is_left_empty(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    context = context_of(workspace, config_of(source))
    (source / "score.py").write_text("changed since\n")

    with pytest.raises(PackagingError, match="changed while it was packaged"):
        write_docker_context(workspace, context, str(tmp_path / "there"))
    assert os.listdir(tmp_path / "there") == []


def test_registry_of_the_base_is_handed_on(workspace: Workspace, source: Path) -> None:
    registry = ContainerRegistry("registry.invalid", "me", "hush")
    environment = Environment.from_docker_image("demo", "team/base:1", registry)
    config = InferenceConfig("score.py", source_directory=str(source), environment=environment)

    made = Model.package(workspace, [], config, generate_dockerfile=True)

    assert made.get_container_registry() == registry
    assert "hush" not in made.get_logs() + Path(made.location, "Dockerfile").read_text()


def test_conda_folder_has_its_file(workspace: Workspace, source: Path) -> None:
    made = Model.package(workspace, [], config_of(source, "gdal=3.8"), generate_dockerfile=True)

    assert {"conda.yml", "requirements.in", "wheels"} <= set(os.listdir(made.location))
    assert Path(made.location, "requirements.in").read_text() == "scoring-runtime\n"
    assert "Only conda has gdal=3.8" in made.get_logs()


# the engines


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_command_of_each_engine(engine: str) -> None:
    form = [] if engine == "docker" else ["--format=docker"]

    assert build_command(engine, "folder", "a:1", "id", {"BASE": "b"}) == [
        *(engine, "build", *form, "--tag=a:1", "--iidfile=id", "--build-arg=BASE=b", "folder")
    ]


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(PackagingError, match="--engine: expected one of docker, podman, buildah, got 'kaniko'"):
        build_command("kaniko", "folder", "a:1", "id", {})


def test_engine_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match=r"docker is not on the PATH. Install it, or name another --engine"):
        build("docker", ".", "a:1", str(tmp_path / "log"), Subprocess({"PATH": str(tmp_path)}))


def test_engine_that_hangs_is_ended() -> None:
    with (
        open(os.devnull, "wb") as log,
        pytest.raises(PackagingError, match=r"sh did not finish within 0.2 s and was ended"),
    ):
        Subprocess().run(["sh", "-c", "sleep 60 & wait"], log, 0.2)


def test_package_without_a_script_is_refused(workspace: Workspace) -> None:
    with pytest.raises(NoScript, match="expected exactly one model"):
        Model.package(workspace, [])


def test_unknown_engine_is_refused_before_anything_is_read(workspace: Workspace) -> None:
    with pytest.raises(PackagingError, match="expected one of docker, podman, buildah, got 'kaniko'"):
        Model.package(workspace, ["none"], InferenceConfig("none.py"), engine="kaniko")


def test_image_is_built_directly_and_pulled(workspace: Workspace, tmp_path: Path) -> None:
    shell = Loaded()

    made = Model.package(
        workspace, [], script_alone(tmp_path), image_name="mine", image_label="first", base=str(small_base(tmp_path))
    )
    before = made.location
    made.pull("podman", shell=shell)

    assert (before, made.location) == ("mine:1", "localhost/mine:1")
    assert made.image is not None
    assert made.image.tags == {"label": "first"}
    assert [word for word in shell.commands[0] if not word.endswith(".tar")] == ["podman", "load", "--input"]
    assert "base" in made.get_logs()
    with pytest.raises(PackagingError, match="podman load ended with exit code 3"):
        made.pull("podman", shell=Loaded(3))


class Loaded:
    """A shell that looks whether there is an archive to load."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.commands: list[Sequence[str]] = []

    def run(self, command: Sequence[str], log: IO[bytes], seconds: float) -> int:
        assert os.path.getsize(command[-1]) > 0
        self.commands.append(command)
        return self.code


def test_what_needs_a_dockerfile_needs_an_engine(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match="This image needs a Dockerfile"):
        Model.package(workspace, [], config_of(source, "gdal=3.8"), base=str(small_base(tmp_path)))


def test_output_of_a_command_is_kept(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        code = Subprocess().run(["sh", "-c", "echo out; echo err >&2; exit 3"], log, 10)

    assert (code, (tmp_path / "log").read_text()) == (3, "out\nerr\n")


# for real


def test_image_from_the_dockerfile_serves(
    workspace: Workspace, source: Path, greeting: str, podman: Podman, debian_python: str
) -> None:
    """Built without a network, run as nobody special on a read-only root, ended by SIGTERM."""
    made = Model.package(
        workspace,
        [greeting],
        config_of(source, MINE='a "b" $c \\'),
        engine="podman",
        image_name="localhost/mine",
        image_label="1",
        base=debian_python,
        shell=Subprocess(podman.environ),
    )
    port = free_port()
    limits = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host")
    container = podman.run("run", "--detach", *limits, f"--env=SCORING_PORT={port}", made.location).strip()
    url = f"http://127.0.0.1:{port}"
    podman.wait_ready(container, url)

    podman.run("healthcheck", "run", container)
    answer = httpx.post(f"{url}/score", json=1, timeout=20, trust_env=False)
    assert answer.json()[:3] == ["ciao", 'a "b" $c \\', 1000]
    until(lambda: defunct(podman, container) == 0)
    podman.run("stop", "--time", "20", container)

    assert json.loads(podman.run("inspect", container))[0]["State"]["ExitCode"] == 0
    labels = json.loads(podman.run("image", "inspect", made.location))[0]["Labels"]
    assert labels["scoring-runtime.models"] == "greeting:1"


def defunct(podman: Podman, container: str) -> int:
    """Orphans of the script whose end nobody took notice of."""
    return podman.run("top", container, "state").split().count("Z")
