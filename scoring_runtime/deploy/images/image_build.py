"""From an order to a recorded image: a version, a log, blobs, and at last the state Succeeded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.pip_lines import masked
from scoring_runtime.deploy.images.builder import BuildOrder, build
from scoring_runtime.deploy.images.image_record import check_image_name, drafted, log_path, recorded, succeeded
from scoring_runtime.deploy.images.kept_bases import release_base
from scoring_runtime.deploy.workspaces.disk import room_for

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["build_image", "plan_lines"]

Progress = Callable[[str], None]


def build_image(
    workspace: Workspace,
    order: BuildOrder,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> int:
    """The version. Raises DeployError; then the version is recorded as Failed."""
    workspace.check_writable("Image.create")
    name = check_image_name(order.title)
    context = order.context
    draft = drafted([model.id for model in context.models], tags, properties, context.description)
    with (
        room_for(workspace.folder, 1 << 20),
        recorded(workspace, name, draft) as (version, change),
        Log(workspace, name, version, progress) as log,
    ):
        for note in context.notes:
            log(f"note: {note}")
        with workspace.blobs.adding() as adding:
            built = build(workspace, adding, order, log)
            change(succeeded(built))
        for base in built.bases:
            release_base(workspace, base)
        log(f"image {name}:{version} {built.descriptor.digest}, {built.made_bytes:,} bytes of it new")
    return version


class Log:
    """Lines with the seconds since the beginning, to a file beside the record and to whoever wants them."""

    def __init__(self, workspace: Workspace, name: str, version: int, progress: Progress | None) -> None:
        self.file = open(log_path(workspace, name, version), "w", encoding="utf-8")
        self.progress = progress
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        self.file.write(f"[{time.monotonic() - self.began:6.1f} s] {text}\n")
        self.file.flush()
        if self.progress is not None:
            self.progress(text)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.file.write(f"failed: {type(error).__name__}: {error}\n")
        self.file.close()


def plan_lines(order: BuildOrder, base: str) -> list[str]:
    """What build_image() would do, decided without the network and without a write."""
    context = order.context
    where = ", ".join(map(str, order.platforms)) or "the base's platform"
    bases = "".join(f"\n  for {platform}: {one}" for platform, one in order.bases.items())
    lines = [f"image {order.title}, its next version, for {where}", f"base {base}{bases}"]
    if context.requirements.pip:
        python = context.requirements.python or "the base's Python"
        packages = ", ".join(map(masked, context.requirements.pip))
        lines.append(f"dependencies: {packages} for {python}, locked and installed")
    for model in context.models:
        lines.append(f"model {model.id}: {len(model.files)} files, {sum(f.size for f in model.files):,} bytes")
    lines += [f"code {file.path}: {file.size:,} bytes" for file in context.code]
    lines += [f"environment {name}" for name in context.environ]
    return [*lines, *(f"note: {note}" for note in context.notes)]
