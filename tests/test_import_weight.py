"""What an import costs: nothing of others, until it is used; and what the package asks pip for."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT

HEAVY = ("gunicorn", "uvicorn", "starlette", "pandas", "numpy", "onnxruntime", "scoring_runtime.server", "asyncio")
API = sorted(f"scoring_runtime.api.{path.stem}" for path in (ROOT / "scoring_runtime/api").glob("[!_]*.py"))

# Issue 2: the most that the server alone may pull.
ALLOWED = {
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "gunicorn",
    "orjson",
    "numpy",
    "inference-schema",
    "python-multipart",
}


def loaded_after(statement: str) -> set[str]:
    """The modules in a fresh interpreter after a statement."""
    report = f"import sys\n{statement}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{report}"],
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_the_package_imports_nothing() -> None:
    before = loaded_after("")

    assert loaded_after("import scoring_runtime") - before == {"scoring_runtime"}


@pytest.mark.parametrize("name", ["scoring_runtime.compat", "scoring_runtime.settings", "scoring_runtime.script"])
def test_leaves_are_light(name: str) -> None:
    loaded = loaded_after(f"import {name}")

    assert loaded & set(HEAVY) == set()


def test_what_scripts_import_is_light() -> None:
    """All of scoring_runtime.api at once: a script, a batch job and a laptop pay for none of the server."""
    loaded = loaded_after("\n".join(f"import {name}" for name in API))

    assert loaded & set(HEAVY) == set()


def test_old_import_paths_are_light() -> None:
    old = "from azureml.contrib.services.aml_request import AMLRequest, rawhttp"
    loaded = loaded_after(f"from scoring_runtime import compat; compat.install()\n{old}")

    assert loaded & set(HEAVY) == set()


def test_the_command_forks_before_it_imports_a_framework() -> None:
    """What the arbiter imports before the first fork is in every process, and in the time to the first answer."""
    loaded = loaded_after(
        "import scoring_runtime.cli.serve, scoring_runtime.script, scoring_runtime.server.boot\n"
        "import scoring_runtime.server.sockets, scoring_runtime.server.logs"
    )

    assert loaded & {"gunicorn", "uvicorn", "starlette", "uvloop", "asyncio", "numpy", "pandas"} == set()


def test_help_imports_no_server() -> None:
    loaded = loaded_after(
        "from scoring_runtime.cli.serve import main\ntry:\n    sys.stdout = sys.stderr; main(['--help'])\n"
        "except SystemExit:\n    sys.stdout = sys.__stdout__"
    )

    assert not [name for name in loaded if name.startswith("scoring_runtime.server")]


def toml_list(name: str) -> list[str]:
    """A list of strings from pyproject.toml (tomllib came with Python 3.11; this also runs on 3.10)."""
    text = (ROOT / "pyproject.toml").read_text()
    match = re.search(rf"^{re.escape(name)} = (\[.*?\n?\])$", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return list(ast.literal_eval(match[1]))


def required() -> set[str]:
    return {re.split(r"[<>=\[; ]", line)[0] for line in toml_list("dependencies")}


def test_install_pulls_no_more_than_allowed() -> None:
    assert required() <= ALLOWED


def test_every_dependency_is_imported_and_every_import_declared() -> None:
    """inference-schema is what scripts import; the rest is ours."""
    imported = {
        (alias.name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
        for path in Path(ROOT / "scoring_runtime").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    optional = {
        "jwt",
        "packaging",
        "tomli",
        "tomllib",  # Python 3.11's own
        "dateutil",
        "pandas",
        "simdjson",
        "debugpy",
        "onnxruntime",
        "hls4ml",
        "joblib",
        "qonnx",
        "pyarrow",
        "yaml",
        "fsspec",
        "ray",
        "pyspark",
        "azure",
        "docker",
        "lightkube",
        "requests",  # of docker
    }
    others = {name for name in imported - optional if name not in sys.stdlib_module_names and name != "scoring_runtime"}
    comes_with_inference_schema = {"wrapt"}

    assert others - comes_with_inference_schema <= {name.replace("-", "_") for name in required()}
    assert {name.replace("-", "_") for name in required()} - others <= {"inference_schema"}
