"""AksEndpoint: versions of one service behind one address, each with its share of the requests.

Each version is a service of its own, called <endpoint>-<version>; the one that the endpoint was deployed with is the
endpoint itself, whose route splits the requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scoring_runtime.deploy.services import operations
from scoring_runtime.deploy.services.deploying import new_revision
from scoring_runtime.deploy.services.deployment_config import AksEndpointDeployment
from scoring_runtime.deploy.services.endpoint_versions import table_of, with_version, without_version
from scoring_runtime.deploy.services.keys import new_key
from scoring_runtime.deploy.services.service import Service, Version
from scoring_runtime.deploy.services.service_folder import ServiceFolder, now, service_names
from scoring_runtime.deploy.services.service_image import with_planned_image
from scoring_runtime.deploy.services.update_arguments import wish_of
from scoring_runtime.deploy.services.webservice import Webservice, quiet
from scoring_runtime.deploy.targets.base import Progress
from scoring_runtime.deploy.targets.table import target_of
from scoring_runtime.deploy.workspaces.names import check_service_name
from scoring_runtime.errors import ConfigError, ServiceExists

__all__ = ["AksEndpoint"]

Change = Callable[[Service], "dict[str, Version]"]


class AksEndpoint(Webservice):
    """An endpoint, or one version of it."""

    compute_type = "aksendpoint"
    deploy_configuration: Callable[..., AksEndpointDeployment] = staticmethod(AksEndpointDeployment)

    @property
    def endpoint(self) -> AksEndpoint:
        """That this is a version of; of an endpoint itself."""
        name = self.service.part_of
        return AksEndpoint(self.workspace, name) if name else self

    @property
    def version_name(self) -> str | None:
        name: str | None = self.service.deployment.version_name
        return name

    @property
    def version(self) -> Version:
        """Its share, and whether it is the default or the control version."""
        table = table_of(self.endpoint.service)
        return next((one for one in table.values() if one.service == self.name), Version(self.name))

    @property
    def versions(self) -> dict[str, Webservice]:
        """All of the endpoint, by their names."""
        table = table_of(self.endpoint.service)
        return {name: Webservice(self.workspace, version.service) for name, version in table.items()}

    def create_version(
        self,
        version_name: str,
        *,
        traffic_percentile: int | None = None,
        is_default: bool | None = None,
        is_control_version_type: bool | None = None,
        progress: Progress = quiet,
        **named: Any,
    ) -> None:
        """Another version beside those that are there: what the endpoint has, changed by the arguments of update().

        Returns when it is healthy and has its share. Raises ServiceFailed, and the shares stay as they were.
        """
        endpoint = self.endpoint
        own = endpoint.service
        if version_name in table_of(own):
            raise ServiceExists(f"{own.name} has a version {version_name!r} already. Change it: update_version().")
        name = f"{own.name}-{version_name}"
        check_service_name(name)
        folder = ServiceFolder(self.workspace, name)
        if folder.exists() and Webservice(self.workspace, name).service.part_of != own.name:
            raise ServiceExists(f"There is a service {name!r} already. Delete it, or give the version another name.")

        def change(now_there: Service) -> dict[str, Version]:
            shares = (traffic_percentile, is_default, is_control_version_type)
            return with_version(table_of(now_there), version_name, name, *shares)

        whole = with_planned_image(self.workspace, replace(own, versions=change(own)))
        target_of(self.workspace, whole).plan(whole)  # raises now what the shares would do later
        named = {**named, "version_name": version_name, "traffic_percentile": traffic_percentile}
        _, wish = wish_of(self.workspace, own, (), named, False)
        base = replace(own, name=name, created=now(), versions={}, part_of=own.name)
        operations.bring_up(
            folder, "create-version", lambda _, number: new_revision(self.workspace, name, wish, base, number), progress
        )
        Webservice(self.workspace, name).wait_for_deployment()
        endpoint.split(change, progress)

    def update_version(
        self,
        version_name: str,
        *,
        traffic_percentile: int | None = None,
        is_default: bool | None = None,
        is_control_version_type: bool | None = None,
        progress: Progress = quiet,
        **named: Any,
    ) -> None:
        """Its share, or by the arguments of update() what it runs. None: as it is."""
        endpoint, versions = self.endpoint, self.versions
        if version_name not in versions:
            raise ConfigError("version_name", version_name, f"a version of {endpoint.name}: {', '.join(versions)}")
        shares = (traffic_percentile, is_default, is_control_version_type)
        with_version(table_of(endpoint.service), version_name, "", *shares)  # raises before anything is changed
        if any(value is not None for value in named.values()):
            versions[version_name].update(progress=progress, **named)
            versions[version_name].wait_for_deployment()
        if any(value is not None for value in shares):
            endpoint.split(lambda now_there: with_version(table_of(now_there), version_name, "", *shares), progress)

    def update_traffic(self, traffic_percentile: int) -> None:
        """This version's share."""
        name = next(name for name, one in table_of(self.endpoint.service).items() if one.service == self.name)
        self.update_version(name, traffic_percentile=traffic_percentile)

    def delete_version(self, version_name: str, progress: Progress = quiet) -> None:
        """Its requests go to the default version first."""
        endpoint = self.endpoint
        without_version(endpoint.service, version_name)  # raises before anything is changed
        name = table_of(endpoint.service)[version_name].service
        endpoint.split(lambda now_there: without_version(now_there, version_name), progress)
        operations.remove(ServiceFolder(self.workspace, name), progress)

    def split(self, change: Change, progress: Progress) -> None:
        """Of an endpoint: a revision with other shares. Returns when the cluster has accepted them."""

        own = self.service

        def make(before: Service | None, revision: int) -> Service:
            latest = before or own
            return replace(latest, revision=revision, versions=change(latest), updated=now())

        operations.bring_up(self.folder, "traffic", make, progress)

    def regen_key(self, key: str, set_key: str | None = None) -> None:
        """The same new one for all versions: callers do not know which of them answers."""
        value = set_key or new_key()
        for version in self.versions.values():
            Webservice.regen_key(version, key, value)

    def delete(self, progress: Progress = quiet) -> None:
        """An endpoint with all its versions, also those that never became healthy."""
        table = table_of(self.endpoint.service)
        mine = next((name for name, one in table.items() if one.service == self.name), "")
        if self.service.part_of and mine:
            fix = f'Take it out of the endpoint: delete_version("{mine}").'
            raise ConfigError("name", self.name, f"an endpoint, not a version of {self.service.part_of}", fix)
        names = [name for name in service_names(self.workspace) if name.startswith(f"{self.name}-")]
        others = [name for name in names if Webservice(self.workspace, name).service.part_of == self.name]
        super().delete(progress)
        for name in others:
            operations.remove(ServiceFolder(self.workspace, name), progress)
