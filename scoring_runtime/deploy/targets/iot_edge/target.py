"""The IoT Edge host: a manifest is made, checked, and set by az; the device does the rest."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.base import Plan, Progress, Status
from scoring_runtime.deploy.targets.iot_edge.az import (
    Run,
    agent_twin_command,
    create_layer_command,
    delete_layer_command,
    layers_command,
    logs_command,
    run_az,
    set_modules_command,
    shown,
)
from scoring_runtime.deploy.targets.iot_edge.checks import problems
from scoring_runtime.deploy.targets.iot_edge.manifest import hidden, manifest, manifest_text
from scoring_runtime.deploy.targets.iot_edge.modules import name_of, takes_messages
from scoring_runtime.deploy.targets.iot_edge.reported import status_of
from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.iot_edge.edge import Edge

__all__ = ["IotEdgeTarget"]

FILE = "deployment.json"


class IotEdgeTarget:
    """One device, or with a target condition many."""

    def __init__(
        self, edge: Edge, run: Run = run_az, platforms: Callable[[str], Sequence[str]] = lambda image: ()
    ) -> None:
        self.edge = edge
        self.run = run
        self.platforms = platforms  # for which an image is, such as linux/amd64; nothing where that is not known

    def plan(self, service: Service) -> Plan:
        document = checked(service, self.edge)
        steps = [
            f"Write {FILE}: a {'layer' if self.edge.layered else 'whole manifest'} with the module {name_of(service)}.",
            f"Run: {shown(self.command(service, FILE))}",
        ]
        if takes_messages(service):
            steps.insert(
                0, "A route leads into the module: its image needs scoring-runtime[iot], and runs scoring-iot."
            )
        return Plan(tuple(steps), {FILE: manifest_text(hidden(document))}, {FILE: manifest_text(document)})

    def command(self, service: Service, path: str) -> list[str]:
        make = create_layer_command if self.edge.layered else set_modules_command
        return make(service, self.edge, path)

    def apply(self, service: Service, progress: Progress) -> None:
        self.needs_a_hub(service)
        self.needs_the_platform(service)
        document = checked(service, self.edge)
        layer = f"{service.name}-{service.revision}"
        layers = self.layers(service) if self.edge.layered else []
        if layer not in layers:
            with private_file(manifest_text(document)) as path:
                progress(f"setting the modules of {service.deployment.device_id}")
                self.run(self.command(service, path))
        for old in layers:
            if old != layer:
                progress(f"removing the layer {old}")
                self.run(delete_layer_command(self.edge, old))

    def layers(self, service: Service) -> list[str]:
        """Of earlier revisions."""
        found = [str(one["id"]) for one in self.run(layers_command(self.edge)) or []]
        return [one for one in found if one.rpartition("-")[0] == service.name and one.rpartition("-")[2].isdigit()]

    def status(self, service: Service) -> Status:
        self.needs_a_hub(service)
        twin: dict[str, Any] = self.run(agent_twin_command(service, self.edge)) or {}
        return status_of(twin, name_of(service), None)

    def logs(self, service: Service, lines: int, init: bool = False) -> str:
        self.needs_a_hub(service)
        answer = self.run(logs_command(service, self.edge, name_of(service), lines)) or {}
        if answer.get("status") != 200:
            raise TargetError(f"{service.name}: the device's agent answered {json.dumps(answer)}, expected logs.")
        return "".join(part["payload"] for part in answer["payload"])

    def delete(self, service: Service, progress: Progress) -> None:
        """A layer goes; a whole manifest is replaced by one with the runtime only."""
        self.needs_a_hub(service)
        if self.edge.layered:
            for layer in self.layers(service):
                progress(f"removing the layer {layer}")
                self.run(delete_layer_command(self.edge, layer))
            return
        content = manifest(service, self.edge)["modulesContent"]
        content["$edgeAgent"]["properties.desired"]["modules"] = {}
        content["$edgeHub"]["properties.desired"]["routes"] = {}
        empty = {"modulesContent": {name: content[name] for name in ("$edgeAgent", "$edgeHub")}}
        with private_file(manifest_text(empty)) as path:
            progress(f"removing the modules of {service.deployment.device_id}")
            self.run(set_modules_command(service, self.edge, path))

    def needs_a_hub(self, service: Service) -> None:
        if not self.edge.hub:
            raise TargetError(
                f"{service.name}: expected the name of the IoT hub; list them with: az iot hub list --query [].name"
            )

    def needs_the_platform(self, service: Service) -> None:
        platforms = self.platforms(service.image)
        wanted = f"linux/{self.edge.platform}"
        if platforms and not any(one == wanted or one.startswith(f"{wanted}/") for one in platforms):
            raise TargetError(
                f"{service.name}: the device is {wanted}, and {service.image} is for {', '.join(platforms)}. Build one "
                f"for it (scoring image build --platform {wanted}) and deploy that; or attach with another platform."
            )


def checked(service: Service, edge: Edge) -> dict[str, Any]:
    document = manifest(service, edge)
    if found := problems(document):
        raise TargetError(f"{service.name}: the manifest would not work: {'; '.join(found)}.")
    return document


@contextmanager
def private_file(text: str) -> Iterator[str]:
    """Only its owner reads it, and only as long as az needs it: it may have passwords."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, FILE)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        yield path
