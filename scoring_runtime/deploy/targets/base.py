"""What every host can do with a service: plan, apply, status, logs, delete. The verbs are webservice.py's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service

__all__ = [
    "FAILED",
    "HEALTHY",
    "TRANSITIONING",
    "UNHEALTHY",
    "UNSCHEDULABLE",
    "Comparing",
    "Plan",
    "Progress",
    "Status",
    "Target",
]

TRANSITIONING, HEALTHY, UNHEALTHY = "Transitioning", "Healthy", "Unhealthy"
UNSCHEDULABLE, FAILED = "Unschedulable", "Failed"

Progress = Callable[[str], None]  # told each step as it begins, in a few words


@dataclass(frozen=True)
class Plan:
    """What apply() would do: sentences in order, and the documents it would write or send."""

    steps: tuple[str, ...]
    documents: Mapping[str, str] = field(default_factory=dict)  # file name -> text, with stars for secrets
    files: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # the same whole, where other tools can take them


@dataclass(frozen=True)
class Status:
    """What is really there."""

    state: str
    error: str | None = None  # a named reason and what to do, where the state is bad
    scoring_uri: str | None = None
    replicas: int = 0  # that are ready


class Target(Protocol):
    def plan(self, service: Service) -> Plan:
        """Pure: reads and changes nothing outside."""
        ...

    def apply(self, service: Service, progress: Progress) -> None:
        """Make it so; again does nothing. Returns when the host has accepted it. Raises TargetError."""
        ...

    def status(self, service: Service) -> Status: ...

    def logs(self, service: Service, lines: int, init: bool = False) -> str: ...

    def delete(self, service: Service, progress: Progress) -> None: ...


@runtime_checkable
class Comparing(Protocol):
    """A host that says itself what apply() would change."""

    def diff(self, service: Service) -> Mapping[str, Sequence[str]]:
        """Object -> its changes; nothing is changed, and no secret is said. Raises TargetError."""
        ...
