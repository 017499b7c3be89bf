"""An image of the workspace where a host finds it: pushed to the host's registry, or loaded into its engine."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from scoring_runtime.deploy.images.image import Image
from scoring_runtime.deploy.images.layout import write_archive
from scoring_runtime.deploy.targets.base import Comparing, Plan, Progress, Status, Target
from scoring_runtime.deploy.targets.docker_options import LOCAL
from scoring_runtime.errors import ImageNotFound, TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Published", "archive_of"]

OURS = re.compile(
    r"[a-z0-9][a-z0-9.-]*:\d+"
)  # name:version of the workspace; a reference has a / or no version of ours
LOADED = re.compile(rf"{LOCAL}/(?P<id>.+:\d+)-[0-9a-f]{{12}}")
CHUNK = 1024 * 1024


class Published:
    """A host whose images come from a registry: `registry.example/team`. It is told references, never our names."""

    def __init__(self, target: Target, workspace: Workspace, registry: str) -> None:
        self.target = target
        self.workspace = workspace
        self.registry = registry.rstrip("/")

    def plan(self, service: Service) -> Plan:
        if OURS.fullmatch(service.image) and not self.registry:
            plan = self.target.plan(service)
            return replace(plan, steps=(without_registry(service), *plan.steps))
        return self.target.plan(self.placed(service))

    def diff(self, service: Service) -> Mapping[str, Sequence[str]]:
        """What the host says; nothing where it cannot be asked."""
        return self.target.diff(self.placed(service)) if isinstance(self.target, Comparing) else {}

    def apply(self, service: Service, progress: Progress) -> None:
        placed = self.placed(service)
        if placed.image != service.image and self.registry != LOCAL:
            progress(f"pushing {placed.image}")
            Image(self.workspace, id=service.image).push(placed.image)
        self.target.apply(placed, progress)

    def status(self, service: Service) -> Status:
        return self.target.status(service)

    def logs(self, service: Service, lines: int, init: bool = False) -> str:
        return self.target.logs(service, lines, init)

    def delete(self, service: Service, progress: Progress) -> None:
        self.target.delete(service, progress)

    def placed(self, service: Service) -> Service:
        """With a reference that the host can pull. Raises TargetError."""
        if not OURS.fullmatch(service.image):
            return service
        if not self.registry:
            raise TargetError(without_registry(service))
        image = self.loaded(service.image) if self.registry == LOCAL else f"{self.registry}/{service.image}"
        return replace(service, image=image)

    def loaded(self, id: str) -> str:
        """With the beginning of its digest: two workspaces may have an image of the same name in one engine."""
        try:
            digest = Image(self.workspace, id=id).descriptor.digest
        except ImageNotFound:  # a plan's, which is not built yet
            return f"{LOCAL}/{id}"
        return f"{LOCAL}/{id}-{digest[7:19]}"


def without_registry(service: Service) -> str:
    return (
        f"{service.name}: the host cannot pull {service.image} from this workspace. Attach the compute target with "
        "registry='registry.example/team', to which images are pushed; or push it yourself (scoring image push) and "
        "deploy from that reference."
    )


def archive_of(workspace: Workspace, reference: str) -> Iterator[bytes] | None:
    """What `docker load` takes, for a reference below LOCAL; None for any other."""
    match = LOADED.fullmatch(reference)
    return archive(workspace, Image(workspace, id=match["id"]), reference) if match else None


def archive(workspace: Workspace, image: Image, reference: str) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="scoring-load-") as folder:
        path = os.path.join(folder, "image.tar")
        write_archive(workspace.blobs, image.descriptor, path, reference, for_docker=True)
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
