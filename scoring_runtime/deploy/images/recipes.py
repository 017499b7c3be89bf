"""Which layers an image has above its base, in which order, and by which key each is found again.

1 dependencies   /opt/scoring-runtime, a virtual environment of the base's Python, written without running it
2 project        scoring-runtime itself, in there
3 models         one each, so that images share them; many share layers by their names' hash
4 description    the lock and the bill of materials, /opt/scoring-runtime/share
5 code           the script's folder: what changes most, so it comes last
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.own_wheel import DISTRIBUTION
from scoring_runtime.deploy.environments.packaging import APP_ROOT, BuildContext, PackagedModel
from scoring_runtime.deploy.environments.wheels import fetch, unpack
from scoring_runtime.deploy.images.interpreter import Interpreter
from scoring_runtime.deploy.images.layer_cache import key_of, stamp
from scoring_runtime.deploy.images.layers import Entry, entries_below

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.lock import Lock, LockedPackage
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["PREFIX", "Recipe", "recipes"]

PREFIX = "/opt/scoring-runtime"
MODEL_LAYERS = 64  # overlay file systems take about 127 layers in all


@dataclass(frozen=True)
class Recipe:
    """One layer that may have to be made."""

    name: str  # dependencies, project, model iris:1, ...
    detail: str
    entries: Callable[[str], Iterable[Entry]]  # given an empty folder for what must be unpacked first
    key: str = ""  # empty: always made anew


def recipes(
    workspace: Workspace,
    context: BuildContext,
    lock: Lock | None,
    interpreter: Interpreter,
    description: dict[str, bytes],
    seconds: int,
) -> list[Recipe]:
    """`description`: file name -> content, of what the image says about itself."""
    result = []
    if lock is not None:
        own = [package for package in lock.packages if package.name == DISTRIBUTION]
        others = [package for package in lock.packages if package.name != DISTRIBUTION]
        result.append(packages_recipe(workspace, "dependencies", others, interpreter, seconds, venv=True))
        if own:
            result.append(packages_recipe(workspace, "project", own, interpreter, seconds))
    result += [model_recipe(group, seconds) for group in grouped(context.models)]
    about = [Entry.of_bytes(f"{PREFIX[1:]}/share/{name}", content) for name, content in description.items()]
    result.append(Recipe("description", ", ".join(sorted(description)), lambda scratch: about))
    result.append(Recipe("code", f"{len(context.code)} files", lambda scratch: code_entries(context)))
    return result


def packages_recipe(
    workspace: Workspace,
    name: str,
    packages: list[LockedPackage],
    interpreter: Interpreter,
    seconds: int,
    venv: bool = False,
) -> Recipe:
    wheels = [[package.file, package.sha256] for package in packages]
    key = key_of(name, PREFIX, interpreter.path, interpreter.version, wheels, seconds)

    def entries(scratch: str) -> Iterator[Entry]:
        commands = os.path.join(scratch, "bin")
        site = os.path.join(scratch, "lib", f"python{interpreter.version}", "site-packages")
        for wheel in fetch(workspace, packages):
            unpack(wheel, site, commands, f"{PREFIX}/bin/python")
        yield from entries_below(scratch, PREFIX)
        if venv:
            yield from venv_entries(interpreter)

    detail = f"{len(packages)} packages" if venv else f"{packages[0].name} {packages[0].version}"
    return Recipe(name, detail, entries, key)


def venv_entries(interpreter: Interpreter) -> list[Entry]:
    """What makes a folder a virtual environment. What the base has installed stays visible, after what is ours."""
    lines = [
        f"home = {posixpath.dirname(interpreter.path)}",
        "include-system-site-packages = true",
        f"version = {interpreter.version}",
    ]
    home = PREFIX[1:]
    return [
        Entry.of_bytes(f"{home}/pyvenv.cfg", "\n".join([*lines, ""]).encode()),
        Entry.of_link(f"{home}/bin/python", interpreter.path),
        Entry.of_link(f"{home}/bin/python3", "python"),
    ]


def grouped(models: tuple[PackagedModel, ...]) -> list[list[PackagedModel]]:
    """One layer a model; of more than fit, those whose names' hashes say so share one, whatever the others are."""
    if len(models) <= MODEL_LAYERS:
        return [[model] for model in models]
    groups: dict[int, list[PackagedModel]] = {}
    for model in models:
        bucket = int(hashlib.sha256(model.id.encode()).hexdigest(), 16) % MODEL_LAYERS
        groups.setdefault(bucket, []).append(model)
    return [groups[bucket] for bucket in sorted(groups)]


def model_recipe(models: list[PackagedModel], seconds: int) -> Recipe:
    """Registered files have hashes, so that nothing needs to be read to know the layer; others go by their stamps."""
    files = [file for model in models for file in model.files]
    empty = [one for model in models for one in model.empty_folders]
    key = key_of("models", [[f.path, f.sha256 or stamp(f.source), f.size, f.mode] for f in files], empty, seconds)
    name = f"model {models[0].id}" if len(models) == 1 else f"{len(models)} models"
    return Recipe(
        name,
        f"{len(files)} files, {sum(file.size for file in files):,} bytes",
        lambda scratch: [
            *(Entry.of_file(file, APP_ROOT) for file in files),
            *(Entry.of_folder(f"{APP_ROOT[1:]}/{one}") for one in empty),
        ],
        key,
    )


def code_entries(context: BuildContext) -> Iterator[Entry]:
    for name, content in context.documents().items():
        yield Entry.of_bytes(f"{APP_ROOT[1:]}/{name}", content)
    for file in context.code:
        yield Entry.of_file(file, APP_ROOT)
