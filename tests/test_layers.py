"""Who may import whom: the table, and a walk over every import statement that holds the code to it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "scoring_runtime"
ROOT = Path(__file__).parent.parent / PACKAGE

# What each part may import of ours. What is not in its row it must not import.
OURS: dict[str, set[str]] = {
    "errors": set(),
    "settings": {"errors"},
    "provider_options": {"errors"},
    "accelerators": {"errors", "provider_options"},
    "threads": set(),
    "emulation": {"errors"},
    "iot": {"errors", "settings"},
    "durable": set(),
    "signals": set(),
    "memory": set(),
    "compat": set(),  # its targets are strings
    "schemas": {"errors"},
    "api": {"errors", "accelerators", "threads", "emulation"},
    "script": {"errors", "compat"},
    "ready_scripts": {"api"},  # as any script
    "server": {"errors", "settings", "script", "api", "schemas", "compat", "threads", "signals", "memory"},
    "batch": {"errors", "settings", "script", "api", "schemas", "compat", "threads", "durable", "signals", "memory"},
    "deploy": {"errors", "settings", "accelerators", "durable", "supervisor"},
    "supervisor": {"durable", "signals"},
    "cli": {"*"},
    "__main__": {"cli"},
    "__init__": set(),
}

# What each part may import of others, beside the standard library; a star stands for anything.
THEIRS: dict[str, set[str]] = {
    "errors": set(),
    "settings": set(),
    "provider_options": set(),
    "accelerators": set(),
    "threads": set(),
    "emulation": {"numpy", "hls4ml", "qonnx"},
    "iot": {"azure"},
    "durable": set(),
    "signals": set(),
    "memory": set(),
    "compat": set(),
    "schemas": {"numpy", "orjson", "simdjson", "pandas", "pyspark", "dateutil", "wrapt", "inference_schema"},
    "api": {"orjson", "numpy", "pandas", "starlette"},
    "script": set(),
    "ready_scripts": {"joblib", "numpy", "pandas"},
    "server": {"starlette", "uvicorn", "uvloop", "httptools", "gunicorn", "debugpy", "onnxruntime", "jwt"},
    "batch": {"*"},
    "deploy": {"*"},
    "supervisor": set(),
    "cli": {"*"},
    "__main__": set(),
    "__init__": set(),
}
NEVER: dict[str, set[str]] = {"batch": {"starlette", "gunicorn", "uvicorn"}, "deploy": {"starlette", "gunicorn"}}

# Modules that only these import. The front runs no user code; the workers know no sockets; gunicorn comes last.
ONLY: dict[str, set[str]] = {
    "server.arbiter": {"server.boot"},
    "server.application": {"server.boot", "server.arbiter"},
    "server.user_code": {"server.application", "server.arbiter"},
    "server.front": {"server.boot"},
    "server.worker": {"server.boot", "server.application", "server.arbiter"},
    "server.boot": {
        "cli.serve",
        "server.application",
        "server.arbiter",
        "server.front",
        "server.user_code",
        "server.worker",
    },
    "server.routes": {"server.front"},
    "server.protocol": {"server.front"},
    "server.connection": {"server.protocol"},
    "server.dispatch": {"server.front"},
    "server.runner": {"server.worker", "server.async_runner"},
    "server.async_runner": {"server.runner"},
    "server.inputs": {"cli.preflight", "server.worker", "server.runner", "server.async_runner"},
    "server.outputs": {"cli.preflight", "server.worker", "server.runner", "server.async_runner"},
    "script": {
        *("cli.serve", "cli.check", "cli.preflight", "server.worker", "server.inputs"),
        *("batch.scorer", "batch.online"),
    },
}
FRONT = (
    "receiver",
    "bodies",
    "connection",
    "front",
    "sockets",
    "secured",
    "auth",
    "keys",
    "tls",
    "protocol",
    "call",
    "dispatch",
    "watch",
    "routes",
    "metrics",
    "info",
    "usage",
    "cors",
    "identity",
    "head",
    "target",
    "logs",
    "outlets",
    "sender",
)


class Import(NamedTuple):
    module: str  # that imports, without the package's name: "server.front"
    line: int
    target: str  # what it imports, in full
    typing_only: bool

    @property
    def part(self) -> str:
        return self.module.partition(".")[0]

    @property
    def ours(self) -> str:
        """The target without the package's name, if it is one of ours."""
        return self.target.removeprefix(PACKAGE).removeprefix(".") if self.target.startswith(PACKAGE) else ""

    def complaint(self, what: str) -> str:
        return f"{self.module.replace('.', '/')}.py:{self.line} {self.part} must not import {what}"


def imports_of(path: Path, root: Path = ROOT) -> Iterator[Import]:
    module = ".".join(path.relative_to(root).with_suffix("").parts)
    tree = ast.parse(path.read_text())
    guarded = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for child in test.body
        for node in ast.walk(child)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ("." * node.level + (node.module or "")) or "."
            in_package = [
                f"{package}.{alias.name}" for alias in node.names if is_module(f"{package}.{alias.name}", root)
            ]
            names = in_package or [package]
        else:
            continue
        for name in names:
            yield Import(module, node.lineno, name, id(node) in guarded)


def is_module(name: str, root: Path) -> bool:
    path = root.parent.joinpath(*name.split("."))
    return name.startswith(PACKAGE) and (path.is_dir() or path.with_suffix(".py").is_file())


def complaints(root: Path = ROOT) -> list[str]:
    found = []
    for path in sorted(root.rglob("*.py")):
        for one in imports_of(path, root):
            if one.target.startswith("."):
                found.append(one.complaint(f"{one.target} by a relative name"))
            elif one.target.startswith(PACKAGE):
                target = one.ours.partition(".")[0]
                allowed = OURS.get(one.part, set()) | {one.part, ""}
                if target not in allowed and "*" not in allowed:
                    found.append(one.complaint(target))
            else:
                library = one.target.partition(".")[0]
                allowed = THEIRS.get(one.part, set())
                if library in sys.stdlib_module_names:
                    continue
                if (library not in allowed and "*" not in allowed) or library in NEVER.get(one.part, set()):
                    found.append(one.complaint(library))
    return found


@cache
def all_imports() -> list[Import]:
    return [one for path in sorted(ROOT.rglob("*.py")) for one in imports_of(path)]


def test_every_part_keeps_to_its_row() -> None:
    assert complaints() == []


def test_every_part_has_a_row() -> None:
    parts = {path.stem if path.is_file() else path.name for path in ROOT.iterdir() if path.suffix in ("", ".py")}

    assert parts - {"__pycache__"} <= set(OURS)
    assert set(OURS) == set(THEIRS)


@pytest.mark.parametrize("module", ONLY)
def test_module_is_imported_by_its_few_friends(module: str) -> None:
    importers = {one.module for one in all_imports() if one.ours == module and not one.typing_only}

    assert importers <= ONLY[module]


@pytest.mark.parametrize("module", FRONT)
def test_front_never_meets_user_code(module: str) -> None:
    """So it can always answer; numpy, schemas and the script live in the workers."""
    strangers = {
        one.complaint(one.ours)
        for one in imports_of(ROOT / "server" / f"{module}.py")
        if one.ours.startswith(
            ("script", "schemas", "server.worker", "server.runner", "server.inputs", "server.outputs")
        )
    }

    assert strangers == set()


def test_nothing_imports_the_command_line() -> None:
    assert {one.module for one in all_imports() if one.ours.startswith("cli") and one.part != "cli"} == {"__main__"}


def test_a_forbidden_import_is_reported_with_its_place(tmp_path: Path) -> None:
    root = tmp_path / PACKAGE
    (root / "server").mkdir(parents=True)
    (root / "deploy").mkdir()
    (root / "deploy" / "oci.py").touch()
    (root / "server" / "app.py").write_text("from scoring_runtime.deploy import oci\nimport flask\n")

    assert complaints(root) == [
        "server/app.py:1 server must not import deploy",
        "server/app.py:2 server must not import flask",
    ]
