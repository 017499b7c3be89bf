"""The script's part of an app root: the source directory or the script alone, read before it is taken."""

from __future__ import annotations

import ast
import keyword
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.code_folder import CodeFile, code_file, list_code, refuse_secrets
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.inference_config import InferenceConfig

__all__ = ["MODELS", "File", "file_of", "packaged_code"]

MODELS = "azureml-models"  # beside the code


@dataclass(frozen=True, order=True)
class File:
    """One file of the app root, and where its bytes are now."""

    path: str  # below the app root
    source: str
    size: int
    mode: int  # 0o644 or 0o755
    sha256: str = ""  # of a registered model's file
    modified_ns: int = 0  # of any other, as it was when it was listed


def packaged_code(config: InferenceConfig, allow_secrets: Collection[str]) -> tuple[tuple[File, ...], str, list[str]]:
    """The files, the entry script below the app root, and what to say."""
    folder = config.source_directory
    if folder is None:
        tree = parsed(config.entry_script)
        alone = code_file(config.entry_script, os.path.basename(config.entry_script))
        refuse_secrets([alone], allow_secrets)
        return (file_of(alone, ""),), alone.path, left_behind(config.entry_script, tree)
    if not os.path.isdir(folder):
        raise PackagingError(f"sourceDirectory: {folder} is not a folder. Name the folder that holds the entry script.")
    parsed(os.path.join(folder, config.entry_script))
    prefix = os.path.basename(os.path.abspath(folder))
    if prefix in ("", MODELS):
        raise PackagingError(f"sourceDirectory: {folder} cannot be packaged under its name {prefix!r}. Rename it.")
    files = list_code(folder)
    refuse_secrets(files, {os.path.normpath(path) for path in allow_secrets})
    entry = f"{prefix}/{os.path.normpath(config.entry_script)}"
    packaged = tuple(file_of(file, f"{prefix}/") for file in files)
    if entry not in {file.path for file in packaged}:
        raise PackagingError(
            f"entryScript: {config.entry_script} is not among the files of {folder}. Put the script into that folder."
        )
    return packaged, entry, []


def file_of(file: CodeFile, prefix: str) -> File:
    mode = 0o755 if file.executable else 0o644
    return File(prefix + file.path, file.source, file.size, mode, modified_ns=file.modified_ns)


def parsed(script: str) -> ast.Module:
    """The script's tree. Raises PackagingError for what no server could load."""
    name = os.path.basename(script)
    stem, ending = os.path.splitext(name)
    if ending != ".py":
        raise PackagingError(f"entryScript: expected a file that ends in .py, got {script!r}. Rename it: {stem}.py")
    if not stem.isidentifier() or keyword.iskeyword(stem):
        raise PackagingError(f"entryScript: {stem!r} cannot be imported. Rename the file to a plain name: score.py")
    try:
        with open(script, "rb") as file:
            return ast.parse(file.read(), script)
    except OSError as error:
        here = "" if os.path.isabs(script) else f" (looked for in {os.getcwd()})"
        raise PackagingError(
            f"entryScript: {script}{here}: {error.strerror}. Name the script; with a source directory, relative to it."
        ) from None
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise PackagingError(f"entryScript: {script}{line}: {said}. Fix that line.") from None


def left_behind(script: str, tree: ast.Module) -> list[str]:
    """Modules beside the script that it imports: without a source directory only the script itself is packaged."""
    beside = os.path.dirname(os.path.abspath(script))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    names = {name.partition(".")[0] for name in imported}
    found = [
        name
        for name in sorted(names - {""})
        if os.path.isfile(os.path.join(beside, f"{name}.py"))
        or os.path.isfile(os.path.join(beside, name, "__init__.py"))
    ]
    what = f"{os.path.basename(script)} imports {', '.join(found)}, which is not packaged"
    return [f"{what}: name the folder that holds both as the source directory."] if found else []
