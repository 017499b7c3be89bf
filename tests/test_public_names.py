"""Every module says in __all__ what it offers: names that it has, and all that the other parts import from it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import scoring_runtime

ROOT = Path(scoring_runtime.__path__[0])
NAMES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if path.name not in ("__main__.py", "__init__.py")
)


def tree_of(name: str) -> ast.Module:
    return ast.parse(ROOT.parent.joinpath(*name.split(".")).with_suffix(".py").read_text())


def defined(tree: ast.Module) -> set[str]:
    """The names bound at the top of a module; of imports only those of our own, which it may hand on."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {leaf.id for target in node.targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scoring_runtime"):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def declared(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def test_there_are_modules() -> None:
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", NAMES)
def test_module_offers_what_it_has(name: str) -> None:
    tree = tree_of(name)
    offered = declared(tree)

    assert offered, f"{name} has no __all__"
    assert len(offered) == len(set(offered))
    assert set(offered) <= defined(tree)


@pytest.mark.parametrize("name", NAMES)
def test_module_says_what_it_is_for(name: str) -> None:
    assert (ast.get_docstring(tree_of(name)) or "").strip()


@pytest.mark.parametrize("path", sorted(ROOT.rglob("__init__.py")), ids=lambda path: str(path.parent.name))
def test_packages_are_empty_or_name_what_they_hand_on(path: Path) -> None:
    """The package itself is a tour and a version; what another one hands on is all in its __all__."""
    tree = ast.parse(path.read_text())
    if path.parent == ROOT:
        assert defined(tree) == {"__version__"}
        return
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)  # also what is imported on first use only
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scoring_runtime")
        for alias in node.names
    }

    assert imported == set(declared(tree))


@pytest.mark.parametrize("name", NAMES)
def test_parts_import_from_each_other_only_what_is_offered(name: str) -> None:
    part = name.split(".")[1]
    taken = {
        f"{node.module} {alias.name}"
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.ImportFrom) and node.module in NAMES and node.module.split(".")[1] != part
        for alias in node.names
        if alias.name not in declared(tree_of(node.module))
    }

    assert taken == set()


def test_declared_names_are_there_when_imported() -> None:
    for name in ("scoring_runtime.errors", "scoring_runtime.settings", "scoring_runtime.api.request"):
        module = importlib.import_module(name)

        assert [one for one in module.__all__ if not hasattr(module, one)] == []
