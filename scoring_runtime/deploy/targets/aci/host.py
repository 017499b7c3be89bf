"""A machine with a container engine, and what the same service is called on Azure."""

from __future__ import annotations

from dataclasses import dataclass

from scoring_runtime.errors import TargetError

__all__ = ["ContainerHost"]

RESTARTS = ("always", "on-failure", "no")


@dataclass(frozen=True)
class ContainerHost:
    """An engine that runs already: dockerd, or podman's service."""

    engine: str = ""  # unix:///run/docker.sock, tcp://..., ssh://...; else DOCKER_HOST, else the usual sockets
    address: str = "127.0.0.1"  # of the host, that the service is published at; 0.0.0.0 for all
    port: int | None = None  # else a free one, which the service then keeps
    restart_policy: str = "always"
    boot_seconds: int = 340  # how long a new container may take to become healthy
    log_megabytes: int = 100  # of a container, in three files
    resource_group: str = "RESOURCE-GROUP"  # these two are for the documents for Azure
    subscription: str = "SUBSCRIPTION"

    def __post_init__(self) -> None:
        if self.restart_policy not in RESTARTS:
            raise TargetError(f"restart_policy: expected one of {', '.join(RESTARTS)}, got {self.restart_policy!r}.")
