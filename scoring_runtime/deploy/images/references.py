"""Names of images in registries: `host:port/repository:tag`, `host/repository@sha256:...`, and Docker's short forms."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from scoring_runtime.errors import RegistryError

__all__ = ["Reference"]

DOCKER_HUB = "docker.io"
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = re.compile(rf"{COMPONENT}(?:/{COMPONENT})*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """Where an image is, or goes to."""

    registry: str  # host, or host:port
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}"
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def target(self) -> str:
        """What to ask the registry for."""
        return self.digest or self.tag

    @property
    def host(self) -> str:
        """That answers for the registry."""
        return "registry-1.docker.io" if self.registry == DOCKER_HUB else self.registry

    @property
    def is_loopback(self) -> bool:
        name = self.registry.rpartition(":")[0] if ":" in self.registry else self.registry
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return name == "localhost"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises RegistryError. `python:3.11` is docker.io/library/python:3.11, as everywhere."""
        rest = text.removeprefix("docker://")
        rest, _, digest = rest.partition("@")
        first, slash, remainder = rest.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, rest = first, remainder
        else:
            registry = DOCKER_HUB
        repository, _, tag = rest.partition(":")
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        correct = (
            REPOSITORY.fullmatch(repository)
            and (not tag or TAG.fullmatch(tag))
            and (not digest or DIGEST.fullmatch(digest))
        )
        if not correct:
            raise RegistryError(
                f"{text!r} is not the name of an image in a registry. Expected lower case, like "
                "registry.example.com:5000/team/image:1 or image@sha256:<64 hexadecimal digits>."
            )
        return cls(registry, repository, tag or ("" if digest else "latest"), digest)
