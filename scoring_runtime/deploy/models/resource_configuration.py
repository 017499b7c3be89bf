"""What a model asks for where it is deployed without further words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scoring_runtime.errors import ModelError

__all__ = ["ResourceConfiguration"]


@dataclass(frozen=True)
class ResourceConfiguration:
    """Processors (may be a part of one), memory in GB, and GPUs; None leaves it to the deployment."""

    cpu: float | None = None
    memory_in_gb: float | None = None
    gpu: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise ModelError(f"ResourceConfiguration: {name}: expected a number of 0 or more, got {value!r}.")

    def serialize(self) -> dict[str, Any]:
        return {"cpu": self.cpu, "memoryInGB": self.memory_in_gb, "gpu": self.gpu}

    @classmethod
    def deserialize(cls, payload_obj: dict[str, Any] | None) -> ResourceConfiguration | None:
        if payload_obj is None:
            return None
        return cls(payload_obj.get("cpu"), payload_obj.get("memoryInGB"), payload_obj.get("gpu"))
