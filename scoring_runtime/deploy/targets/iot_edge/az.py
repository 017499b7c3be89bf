"""The az commands for a device: as arguments, run through one seam, and what they answer."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.iot_edge.edge import Edge

__all__ = [
    "Run",
    "agent_twin_command",
    "create_layer_command",
    "delete_layer_command",
    "layers_command",
    "logs_command",
    "run_az",
    "set_modules_command",
    "shown",
]

SECONDS = 120
Run = Callable[[Sequence[str]], Any]  # a command of az; its JSON answer. Raises TargetError


def set_modules_command(service: Service, edge: Edge, path: str) -> list[str]:
    return ["az", "iot", "edge", "set-modules", *device(service, edge), "--content", path]


def create_layer_command(service: Service, edge: Edge, path: str) -> list[str]:
    condition = edge.target_condition or f"deviceId='{service.deployment.device_id}'"
    create = ["az", "iot", "edge", "deployment", "create", "--hub-name", edge.hub, "--layered"]
    about = ["--deployment-id", f"{service.name}-{service.revision}", "--priority", str(edge.priority)]
    return [*create, *about, "--target-condition", condition, "--content", path]


def delete_layer_command(edge: Edge, layer: str) -> list[str]:
    return ["az", "iot", "edge", "deployment", "delete", "--hub-name", edge.hub, "--deployment-id", layer]


def layers_command(edge: Edge) -> list[str]:
    return ["az", "iot", "edge", "deployment", "list", "--hub-name", edge.hub, "--top", "100"]


def agent_twin_command(service: Service, edge: Edge) -> list[str]:
    return ["az", "iot", "hub", "module-twin", "show", *device(service, edge), "--module-id", "$edgeAgent"]


def logs_command(service: Service, edge: Edge, module: str, lines: int) -> list[str]:
    """The agent's own method, which needs no way into the device."""
    wanted = {"id": f"^{module}$", "filter": {"tail": lines}}
    payload = {"schemaVersion": "1.0", "items": [wanted], "encoding": "none", "contentType": "text"}
    method = ["--module-id", "$edgeAgent", "--method-name", "GetModuleLogs"]
    call = ["az", "iot", "hub", "invoke-module-method", *device(service, edge), *method]
    return [*call, "--method-payload", json.dumps(payload)]


def device(service: Service, edge: Edge) -> list[str]:
    return ["--hub-name", edge.hub, "--device-id", service.deployment.device_id]


def shown(command: Sequence[str]) -> str:
    """For a shell."""
    return shlex.join(command)


def run_az(command: Sequence[str]) -> Any:
    """Run it here. The message of an error has no content of files."""
    if shutil.which("az") is None:
        raise TargetError(
            "There is no az command here. Install it (https://aka.ms/installazurecli) with "
            f"`az extension add --name azure-iot`, or run this where it is: {shown(command)}"
        )
    try:
        done = subprocess.run([*command, "--output", "json"], capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise TargetError(f"No answer within {SECONDS} s: {shown(command)}") from None
    if done.returncode:
        raise TargetError(f"{shown(command)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout or "null")
