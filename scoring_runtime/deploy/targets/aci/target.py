"""The aci host: one container on a machine with an engine, replaced only by one that has shown to be healthy."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.aci.config import HASH, SERVICE, create_config, digest, fixed_port, port_of, shown
from scoring_runtime.deploy.targets.aci.container_group import (
    advice,
    arm_template,
    arm_text,
    container_group,
    group_yaml,
    hidden,
)
from scoring_runtime.deploy.targets.aci.engine import Engine, memory_events
from scoring_runtime.deploy.targets.aci.health import answers
from scoring_runtime.deploy.targets.aci.host import ContainerHost
from scoring_runtime.deploy.targets.aci.state import exit_reason, oom_kills, state_of
from scoring_runtime.deploy.targets.base import FAILED, Plan, Progress, Status
from scoring_runtime.deploy.targets.container import KEYS_FOLDER, TLS_FOLDER, Container, container_of
from scoring_runtime.deploy.targets.docker_options import LOCAL
from scoring_runtime.deploy.targets.log_words import last_words
from scoring_runtime.errors import TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service

__all__ = ["AciTarget"]

NEXT, OLD = "next", "old"  # suffixes of the names of containers while one takes the place of another
EVERY_SECONDS = 0.1
Document = dict[str, Any]


class AciTarget:
    """`archive` gives an image that only the workspace has; `model_bytes` are the sizes of models, for advice."""

    def __init__(
        self,
        host: ContainerHost,
        *,
        archive: Callable[[str], Iterator[bytes] | None] = lambda image: None,
        model_bytes: Mapping[str, int] | None = None,
    ) -> None:
        self.host = host
        self.archive = archive
        self.model_bytes = model_bytes or {}

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.host.engine)

    def plan(self, service: Service) -> Plan:
        config = create_config(service, container_of(service), self.host, fixed_port(service, self.host))
        group = container_group(service, self.host)
        template = {"template.json": arm_text(arm_template(group))}  # its secrets are parameters
        documents = {
            "container.json": json.dumps(shown(config), indent=2) + "\n",
            "container-group.yaml": group_yaml(hidden(group)),
            **template,
        }
        steps = (
            *advice(service, self.model_bytes),
            f"Have the image {service.image} on the engine.",
            f"Start the container {service.name} on {self.host.address}, or nothing where the same one runs; another "
            "one is replaced once the new one was healthy beside it. Between the two the port is closed for a moment.",
        )
        return Plan(steps, documents, {"container-group.yaml": group_yaml(group), **template})

    def apply(self, service: Service, progress: Progress) -> None:
        container = container_of(service)
        live = self.restored(service)
        self.remove(service, NEXT)  # of a deployer that was killed
        self.have_image(service, progress)
        wanted = digest(service, container, self.host, self.engine.image_id(service.image))
        if live is None:
            progress(f"starting the container {service.name}")
            port = fixed_port(service, self.host) or free_port(self.host.address)
            self.start(service, container, wanted, service.name, port)
        elif live["Config"]["Labels"].get(HASH) != wanted or not live["State"]["Running"]:
            self.replace(service, container, wanted, live, progress)
        elif container.keys:  # the server reads them again when they change
            self.engine.put_files(live["Id"], {KEYS_FOLDER: container.keys})

    def have_image(self, service: Service, progress: Progress) -> None:
        if self.engine.image_id(service.image):
            return
        archive = self.archive(service.image)
        progress(f"{'loading' if archive else 'pulling'} the image {service.image}")
        if archive is not None:
            self.engine.load(archive)
        else:
            self.engine.pull(service.image, service.secrets.registries)

    def start(self, service: Service, container: Container, wanted: str, name: str, port: int | None) -> Document:
        return self.started(self.create(service, container, wanted, name, port))

    def create(self, service: Service, container: Container, wanted: str, name: str, port: int | None) -> str:
        config = create_config(service, container, self.host, port)
        config["Labels"][HASH] = wanted
        return self.engine.create(name, config, {KEYS_FOLDER: container.keys, TLS_FOLDER: container.tls})

    def started(self, made: str) -> Document:
        try:
            self.engine.start(made)
        except TargetError:
            self.engine.remove(made)
            raise
        return self.engine.inspect(made)

    def replace(self, service: Service, container: Container, wanted: str, live: Document, progress: Progress) -> None:
        """First beside the old one, on a port of its own. The port of the service moves when that one was healthy."""
        port = fixed_port(service, self.host) or port_of(live, container)
        self.remove(service, OLD)
        progress(f"starting revision {service.revision} beside the one that serves")
        try:
            beside = self.start(service, container, wanted, f"{service.name}-{NEXT}", None)
            self.healthy_or_gone(service, container, beside)
        except TargetError:
            self.forget(container.image)
            raise
        progress("moving the port")
        self.engine.rename(live["Id"], f"{service.name}-{OLD}")
        try:
            final = self.create(
                service, container, wanted, service.name, port
            )  # all but its start, while the old serves
            self.engine.stop(live["Id"], container.drain_seconds + 5)
            self.healthy_or_gone(service, container, self.started(final))
        except TargetError:
            self.remove(service, "")
            self.engine.rename(live["Id"], service.name)
            self.engine.start(live["Id"])
            raise
        finally:
            self.remove(service, NEXT)
        self.engine.remove(live["Id"])
        self.forget(live["Config"]["Image"])

    def healthy_or_gone(self, service: Service, container: Container, made: Document) -> None:
        """Wait, at most as long as the config lets it boot. Raises TargetError with its last words."""
        deadline = time.monotonic() + self.host.boot_seconds
        while time.monotonic() < deadline:
            if self.ready(container, made):
                return
            made = self.engine.inspect(made["Id"])
            if not made["State"]["Running"] or made.get("RestartCount"):
                break
            time.sleep(EVERY_SECONDS)
        log = self.engine.logs(made["Id"], 200)
        kills = self.kills(made)
        self.engine.remove(made["Id"])
        ended = not made["State"]["Running"] or made.get("RestartCount")
        reason = exit_reason(made, kills) if ended or kills else f"It was not ready in {self.host.boot_seconds} s."
        raise TargetError(
            f"{service.name}: revision {service.revision} did not become healthy; the one before it serves on. "
            f"{reason} {last_words(log)}"
        )

    def status(self, service: Service) -> Status:
        container, live = container_of(service), self.live(service)
        if live is None:
            return Status(FAILED, f"There is no container of it on {self.engine.address}. Deploy it again.")
        return state_of(
            live,
            ready=self.ready(container, live),
            kills=self.kills(live),
            log=self.engine.logs(live["Id"], 200),
            boot_seconds=self.host.boot_seconds,
            now=datetime.now(timezone.utc),
            uri=self.uri(service, container, live),
        )

    def logs(self, service: Service, lines: int, init: bool = False) -> str:
        live = self.live(service)
        return self.engine.logs(live["Id"], lines) if live is not None else ""

    def delete(self, service: Service, progress: Progress) -> None:
        live = self.live(service)
        if live is not None:
            progress(f"stopping the container {service.name}")
            self.engine.stop(live["Id"], container_of(service).drain_seconds + 5)
        there = self.all(service)
        for one in there:
            self.engine.remove(one["Id"])
        for image in {one["Config"]["Image"] for one in there}:
            self.forget(image)

    def forget(self, image: str) -> None:
        """One that was loaded: the workspace has it still. Others on the engine may use it: then it stays."""
        if image.startswith(f"{LOCAL}/"):
            self.engine.forget(image)

    # the containers of a service

    def all(self, service: Service) -> list[Document]:
        return self.engine.containers(f"{SERVICE}={service.name}")

    def live(self, service: Service) -> Document | None:
        """The one with the service's name; between two of them the old one, until the new one runs."""
        found = {one["Name"].lstrip("/"): one for one in self.all(service)}
        new, old = found.get(service.name), found.get(f"{service.name}-{OLD}")
        return new if old is None or (new is not None and new["State"]["Running"]) else old

    def restored(self, service: Service) -> Document | None:
        """The live one. A deployer that was killed while the port moved has left the old one, stopped."""
        live = self.live(service)
        if live is not None and live["Name"].endswith(f"-{OLD}"):
            self.remove(service, "")
            self.engine.rename(live["Id"], service.name)
            self.engine.start(live["Id"])
            live = self.engine.inspect(live["Id"])
        return live

    def remove(self, service: Service, suffix: str) -> None:
        name = f"{service.name}-{suffix}" if suffix else service.name
        for one in self.all(service):
            if one["Name"].lstrip("/") == name:
                self.engine.remove(one["Id"])
                self.forget(one["Config"]["Image"])

    def ready(self, container: Container, made: Document) -> bool:
        port = port_of(made, container)
        return port is not None and answers(self.reachable, port, tls=bool(container.tls))

    def kills(self, made: Document) -> int:
        return oom_kills(memory_events(made["State"]["Pid"])) if made["State"]["Running"] else 0

    @property
    def reachable(self) -> str:
        return "127.0.0.1" if self.host.address in ("0.0.0.0", "") else self.host.address

    def uri(self, service: Service, container: Container, live: Document) -> str:
        scheme = "https" if container.tls else "http"
        name = service.deployment.ssl_cname if container.tls else self.reachable
        return f"{scheme}://{name or self.reachable}:{port_of(live, container)}/score"


def free_port(address: str) -> int:
    """Chosen here and not by the engine, which would choose again at each start."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise TargetError(
                f"{address} is no address of this machine ({error}): name a port for the service on the other one."
            ) from None
        return int(probe.getsockname()[1])
