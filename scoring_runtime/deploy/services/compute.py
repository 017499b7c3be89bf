"""Compute targets: where services may go beside this machine, attached by name. Nothing here creates one."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from scoring_runtime.deploy.workspaces.workspace import Workspace
from scoring_runtime.durable import make_folder, write_file
from scoring_runtime.errors import ConfigError, TargetError

__all__ = ["AksCompute", "AttachConfiguration", "ComputeTarget", "attach_engine"]

ENGINES = {
    "docker": ("/var/run/docker.sock",),
    "podman": ("/run/podman/podman.sock", "$XDG_RUNTIME_DIR/podman/podman.sock"),
}


@dataclass(frozen=True)
class AttachConfiguration:
    """How a cluster is reached."""

    kind: str
    settings: dict[str, Any]


class ComputeTarget:
    """An attached one, by its name: ComputeTarget(workspace, "cluster")."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        """Raises TargetError."""
        self.workspace = workspace
        self.name = name
        try:
            with open(path_of(workspace, name), "rb") as file:
                document = json.load(file)
        except FileNotFoundError:
            names = ", ".join(attached(workspace)) or "none"
            raise TargetError(
                f"No compute target {name!r} in {workspace.folder}; there: {names}. "
                f"Attach it: ComputeTarget.attach(ws, {name!r}, AksCompute.attach_configuration(context=...))"
            ) from None
        self.type: str = document["type"]
        self.settings: dict[str, Any] = document["settings"]
        self.provisioning_state = "Succeeded"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.settings!r})"

    @classmethod
    def attach(cls, workspace: Workspace, name: str, attach_configuration: AttachConfiguration) -> ComputeTarget:
        """Remember it. Attaching again changes it."""
        workspace.check_writable("ComputeTarget.attach")
        if not (2 <= len(name) <= 24 and name.replace("-", "").isalnum() and name[0].isalpha()):
            raise ConfigError("name", name, "2 to 24 letters, digits and -, a letter first")
        path = path_of(workspace, name)
        make_folder(os.path.dirname(path))
        document = {"type": attach_configuration.kind, "settings": attach_configuration.settings}
        write_file(path, json.dumps(document, indent=1).encode())
        return AksCompute(workspace, name)

    @staticmethod
    def list(workspace: Workspace) -> list[ComputeTarget]:
        return [ComputeTarget(workspace, name) for name in attached(workspace)]

    def detach(self) -> None:
        """Forget it; the cluster and what runs there stay."""
        os.unlink(path_of(self.workspace, self.name))

    def wait_for_completion(self, show_output: bool = False) -> None:
        """It is attached at once."""


class AksCompute(ComputeTarget):
    """A Kubernetes cluster, AKS or any other."""

    @staticmethod
    def attach_configuration(
        kubeconfig: str | None = None, context: str | None = None, namespace: str | None = None, **more: Any
    ) -> AttachConfiguration:
        """By a context of a kubeconfig. `more`: the other fields of a Cluster, see docs/hosts.md."""
        given = {"kubeconfig": kubeconfig and os.path.abspath(kubeconfig), "context": context, "namespace": namespace}
        return AttachConfiguration("aks", {name: value for name, value in {**given, **more}.items() if value})


def attach_engine(workspace: Workspace, engine: str) -> str:
    """A container engine of this machine as a compute target; says under which name. Raises ConfigError."""
    if "://" in engine:
        name, address = f"engine-{hashlib.sha256(engine.encode()).hexdigest()[:8]}", engine
    elif engine in ENGINES:
        sockets = [os.path.expandvars(path) for path in ENGINES[engine]]
        found = [path for path in sockets if os.path.exists(path)]
        name, address = f"engine-{engine}", f"unix://{(found or sockets)[0]}"
    else:
        raise ConfigError("engine", engine, f"{', '.join(ENGINES)}, or an address such as unix:///run/docker.sock")
    ComputeTarget.attach(workspace, name, AttachConfiguration("aci", {"engine": address}))
    return name


def path_of(workspace: Workspace, name: str) -> str:
    return workspace.path("compute", f"{name}.json")


def attached(workspace: Workspace) -> list[str]:
    folder = workspace.path("compute")
    found = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name[:-5] for name in found if name.endswith(".json"))
