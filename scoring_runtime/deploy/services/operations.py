"""Changes of a service, one at a time, each with a journal: whatever is killed, the next call finishes or undoes it.

service.json says which revision is current, and which one is pending: being brought up, by whom, since when.
A pending one that became healthy is the current one from then on; one that failed leaves the current one as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scoring_runtime.deploy.services.scoring_client import wait_for_key
from scoring_runtime.deploy.services.service import Service
from scoring_runtime.deploy.services.service_folder import SETTLE, ServiceFolder, pending_of
from scoring_runtime.deploy.services.service_image import with_image, with_planned_image
from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, UNHEALTHY, Progress, Status
from scoring_runtime.deploy.targets.table import target_of
from scoring_runtime.errors import (
    DeployError,
    ModelNotFound,
    ScoringRuntimeError,
    ServiceBusy,
    ServiceExists,
    TargetError,
)
from scoring_runtime.supervisor.identity import is_same

__all__ = ["bring_up", "current", "remove", "resume", "settle", "status_of"]

Make = Callable[[Service | None, int], Service]  # from the current revision, if there is one, and the new number


def bring_up(
    folder: ServiceFolder, operation: str, make: Make, progress: Progress, must_be_new: bool = False
) -> Service:
    """Make a new revision, and have its host run it. Raises ServiceBusy, ServiceExists, ConfigError, TargetError, ...

    Returns when the host has accepted it; settle() says later how it went.
    """
    folder.workspace.check_writable(operation)
    try:
        with folder.changing(operation):
            if must_be_new and folder.exists():
                raise ServiceExists(
                    f"There is a service {folder.name!r} already. Pass overwrite=True (--overwrite), or change it: "
                    f"scoring service update {folder.name}"
                )
            return brought_up(folder, operation, make, progress)
    except OSError as error:
        raise DeployError(f"{folder.name}: {error.strerror or error}. See: df -h {folder.workspace.folder}") from error


def brought_up(folder: ServiceFolder, operation: str, make: Make, progress: Progress) -> Service:
    state, unfinished = settled(folder, progress) if folder.exists() else ({"current": 0}, None)
    previous = unfinished or (folder.read(state["current"]) if state["current"] else None)
    service = make(previous, max([0, *folder.revisions()]) + 1)
    host = target_of(folder.workspace, service)
    host.plan(with_planned_image(folder.workspace, service))  # raises now what would go wrong later
    service = with_image(folder.workspace, service, progress)
    with folder.workspace.lock():
        check_models(folder, service)
        folder.write(service)
    apply(folder, service, state["current"], operation, progress)
    return service


def apply(folder: ServiceFolder, service: Service, current: int, operation: str, progress: Progress) -> None:
    """Between the two notes in the journal nobody can say which revision the host runs."""
    pending = pending_of(service, operation)
    folder.write_state(current, {**pending, "applied": False}, None)
    try:
        target_of(folder.workspace, service).apply(service, progress)
    except (ScoringRuntimeError, OSError) as error:
        undo(folder, service, f"{type(error).__name__}: {error}", progress)
        raise
    folder.write_state(current, {**pending, "applied": True}, None)


def accepted(service: Service, pending: dict[str, Any]) -> bool:
    """That the host was told of it to the end. The one of this machine says itself which revision it runs."""
    return service.compute_type == "local" or pending.get("applied", True)


def current(folder: ServiceFolder) -> Service:
    """The service that counts; its host is asked only where something is pending."""
    state = folder.state()
    return folder.read(state["current"]) if state["pending"] is None else settle(folder)[0]


def settle(folder: ServiceFolder) -> tuple[Service, Status, dict[str, Any]]:
    """The service that counts, how it is, and service.json; commits or undoes what has come to its end."""
    state = folder.state()
    pending = state["pending"]
    if pending is None:
        service = folder.read(state["current"])
        try:
            return service, status_of(folder, service), state
        except TargetError as error:  # nobody can say how it is; the other services are listed all the same
            return service, Status(UNHEALTHY, str(error)), state
    service = folder.read(pending["revision"])
    status = status_of(folder, service)
    if not accepted(service, pending):  # what answers is the revision before
        left = None if is_same(pending["by"]) else f"Interrupted. Go on with it: scoring service wait {folder.name}"
        return service, replace(status, state=TRANSITIONING, error=left), state
    if status.state in (HEALTHY, FAILED):
        try:
            with folder.changing(SETTLE):
                if folder.state() == state:
                    close(folder, service, status, lambda text: None)
        except ServiceBusy:
            if status.state == FAILED:  # or its host has not been told yet: whoever has the lock will say which
                status = replace(status, state=TRANSITIONING, error=None)
            return service, status, state
        return settle(folder)
    return service, status, state


def resume(folder: ServiceFolder, progress: Progress) -> None:
    """Take over what a process has left that was killed."""
    state = folder.state()
    if state["pending"] is None or is_same(state["pending"]["by"]):
        return
    with folder.changing("resume"):
        state = folder.state()
        if state["pending"] is not None and not is_same(state["pending"]["by"]):
            service = folder.read(state["pending"]["revision"])
            progress(f"going on with revision {service.revision}, which a process that is gone has begun")
            apply(folder, service, state["current"], state["pending"]["operation"], progress)


def remove(folder: ServiceFolder, progress: Progress) -> None:
    """From its host, then from here. Again does nothing."""
    folder.workspace.check_writable("delete")
    if not folder.exists():
        return
    with folder.changing("delete"):
        state = folder.state()
        service = folder.read((state["pending"] or {}).get("revision") or state["current"])
        target_of(folder.workspace, service).delete(service, progress)
        folder.remove()


def status_of(folder: ServiceFolder, service: Service) -> Status:
    return target_of(folder.workspace, service).status(service)


def settled(folder: ServiceFolder, progress: Progress) -> tuple[dict[str, Any], Service | None]:
    """service.json with nothing pending, and the revision that was still being brought up by nobody who waits for it:
    the next one takes its place, and goes on from it. Raises ServiceBusy while a process that lives waits for it.
    """
    state = folder.state()
    pending, unfinished = state["pending"], None
    if pending is None:
        return state, None
    service = folder.read(pending["revision"])
    status = status_of(folder, service)
    known = accepted(service, pending)  # else whoever was at it has left, for the lock is ours
    if known and status.state in (HEALTHY, FAILED):
        close(folder, service, status, progress)
    elif known and is_same(pending["by"]):
        who = "this process" if pending["by"]["pid"] == os.getpid() else f"the process with pid {pending['by']['pid']}"
        raise ServiceBusy(
            f"{folder.name}: {who} is at {pending['operation']!r} since {pending['since']}. "
            f"Wait for it: wait_for_deployment(), or scoring service wait {folder.name}"
        )
    else:
        unfinished = service if pending.get("applied") else None
        undo(folder, service, "It was interrupted: the process that brought it up is gone.", progress)
    return folder.state(), unfinished


def close(folder: ServiceFolder, service: Service, status: Status, progress: Progress) -> None:
    if status.state == HEALTHY:
        others = folder.staged(service.revision)
        folder.write_state(service.revision, None, None)
        if others and service.auth == "key" and service.compute_type == "local" and status.scoring_uri:
            wait_for_key(status.scoring_uri, others.primary_key)
        folder.prune(service.revision)
    else:
        undo(folder, service, status.error or "no reason is known", progress)


def undo(folder: ServiceFolder, service: Service, reason: str, progress: Progress) -> None:
    """Back to the current revision; where there is none, the service has failed."""
    failed = {"revision": service.revision, "reason": reason}
    state = folder.state()
    current = state["current"] if state["current"] in state["history"] else 0  # one that never worked is no way back
    folder.write_state(current or service.revision, None, failed)
    if current:
        progress(f"revision {service.revision} failed; revision {current} stays")
        previous = folder.read(current)
        try:
            target_of(folder.workspace, previous).apply(previous, progress)
        except (DeployError, OSError) as error:  # what failed first is what people need to hear
            progress(f"revision {current} cannot be restored: {error}")


def check_models(folder: ServiceFolder, service: Service) -> None:
    """While nobody can remove them; from here on the record holds them."""
    records = folder.workspace.records("models")
    for one in service.models:
        name, colon, version = one.partition(":")
        if colon and version.isdigit() and int(version) not in records.versions(name):
            raise ModelNotFound(f"The model {one} has been deleted. Name another: scoring model list -n {name}")
