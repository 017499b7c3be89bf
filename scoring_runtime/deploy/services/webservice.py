"""Webservice: a service by its name, and what can be done with it; Webservice(ws, "name") has the class of its host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from scoring_runtime.deploy.services import operations
from scoring_runtime.deploy.services.deploy_verbs import DeployVerbs
from scoring_runtime.deploy.services.deploying import Wish, new_revision
from scoring_runtime.deploy.services.scoring_client import decoded, post
from scoring_runtime.deploy.services.service import Service, document_of
from scoring_runtime.deploy.services.service_credentials import Credentials
from scoring_runtime.deploy.services.service_folder import ServiceFolder, now, service_names
from scoring_runtime.deploy.services.update_arguments import wish_of
from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, UNSCHEDULABLE, Progress, Status
from scoring_runtime.deploy.targets.table import target_of
from scoring_runtime.deploy.workspaces.names import has_all, with_properties, with_tags
from scoring_runtime.errors import ConfigError, ServiceFailed, ServiceNotFound

if TYPE_CHECKING:
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["Webservice", "Webservices", "quiet"]

Webservices: TypeAlias = "list[Webservice]"  # within the class, list is the method
UNSCHEDULABLE_SECONDS = 300.0


def quiet(text: str) -> None:
    """A Progress that says nothing."""


class Webservice(DeployVerbs, Credentials):
    """What is there, asked for anew each time; no attribute is older than its reading."""

    compute_type = ""
    kinds: dict[str, type[Webservice]] = {}

    def __init_subclass__(cls) -> None:
        Webservice.kinds[cls.compute_type] = cls

    def __new__(cls, workspace: Workspace, name: str, *more: Any) -> Webservice:
        """Raises ServiceNotFound."""
        import_module("scoring_runtime.deploy.services.webservice_kinds")  # its classes put themselves into `kinds`
        service = operations.current(ServiceFolder(workspace, name))
        return object.__new__(cls.kinds.get(service.compute_type, cls))

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name
        self.folder = ServiceFolder(workspace, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(workspace={self.workspace!r}, name={self.name!r})"

    @classmethod
    def list(
        cls,
        workspace: Workspace,
        compute_type: str | None = None,
        image_name: str | None = None,
        image_id: str | None = None,
        model_name: str | None = None,
        model_id: str | None = None,
        tags: Any = None,
        properties: Any = None,
    ) -> Webservices:
        """Those that fit every filter; of LocalWebservice the local ones, and so on."""
        found = []
        for name in service_names(workspace):
            try:
                one = Webservice(workspace, name)
                service = one.service
            except ServiceNotFound:  # deleted while we look
                continue
            fits = (
                (cls is Webservice or isinstance(one, cls))
                and (not compute_type or service.compute_type == compute_type.lower())
                and (not image_name or service.image.rpartition(":")[0] == image_name)
                and (not image_id or service.image == image_id)
                and (not model_name or model_name in [model.rpartition(":")[0] for model in service.models])
                and (not model_id or model_id in service.models)
                and has_all(tags, service.tags)
                and has_all(properties, service.properties)
            )
            if fits:
                found.append(one)
        return found

    # how it is

    @property
    def service(self) -> Service:
        """The revision that counts: the one that is being brought up, else the current one."""
        return operations.current(self.folder)

    def status(self) -> Status:
        """What is really there; the error of an operation that failed while an earlier revision goes on serving."""
        return self.seen()[1]

    def seen(self) -> tuple[Service, Status]:
        """Both from one look."""
        service, status, state = operations.settle(self.folder)
        failed = state["failed"]
        if failed is None:
            return service, status
        if failed["revision"] == state["current"]:
            return service, replace(status, state=FAILED, error=failed["reason"])
        return service, replace(status, error=status.error or failure(state))

    @property
    def state(self) -> str:
        """Transitioning, Healthy, Unhealthy, Unschedulable or Failed."""
        return self.status().state

    @property
    def error(self) -> str | None:
        return self.status().error

    @property
    def scoring_uri(self) -> str | None:
        return self.status().scoring_uri

    @property
    def swagger_uri(self) -> str | None:
        uri = self.scoring_uri
        return uri and f"{uri.removesuffix('/score')}/swagger.json"

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.service.tags)

    @property
    def properties(self) -> dict[str, str]:
        return dict(self.service.properties)

    @property
    def description(self) -> str:
        return self.service.description

    @property
    def image_id(self) -> str:
        return self.service.image

    @property
    def auth_enabled(self) -> bool:
        return self.service.auth == "key"

    @property
    def token_auth_enabled(self) -> bool:
        return self.service.auth == "token"

    @property
    def created_time(self) -> datetime:
        return datetime.fromisoformat(self.service.created.replace("Z", "+00:00"))

    @property
    def updated_time(self) -> datetime:
        return datetime.fromisoformat(self.service.updated.replace("Z", "+00:00"))

    def update_deployment_state(self) -> None:
        """Nothing is kept, so nothing has to be read again; raises ServiceNotFound if it was deleted."""
        self.folder.state()

    def serialize(self) -> dict[str, Any]:
        """Everything that is no secret."""
        service, status = self.seen()
        uri = status.scoring_uri
        return {
            **document_of(service),
            "state": status.state,
            "error": status.error,
            "scoring_uri": uri,
            "swagger_uri": uri and f"{uri.removesuffix('/score')}/swagger.json",
            "replicas": status.replicas,
        }

    def get_logs(self, num_lines: int = 5000, init: bool = False) -> str:
        return target_of(self.workspace, self.service).logs(self.service, num_lines, init)

    def wait_for_deployment(self, show_output: bool = False, timeout_sec: float | None = None) -> None:
        """Until what is pending has ended; raises ServiceFailed with the script's own words if it failed."""
        began = time.monotonic()
        say: Progress = (lambda text: print(f"{text} ({time.monotonic() - began:.1f} s)")) if show_output else quiet
        operations.resume(self.folder, say)
        pause, last = 0.03, ""
        while True:
            _, status, state = operations.settle(self.folder)
            if status.state != last:
                last = status.state
                say(last)
            if state["pending"] is None and (status.state != TRANSITIONING or state["failed"] is not None):
                break
            waited = time.monotonic() - began
            if timeout_sec is not None and waited > timeout_sec:
                why = f" {status.error}" if status.error else ""
                raise ServiceFailed(
                    f"{self.name}: still {status.state} after {waited:.0f} s.{why} "
                    f"It goes on; wait longer: scoring service wait {self.name}"
                )
            if status.state == UNSCHEDULABLE and waited > UNSCHEDULABLE_SECONDS:
                raise ServiceFailed(f"{self.name}: couldn't schedule after trying for 00:05:00. {status.error}")
            time.sleep(pause)
            pause = min(pause * 1.2, 1.0)
        if state["failed"] is not None:
            raise ServiceFailed(f"{self.name}: {failure(state)}")
        if status.state != HEALTHY:
            raise ServiceFailed(f"{self.name} is {status.state}: {status.error}")

    # asking it

    def run(self, input_data: str | bytes) -> Any:
        """Score once. Credentials are read anew when they are refused. Raises ServiceFailed unless it answers 200."""
        if not isinstance(input_data, str | bytes):
            raise ConfigError("input_data", input_data, "a text or bytes", "Write json.dumps(...).")
        uri = self.scoring_uri
        if uri is None:
            raise ServiceFailed(f"{self.name} has no address yet. Wait for it: scoring service wait {self.name}")
        certificate = self.service.secrets.tls_certificate
        answer = post(uri, input_data, self.credential(), certificate)
        if answer[0] == 401:
            answer = post(uri, input_data, self.credential(), certificate)
        return decoded(answer, uri)

    # changing it

    def update(self, *given: Any, wait: bool = False, progress: Progress = quiet, **named: Any) -> None:
        """Models, inference_config, deployment_config or image in any order, told apart by what they are; tags,
        properties, description, and every argument of deploy_configuration by name. None: as it is.

        Raises ConfigError when nothing is given. Tags are replaced, properties only added.
        """
        wait, wish = wish_of(self.workspace, self.service, given, named, wait)
        if wish.is_only_labels():
            self.relabel(wish)
        else:
            self.bring_up("update", wish, progress)
        if wait:
            self.wait_for_deployment()

    def bring_up(self, operation: str, wish: Wish, progress: Progress) -> None:
        operations.bring_up(
            self.folder,
            operation,
            lambda before, revision: new_revision(self.workspace, self.name, wish, before, revision),
            progress,
        )

    def rollback(self, progress: Progress = quiet) -> None:
        """The revision before the current one becomes a new one, its files as they were."""

        def make(current: Service | None, revision: int) -> Service:
            there = self.folder.revisions()
            earlier = [one for one in self.folder.history() if current and one < current.revision and one in there]
            if not earlier or current is None:
                raise ConfigError(
                    "rollback", self.name, "a service with an earlier revision", "There is only this one."
                )
            before = self.folder.read(earlier[-1])
            again = replace(before, revision=revision, updated=now())
            return replace(again, secrets=current.secrets, versions=current.versions)

        operations.bring_up(self.folder, "rollback", make, progress)

    def reload(self, wait: bool = False, progress: Progress = quiet) -> None:
        """Code and models as they are now, in a new server; nothing that comes meanwhile is lost.

        Where the script is gone, the files that were deployed are run once more.
        """
        if source_is_there(self.service):
            self.bring_up("reload", Wish(anew=True), progress)
        else:
            progress("the script is not where it was deployed from; its deployed files are run once more")
            operations.bring_up(self.folder, "reload", once_more, progress)
        if wait:
            self.wait_for_deployment()

    def relabel(self, wish: Wish) -> None:
        """Tags, properties and description of the current revision."""
        with self.folder.changing("update"):
            before = self.service
            self.folder.write(
                replace(
                    before,
                    tags=with_tags(wish.tags, before.tags),
                    properties=with_properties(wish.properties, before.properties),
                    description=before.description if wish.description is None else wish.description,
                    updated=now(),
                )
            )

    def add_tags(self, tags: Mapping[str, str]) -> None:
        self.relabel(Wish(tags={**self.tags, **tags}))

    def remove_tags(self, tags: Iterable[str]) -> None:
        gone = {tags} if isinstance(tags, str) else set(tags)
        self.relabel(Wish(tags={name: value for name, value in self.tags.items() if name not in gone}))

    def add_properties(self, properties: Mapping[str, str]) -> None:
        self.relabel(Wish(properties=properties))

    def delete(self, progress: Progress = quiet) -> None:
        """The service with its revisions and keys; models and images stay."""
        operations.remove(self.folder, progress)


def source_is_there(service: Service) -> bool:
    inference = service.inference
    return not inference or os.path.exists(inference.get("sourceDirectory") or inference["entryScript"])


def once_more(before: Service | None, revision: int) -> Service:
    if before is None:
        raise ConfigError("reload", None, "a service that has been deployed", "Deploy it: scoring deploy")
    return replace(before, revision=revision, updated=now())


def failure(state: Mapping[str, Any]) -> str:
    failed = state["failed"]
    if failed["revision"] == state["current"]:
        return str(failed["reason"])
    return f"revision {failed['revision']} failed, revision {state['current']} goes on serving: {failed['reason']}"
