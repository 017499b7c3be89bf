"""A container in the words of Docker's create call, which dockerd, podman and IoT Edge's createOptions share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.deploy.targets.container import Container

__all__ = ["LOCAL", "create_options", "merged"]

LOCAL = "localhost/scoring"  # where an engine keeps what was loaded into it
GIB = 1024**3
Document = dict[str, Any]


def create_options(
    container: Container, host_port: int | None, host_address: str = "", limits: bool = True
) -> Document:
    """The served port on the host's (None: any free one), no rights, limits of cpu and memory, and the devices."""
    port = f"{container.port}/tcp"
    binding = {"HostPort": "" if host_port is None else str(host_port)}
    if host_address:
        binding["HostIp"] = host_address
    host: Document = {
        "PortBindings": {port: [binding]},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
    }
    if limits:
        memory = round((container.memory_gb_limit or container.memory_gb) * GIB)
        host |= {
            "NanoCpus": round((container.cpu_limit or container.cpu) * 10**9),
            "Memory": memory,
            "MemorySwap": memory,
        }
    if container.devices:
        host |= container.accelerator.host_config(container.devices, container.accelerator_options)
    return {"ExposedPorts": {port: {}}, "HostConfig": host}


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Document:
    """Theirs over ours, objects key by key."""
    result = dict(ours)
    for key, value in theirs.items():
        mine = result.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        result[key] = merged(mine, value) if both else value  # type: ignore[arg-type]
    return result
