"""What goes where: code, models, environment variables; what is refused, left out, or said."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import pytest

from scoring_runtime.deploy import CondaDependencies, Environment, InferenceConfig, Model, Workspace
from scoring_runtime.deploy.environments.app_root import chunks, materialise
from scoring_runtime.deploy.environments.packaging import APP_ROOT, BuildContext, build_context, environ_in
from scoring_runtime.errors import BlobCorrupt, DiskFull, ModelNotFound, PackagingError
from tests.serving import Server

SCRIPT = "def init():\n    pass\ndef run(raw_data):\n    return 1\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "workspace"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "score.py").write_text(SCRIPT)
    return folder


def register(workspace: Workspace, name: str, kind: str, basename: str, **files: bytes) -> str:
    """A model of a file, or of a folder."""
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            target = Path(folder, path if kind == "file" else f"{basename}/{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return Model.register(workspace, os.path.join(folder, basename), name).id


def context_of(workspace: Workspace, source: Path, *models: str, **options: object) -> BuildContext:
    environment = Environment("demo")
    environment.python.conda_dependencies = CondaDependencies.create()
    config = InferenceConfig("score.py", source_directory=str(source), environment=environment)
    return build_context(workspace, models, config, **options)  # type: ignore[arg-type]


# where things go


def test_source_directory_keeps_its_name(workspace: Workspace, source: Path) -> None:
    (source / "lib").mkdir()
    (source / "lib" / "tool.sh").write_text("x")
    (source / "lib" / "tool.sh").chmod(0o755)

    context = context_of(workspace, source)

    assert [(file.path, file.mode) for file in context.code] == [("src/lib/tool.sh", 0o755), ("src/score.py", 0o644)]
    assert context.environ == {
        "AML_APP_ROOT": APP_ROOT,
        "AZUREML_ENTRY_SCRIPT": "src/score.py",
        "AZUREML_SOURCE_DIRECTORY": "src",
    }


def test_script_alone_lies_in_the_app_root(workspace: Workspace, source: Path) -> None:
    context = build_context(workspace, [], InferenceConfig(str(source / "score.py")))

    assert [file.path for file in context.code] == ["score.py"]
    assert context.environ == {"AML_APP_ROOT": APP_ROOT, "AZUREML_ENTRY_SCRIPT": "score.py"}


def test_module_beside_a_script_alone_is_missed_aloud(workspace: Workspace, source: Path) -> None:
    (source / "score.py").write_text(f"import json, features\n{SCRIPT}")
    (source / "features.py").touch()

    context = build_context(workspace, [], InferenceConfig(str(source / "score.py")))

    said = "score.py imports features, which is not packaged: name the folder that holds both as the source directory."
    assert said in context.notes


def test_one_model_is_the_model_dir(workspace: Workspace, source: Path) -> None:
    register(workspace, "m", "file", "model.pkl", **{"model.pkl": b"1"})

    context = context_of(workspace, source, "m")

    assert context.environ["AZUREML_MODEL_DIR"] == "/var/azureml-app/azureml-models/m/1"
    assert [file.path for model in context.models for file in model.files] == ["azureml-models/m/1/model.pkl"]


def test_folder_keeps_its_basename(workspace: Workspace, source: Path) -> None:
    register(workspace, "m", "folder", "net", **{"weights": b"1", "deep/config": b"2"})

    context = context_of(workspace, source, "m:1")

    assert [file.path for model in context.models for file in model.files] == [
        "azureml-models/m/1/net/deep/config",
        "azureml-models/m/1/net/weights",
    ]


def test_empty_folders_of_a_model_are_there(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    (tmp_path / "net" / "assets").mkdir(parents=True)
    (tmp_path / "net" / "weights").write_text("1")
    Model.register(workspace, str(tmp_path / "net"), "m")

    materialise(context_of(workspace, source, "m:1"), str(tmp_path / "root"))

    assert sorted(os.listdir(tmp_path / "root/azureml-models/m/1/net")) == ["assets", "weights"]


def test_many_models_share_their_parent(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    register(workspace, "m", "file", "model.pkl", **{"model.pkl": b"1"})
    register(workspace, "m", "file", "model.pkl", **{"model.pkl": b"2"})
    (tmp_path / "b.onnx").write_bytes(b"3")

    context = context_of(workspace, source, "m", "m:1", str(tmp_path / "b.onnx"))

    assert context.environ["AZUREML_MODEL_DIR"] == "/var/azureml-app/azureml-models"
    assert [model.id for model in context.models] == ["b.onnx:0", "m:1", "m:2"]


def test_environment_variables_meet(workspace: Workspace, source: Path) -> None:
    environment = Environment("demo")
    environment.environment_variables = {"WORKER_COUNT": "3", "MINE": "1", "AML_APP_ROOT": "/tmp"}
    config = InferenceConfig("score.py", source_directory=str(source), environment=environment)

    context = build_context(workspace, [], config, {"WORKER_COUNT": "1", "SCORING_TIMEOUT_MS": "60"})

    assert context.environ == {
        "AML_APP_ROOT": APP_ROOT,
        "AZUREML_ENTRY_SCRIPT": "src/score.py",
        "AZUREML_SOURCE_DIRECTORY": "src",
        "MINE": "1",
        "SCORING_TIMEOUT_MS": "60",
        "WORKER_COUNT": "3",
    }
    assert "AML_APP_ROOT is set by the deployment, your value has no effect." in context.notes


def test_same_files_make_equal_contexts(workspace: Workspace, source: Path) -> None:
    assert context_of(workspace, source) == context_of(workspace, source)


# what is left out, and what is refused


def test_what_never_belongs_into_an_image_is_left_out(workspace: Workspace, source: Path) -> None:
    for name in (".git/config", "__pycache__/score.pyc", ".venv/pyvenv.cfg", "old.pyc"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("x")
    (source / ".gitignore").write_text("data.csv\n")
    (source / "data.csv").write_text("1")

    assert [file.path for file in context_of(workspace, source).code] == [
        "src/.gitignore",
        "src/data.csv",
        "src/score.py",
    ]


def test_secrets_are_refused_and_listed(workspace: Workspace, source: Path) -> None:
    (source / ".env").write_text("A=b")
    (source / ".aws").mkdir()
    (source / ".aws" / "credentials").write_text("x")
    (source / "tls.pem").write_text("-----BEGIN RSA PRIVATE " + "KEY-----\nMIIabc\n")
    (source / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIabc\n")

    with pytest.raises(PackagingError) as caught:
        context_of(workspace, source)

    assert str(caught.value).splitlines()[1:4] == [
        "  .aws/credentials: that folder holds credentials",
        "  .env: files called .env hold credentials",
        "  tls.pem: holds a private key",
    ]
    assert str(caught.value).endswith("--allow-secret .aws/credentials")


def test_secrets_in_json_and_in_other_spellings_are_refused(workspace: Workspace, source: Path) -> None:
    key = "-----BEGIN PRIVATE " + "KEY-----"
    (source / "account.json").write_text(json.dumps({"private_key": f"{key}\nMIIabc"}))
    (source / "Prod.ENV").write_text("A=b")
    (source / "login.ppk").write_text("x")
    (source / "harmless.py").write_text(f'text = "{key}\\n" + body\n')

    with pytest.raises(PackagingError) as caught:
        context_of(workspace, source)

    assert str(caught.value).splitlines()[1:4] == [
        "  Prod.ENV: files called Prod.ENV hold credentials",
        "  account.json: holds a private key",
        "  login.ppk: files called login.ppk hold credentials",
    ]


def test_secrets_beside_a_model_that_is_given_by_its_path_are_refused(
    workspace: Workspace, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / ".env").write_text("A=b")
    config = InferenceConfig(str(source / "score.py"))

    with pytest.raises(PackagingError, match=r"\.env: files called \.env hold credentials"):
        build_context(workspace, [str(tmp_path / "net")], config)
    allowed = build_context(workspace, [str(tmp_path / "net")], config, allow_secrets=[".env"])
    assert [file.path for file in allowed.models[0].files] == ["azureml-models/net/0/net/.env"]


def test_script_alone_may_hold_no_key_either(workspace: Workspace, source: Path) -> None:
    (source / "score.py").write_text(f"# -----BEGIN PRIVATE {'KEY'}-----\n#\n{SCRIPT}".replace("#\n", "MIIabc = 1\n"))

    with pytest.raises(PackagingError, match=r"score.py: holds a private key"):
        build_context(workspace, [], InferenceConfig(str(source / "score.py")))


def test_examples_and_public_keys_are_no_secrets(workspace: Workspace, source: Path) -> None:
    (source / ".env.example").write_text("A=")
    (source / "id_rsa.pub").write_text("ssh-rsa x")

    assert len(context_of(workspace, source).code) == 3


def test_allowed_secret_is_packaged(workspace: Workspace, source: Path) -> None:
    (source / ".env").write_text("A=b")

    context = context_of(workspace, source, allow_secrets=["./.env"])

    assert "src/.env" in [file.path for file in context.code]


def test_link_is_followed(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "tool.py").write_text("x = 1\n")
    (source / "shared").symlink_to(tmp_path / "shared")

    assert [file.path for file in context_of(workspace, source).code] == ["src/score.py", "src/shared/tool.py"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere", "No such file or directory"),
        ("link", "Too many levels of symbolic"),
        (".", "is a link to a folder that it lies in"),
    ],
)
def test_link_that_cannot_be_followed_is_refused(workspace: Workspace, source: Path, target: str, said: str) -> None:
    (source / "link").symlink_to(target)

    with pytest.raises(PackagingError, match=said):
        context_of(workspace, source)


def test_name_that_no_document_can_hold_is_refused(workspace: Workspace, source: Path) -> None:
    Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9.txt")).write_text("x")

    with pytest.raises(PackagingError, match=r"'.*caf\\udce9.txt': the name is not UTF-8. Rename the file"):
        context_of(workspace, source)


def test_folder_that_cannot_be_read_is_named(
    workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "closed").mkdir()
    real = os.listdir

    def listdir(path: str) -> list[str]:  # for root every folder is open
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)

    with pytest.raises(PackagingError, match=r"closed cannot be read: Permission denied. Make it readable"):
        context_of(workspace, source)


def test_pipe_is_refused(workspace: Workspace, source: Path) -> None:
    os.mkfifo(source / "pipe")

    with pytest.raises(PackagingError, match="not a plain file"):
        context_of(workspace, source)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("score.txt", SCRIPT, "expected a file that ends in .py, got"),
        ("my-score.py", SCRIPT, "'my-score' cannot be imported"),
        ("class.py", SCRIPT, "'class' cannot be imported"),
        ("score.py", "def init(:\n", r"score.py, line 1: invalid syntax. Fix that line."),
        ("score.py", "\0", "null bytes. Fix that line"),
        ("none.py", None, "No such file or directory. Name the script"),
        ("../outside.py", SCRIPT, "is not among the files of"),
    ],
)
def test_script_that_cannot_be_served_is_refused(
    workspace: Workspace, source: Path, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (source / name).write_text(text)
    config = InferenceConfig(name, source_directory=str(source))

    with pytest.raises(PackagingError, match=said):
        build_context(workspace, [], config)


def test_source_directory_has_to_be_there(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match="is not a folder"):
        build_context(workspace, [], InferenceConfig("score.py", source_directory=str(tmp_path / "none")))


def test_source_directory_named_as_the_models_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "azureml-models").mkdir()
    (tmp_path / "azureml-models" / "score.py").write_text(SCRIPT)

    with pytest.raises(PackagingError, match="Rename it"):
        build_context(workspace, [], InferenceConfig("score.py", source_directory=str(tmp_path / "azureml-models")))


def test_a_thousand_models_are_the_most(workspace: Workspace, source: Path) -> None:
    with pytest.raises(PackagingError, match="at most 1000 models, and here are 1001"):
        context_of(workspace, source, *["m"] * 1001)


def test_model_given_twice_is_refused(workspace: Workspace, source: Path) -> None:
    register(workspace, "m", "file", "model.pkl", **{"model.pkl": b"1"})

    with pytest.raises(PackagingError, match="m:1 is given twice"):
        context_of(workspace, source, "m", "m:1")


def test_missing_model_names_the_versions(workspace: Workspace, source: Path) -> None:
    register(workspace, "m", "file", "model.pkl", **{"model.pkl": b"1"})

    with pytest.raises(ModelNotFound, match=r"m:7 is not registered in .*; versions there: 1"):
        context_of(workspace, source, "m:7")
    with pytest.raises(ModelNotFound, match="No model 'none' is registered"):
        context_of(workspace, source, "none")


# on disk


def test_change_after_listing_is_noticed(workspace: Workspace, source: Path) -> None:
    (file,) = context_of(workspace, source).code
    (source / "score.py").write_text(SCRIPT + "\n# more\n")

    with pytest.raises(PackagingError, match="changed while it was packaged"):
        list(chunks(file))


def test_file_that_is_gone_is_named(workspace: Workspace, source: Path) -> None:
    (file,) = context_of(workspace, source).code
    (source / "score.py").unlink()

    with pytest.raises(PackagingError, match="cannot be read any more: No such file"):
        list(chunks(file))


def test_damaged_model_is_noticed(workspace: Workspace, source: Path) -> None:
    register(workspace, "m", "file", "model.pkl", **{"model.pkl": b"1"})
    (file,) = context_of(workspace, source, "m").models[0].files
    Path(file.source).write_bytes(b"2")

    with pytest.raises(BlobCorrupt, match="is damaged: its sha256 is"):
        list(chunks(file))


def test_app_root_needs_an_empty_folder(workspace: Workspace, source: Path) -> None:
    with pytest.raises(PackagingError, match="is not empty"):
        materialise(context_of(workspace, source), str(source))


def test_app_root_that_cannot_be_written_is_named(workspace: Workspace, source: Path) -> None:
    context = context_of(workspace, source)
    root = source.parent / "root"
    root.mkdir()
    broken = dataclasses.replace(context.code[0], path="x" * 300)

    with pytest.raises(PackagingError, match=r"cannot be written: File name too long. Name another folder"):
        materialise(dataclasses.replace(context, code=(broken,)), str(root))


def test_full_disk_is_named(workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the one file that is always full."""
    context = context_of(workspace, source)
    root = source.parent / "root"
    (root / "src").mkdir(parents=True)
    (root / "src" / "score.py").symlink_to("/dev/full")
    monkeypatch.setattr(os, "listdir", lambda path: [])

    with pytest.raises(DiskFull, match="bytes do not fit on this disk"):
        materialise(context, str(root))


def test_materialised_app_root_serves_with_its_models(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    register(workspace, "one", "file", "model.txt", **{"model.txt": b"uno"})
    register(workspace, "two", "folder", "net", **{"a/weights.txt": b"due"})
    (source / "texts.py").write_text("GREETING = 'ciao'\n")
    (source / "score.py").write_text(
        "import os, texts\n"
        "from azureml.core.model import Model\n"
        "def init(): pass\n"
        "def run(raw_data):\n"
        "    path = os.path.join(os.environ['AZUREML_MODEL_DIR'], 'two', '1', 'net', 'a', 'weights.txt')\n"
        "    return [texts.GREETING, open(Model.get_model_path('one')).read(), open(path).read(), os.environ['MINE']]\n"
    )
    environment = Environment("demo")
    environment.environment_variables = {"MINE": "mio"}
    config = InferenceConfig("score.py", source_directory=str(source), environment=environment)
    context = build_context(workspace, ["one", "two"], config)
    root = tmp_path / "root"

    materialise(context, str(root))

    environ = environ_in(context, str(root))
    script = environ.pop("AZUREML_ENTRY_SCRIPT")
    server = Server(Path(script), folder=root, **environ)
    try:
        assert server.wait_ready().post("").json() == ["ciao", "uno", "due", "mio"]
    finally:
        server.end()
    assert (root / "model_config_map.json").stat().st_size > 0
