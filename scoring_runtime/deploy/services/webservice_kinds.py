"""LocalWebservice, AciWebservice, AksWebservice, IotWebservice: what each kind of host adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.services.aks_endpoint import AksEndpoint
from scoring_runtime.deploy.services.deploy_verbs import deploy
from scoring_runtime.deploy.services.deployment_config import (
    AciDeployment,
    AksDeployment,
    Deployment,
    IotDeployment,
    LocalDeployment,
)
from scoring_runtime.deploy.services.webservice import Webservice, Webservices, quiet
from scoring_runtime.deploy.targets.local import LocalHost
from scoring_runtime.deploy.workspaces.workspace import Workspace
from scoring_runtime.errors import TargetError

__all__ = ["AciWebservice", "AksEndpoint", "AksWebservice", "IotWebservice", "LocalWebservice"]


class LocalWebservice(Webservice):
    """A process of this machine, on 127.0.0.1."""

    compute_type = "local"
    deploy_configuration: Callable[..., LocalDeployment] = staticmethod(LocalDeployment)

    @classmethod
    def list(  # type: ignore[override]
        cls,
        workspace: Workspace,
        model_name: str | None = None,
        model_id: str | None = None,
        all: bool = False,
        **filters: Any,
    ) -> Webservices:
        """With the filters of Webservice.list by name. Those that are down are always listed, with or without `all`."""
        return super().list(workspace, model_name=model_name, model_id=model_id, **filters)

    def get_logs(  # type: ignore[override]
        self, num_lines: int = 5000, raw: bool = False, init: bool = False
    ) -> str:
        """As they were written, whatever `raw` says; there is no init container here."""
        return super().get_logs(num_lines)

    @property
    def port(self) -> int | None:
        uri = self.scoring_uri
        return urlsplit(uri).port if uri else None

    @property
    def limits(self) -> str:
        """Which limits of memory and processors hold, in words."""
        return LocalHost(self.workspace, self.name).limits()

    def delete(
        self,
        progress: Any = quiet,
        delete_cache: bool = True,
        delete_image: bool = False,
        delete_volume: bool = True,
    ) -> None:
        """All that it has here; the flags of the original have nothing left to say."""
        super().delete(progress if callable(progress) else quiet)

    def deploy_to_cloud(
        self, name: str, deployment_config: Deployment | None = None, deployment_target: Any = None
    ) -> Webservice:
        """The same models and script, somewhere else."""
        service = self.service
        config = InferenceConfig.from_document(service.inference, f"the inference configuration of {self.name}")
        return deploy(
            self.workspace,
            name,
            list(service.models),
            config,
            deployment_config or AciDeployment(),
            deployment_target,
            image=service.image or None,
        )


class AciWebservice(Webservice):
    """One container."""

    compute_type = "aci"
    deploy_configuration: Callable[..., AciDeployment] = staticmethod(AciDeployment)


class AksWebservice(Webservice):
    """Replicas on Kubernetes."""

    compute_type = "aks"
    deploy_configuration: Callable[..., AksDeployment] = staticmethod(AksDeployment)


class IotWebservice(Webservice):
    """A module of an IoT Edge device."""

    compute_type = "iot"
    deploy_configuration: Callable[..., IotDeployment] = staticmethod(IotDeployment)

    def run(self, input_data: str | bytes) -> Any:
        raise TargetError(
            f"{self.name} runs on a device: send it messages there, or POST to http://<device>:5001/score."
        )
