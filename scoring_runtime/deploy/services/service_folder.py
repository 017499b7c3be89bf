"""A service's folder: revisions, which of them is current, what is under way, and its secrets.

services/<name>/                    for its owner only
  lock                              held by the process that changes the service; says which, and since when
  service.json                      current and pending revision, the last failure
  revisions/<n>.json                one document each
  keys/ primaryKey secondaryKey tokenKey      re-read by the server when they change
  tls/ tls.crt tls.key, registries.json
  next.json                         the secrets of a pending revision, where they are others
  app/<n>/  logs/  run/             of the local host
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from scoring_runtime.deploy.services.service import Secrets, Service, document_of, service_of
from scoring_runtime.deploy.workspaces.workspace import Workspace
from scoring_runtime.durable import make_folder, sync_folder
from scoring_runtime.errors import ServiceBusy, ServiceNotFound
from scoring_runtime.supervisor.files import write_private
from scoring_runtime.supervisor.identity import identify

__all__ = ["SETTLE", "ServiceFolder", "busy", "now", "pending_of", "service_names"]

KEPT_REVISIONS = 5
SETTLE = "settle"
PATIENCE_SECONDS = 0.5


class ServiceFolder:
    """Reads and writes the files; knows no host."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name
        self.folder = workspace.path("services", name)

    def path(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    # which revision

    def state(self) -> dict[str, Any]:
        """current: a number; pending: {revision, operation, since, by} or None; failed: {revision, reason} or None;
        history: the revisions that have been current. Raises ServiceNotFound."""
        try:
            with open(self.path("service.json"), "rb") as file:
                document: dict[str, Any] = json.load(file)
                return document
        except FileNotFoundError:
            names = ", ".join(service_names(self.workspace)) or "none"
            raise ServiceNotFound(
                f"No service {self.name!r} in {self.workspace.folder}; there: {names}. See: scoring service list"
            ) from None

    def exists(self) -> bool:
        return os.path.isfile(self.path("service.json"))

    def write_state(self, current: int, pending: Mapping[str, Any] | None, failed: Mapping[str, Any] | None) -> None:
        history = self.history()
        if current and not failed and current not in history:
            history.append(current)
        if pending is None:
            self.write_secrets((None if failed else self.staged(current)) or self.secrets())
        document = {"current": current, "pending": pending, "failed": failed, "history": history}
        write_private(self.path("service.json"), json.dumps(document, indent=1))

    def history(self) -> list[int]:
        return list(self.state()["history"]) if self.exists() else []

    # revisions

    def revisions(self) -> list[int]:
        """In order, the newest last."""
        try:
            names = os.listdir(self.path("revisions"))
        except FileNotFoundError:
            return []
        return sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit())

    def read(self, revision: int) -> Service:
        """Raises ServiceNotFound when it is deleted meanwhile."""
        try:
            with open(self.path("revisions", f"{revision}.json"), "rb") as file:
                return service_of(json.load(file), self.staged(revision) or self.secrets())
        except FileNotFoundError:
            self.state()
            raise

    def write(self, service: Service) -> None:
        """The document of one revision, and the secrets of all: other ones wait until that revision is the current."""
        make_folder(self.folder, private=True)
        for name in ("revisions", "logs", "run", "app", "keys"):
            make_folder(self.path(name), private=True)
        os.chmod(self.folder, 0o700)
        if service.secrets != self.secrets() and self.history():
            document = {"revision": service.revision, "secrets": asdict(service.secrets)}
            write_private(self.path("next.json"), json.dumps(document))
        else:
            self.write_secrets(service.secrets)
        path = self.path("revisions", f"{service.revision}.json")
        write_private(path, json.dumps(document_of(service), indent=1))

    def prune(self, current: int) -> None:
        """Forget what is older than the last few, the current one and what that runs excepted."""
        revisions = self.revisions()
        kept = {*self.history()[-KEPT_REVISIONS:], current, revisions[-1]}
        apps = {self.read(number).app for number in kept if number in revisions}
        for number in set(revisions) - kept:
            os.unlink(self.path("revisions", f"{number}.json"))
        for name in os.listdir(self.path("app")):
            if not (name.isdigit() and int(name) in apps):
                shutil.rmtree(self.path("app", name), ignore_errors=True)

    def remove(self) -> None:
        """service.json goes first: what is left after a crash is no service any more."""
        try:
            os.unlink(self.path("service.json"))
        except FileNotFoundError:
            pass
        sync_folder(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    # secrets

    def secrets(self) -> Secrets:
        registries = json.loads(self.text("registries.json") or "{}")
        return Secrets(
            primary_key=self.text("keys", "primaryKey"),
            secondary_key=self.text("keys", "secondaryKey"),
            token_key=self.text("keys", "tokenKey"),
            tls_certificate=self.text("tls", "tls.crt"),
            tls_key=self.text("tls", "tls.key"),
            registries={address: (pair[0], pair[1]) for address, pair in registries.items()},
        )

    def staged(self, revision: int) -> Secrets | None:
        """Other secrets, which come into force when that revision has become the current one."""
        document = json.loads(self.text("next.json") or "{}")
        if document.get("revision") != revision:
            return None
        registries = {address: (pair[0], pair[1]) for address, pair in document["secrets"]["registries"].items()}
        return Secrets(**{**document["secrets"], "registries": registries})

    def write_secrets(self, secrets: Secrets) -> None:
        """From now on these; nothing is staged any more."""
        files = {
            ("keys", "primaryKey"): secrets.primary_key,
            ("keys", "secondaryKey"): secrets.secondary_key,
            ("keys", "tokenKey"): secrets.token_key,
            ("tls", "tls.crt"): secrets.tls_certificate,
            ("tls", "tls.key"): secrets.tls_key,
            ("registries.json",): json.dumps(secrets.registries) if secrets.registries else "",
        }
        for parts, text in files.items():
            if text and text != self.text(*parts):
                make_folder(os.path.dirname(self.path(*parts)))
                write_private(self.path(*parts), text)
        with suppress(FileNotFoundError):
            os.unlink(self.path("next.json"))

    def text(self, *parts: str) -> str:
        try:
            with open(self.path(*parts), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # one at a time

    @contextmanager
    def changing(self, operation: str) -> Iterator[None]:
        """Only one process changes a service at a time; raises ServiceBusy, which names the other.

        Those who only look settle what has ended: that takes a moment, and is waited for.
        """
        make_folder(self.folder, private=True)
        descriptor = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            patient_until = time.monotonic() + (0.0 if operation == SETTLE else PATIENCE_SECONDS)
            while not locked(descriptor):
                if time.monotonic() > patient_until:
                    raise busy(self.name, self.text("lock"))
                time.sleep(0.02)
            note = json.dumps({"pid": os.getpid(), "operation": operation, "since": now()})
            os.truncate(descriptor, 0)
            os.write(descriptor, note.encode())
            yield
        finally:
            os.close(descriptor)


def locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def busy(name: str, note: str) -> ServiceBusy:
    try:
        other = json.loads(note)
    except ValueError:  # it has the lock, and has not written yet
        other = {"pid": "unknown", "operation": "an operation", "since": "just now"}
    return ServiceBusy(
        f"{name}: the process with pid {other['pid']} is at {other['operation']!r} since {other['since']}. "
        f"Wait for it: scoring service wait {name}"
    )


def pending_of(service: Service, operation: str) -> dict[str, Any]:
    """The journal: who brings up which revision."""
    return {"revision": service.revision, "operation": operation, "since": now(), "by": identify(os.getpid())}


def service_names(workspace: Workspace) -> list[str]:
    folder = workspace.path("services")
    found = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name for name in found if os.path.isfile(os.path.join(folder, name, "service.json")))


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
