"""What surrounds the modules of a device: its hub, the runtime's images, how messages are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scoring_runtime.errors import TargetError

__all__ = ["Edge"]

PLATFORMS = ("amd64", "arm64")


@dataclass(frozen=True)
class Edge:
    """A device that is registered with a hub already."""

    hub: str = ""  # the IoT hub's name
    platform: str = "amd64"  # for which the image must be there
    layered: bool = False  # only this service's part, on top of a base deployment
    priority: int = 10  # of a layered deployment: the higher one wins
    target_condition: str = ""  # which devices a layered deployment is for; else this one
    runtime_version: str = "1.5"
    min_docker_version: str = "v1.25"
    host_port: int | None = None  # else the port in the container
    restart_policy: str = "always"
    image_pull_policy: str = "on-create"
    startup_order: int | None = None  # lower ones first; after the hub, which is 0
    time_to_live_seconds: int = 7200  # how long the hub keeps messages while the upstream is away
    agent_environ: Mapping[str, Any] = field(default_factory=dict)
    hub_environ: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise TargetError(
                f"platform: expected one of {', '.join(PLATFORMS)}, got {self.platform!r}. "
                "Build the image for one of these and name it here."
            )
