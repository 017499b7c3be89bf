"""From the arguments of the deploy verbs to a revision of a service, checked before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.environments.inference_document import document_of_config, registries_of
from scoring_runtime.deploy.environments.packaging import build_context
from scoring_runtime.deploy.services.deployment_config import AciDeployment, AksDeployment, Deployment, LocalDeployment
from scoring_runtime.deploy.services.deployment_file import check_files
from scoring_runtime.deploy.services.keys import auth_of, with_keys
from scoring_runtime.deploy.services.service import Secrets, Service
from scoring_runtime.deploy.services.service_folder import now
from scoring_runtime.deploy.workspaces.names import check_service_name, with_properties, with_tags
from scoring_runtime.deploy.workspaces.workspace import Workspace
from scoring_runtime.errors import ConfigError

__all__ = ["Wish", "deployment_for", "ids_of", "new_revision"]


MADE_ANEW = ("AML_APP_ROOT", "AZUREML_ENTRY_SCRIPT", "AZUREML_SOURCE_DIRECTORY", "AZUREML_MODEL_DIR")


@dataclass(frozen=True)
class Wish:
    """What a caller gave; None stands for "as it is"."""

    models: tuple[str, ...] | None = None
    inference_config: InferenceConfig | None = None
    deployment: Any = None
    image: str | None = None
    tags: Mapping[str, str] | None = None
    properties: Mapping[str, str] | None = None
    description: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    anew: bool = False  # an image of the script and its models as they are now, in place of the one there is

    def is_only_labels(self) -> bool:
        """Whether nothing is wished that a server would have to be started for."""
        given = (self.models, self.inference_config, self.deployment, self.image)
        return not self.environ and all(one is None for one in given)

    def labelled(
        self,
        tags: Mapping[str, str] | None,
        properties: Mapping[str, str] | None,
        description: str | None,
        environ: Mapping[str, str] | None = None,
    ) -> Wish:
        """The same with these."""
        return replace(self, tags=tags, properties=properties, description=description, environ=environ or {})


def new_revision(workspace: Workspace, name: str, wish: Wish, before: Service | None, revision: int) -> Service:
    """The next revision, from the one before and what is wished. Raises ConfigError, PackagingError, ModelNotFound."""
    check_service_name(name)
    deployment = wish.deployment or (before.deployment if before else LocalDeployment())
    check_files(deployment)
    if before is not None and before.compute_type != deployment.compute_type:
        raise ConfigError(
            "deployment_config",
            deployment.compute_type,
            f"{before.compute_type}, where {name} runs",
            f"Give the new one another name, or delete this one first: scoring service delete {name}",
        )
    deployment = where_it_runs(name, deployment, before)
    kept_models = before.models if before and not wish.image else ()  # an image has its own, and its own script
    kept_inference = before.inference if before and not wish.image else {}
    inference = document_of_config(wish.inference_config) if wish.inference_config else None
    built_anew = inference or wish.models is not None or (wish.anew and kept_inference)
    registries = registries_of(wish.inference_config) if wish.inference_config else {}
    kept = before.secrets if before else Secrets()
    service = Service(
        name=name,
        compute_type=deployment.compute_type,
        revision=revision,
        deployment=deployment,
        image=wish.image or (before.image if before and not built_anew else ""),
        models=wish.models if wish.models is not None else kept_models,
        inference=inference if inference is not None else kept_inference,
        auth=auth_of(deployment),
        tags=with_tags(wish.tags if wish.tags is not None else deployment.tags or None, before.tags if before else {}),
        properties=with_properties(wish.properties or deployment.properties, before.properties if before else {}),
        description=wish.description or deployment.description or (before.description if before else ""),
        created=before.created if before else now(),
        updated=now(),
        app=revision,
        part_of=before.part_of if before else "",
        versions=before.versions if before else {},
        secrets=replace(
            with_keys(kept, deployment), **pem_of(deployment), registries={**kept.registries, **registries}
        ),
    )
    return replace(service, environ=environ_of(workspace, service, wish, before))


def where_it_runs(name: str, deployment: Any, before: Service | None) -> Any:
    """On the compute target where it is already: a service does not move. Raises ConfigError."""
    fields = getattr(deployment, "__dataclass_fields__", {})
    if before is None or "compute_target_name" not in fields:
        return deployment
    there, wanted = before.deployment.compute_target_name, deployment.compute_target_name
    if wanted is None:
        return replace(deployment, compute_target_name=there)
    if wanted != (there or deployment.compute_type):
        raise ConfigError(
            "deployment_target",
            wanted,
            f"{there or deployment.compute_type}, where {name} runs",
            f"Give the new one another name, or delete this one first: scoring service delete {name}",
        )
    return deployment


def environ_of(workspace: Workspace, service: Service, wish: Wish, before: Service | None) -> dict[str, str]:
    """For the server: of the code and its environment, and what the user adds."""
    kept = before.environ if before and not wish.inference_config else {}
    extra = {**{name: value for name, value in kept.items() if name not in MADE_ANEW}, **wish.environ}
    if not service.inference:
        return extra if wish.image else {**kept, **extra}
    config = InferenceConfig.from_document(service.inference, f"the inference configuration of {service.name}")
    return dict(build_context(workspace, service.models, config, extra).environ)


def pem_of(deployment: Any) -> dict[str, str]:
    files = {"tls_certificate": "ssl_cert_pem_file", "tls_key": "ssl_key_pem_file"}
    result = {}
    for name, file in files.items():
        if getattr(deployment, "ssl_enabled", False):
            with open(getattr(deployment, file), encoding="ascii") as pem:
                result[name] = pem.read()
    return result


def deployment_for(config: Deployment | None, target: Any) -> Deployment | None:
    """The configuration for a deployment target: a name or an attached cluster, which a service on Kubernetes needs."""
    if target is None:
        return config
    name = getattr(target, "name", target)
    if config is None:
        return AksDeployment(compute_target_name=name)
    if not isinstance(config, AksDeployment | AciDeployment):
        expected = f"none for a service on {config.compute_type}"
        raise ConfigError("deployment_target", name, expected, "Leave it out, or use AksWebservice's configuration.")
    return replace(config, compute_target_name=name)


def ids_of(workspace: Workspace, models: Iterable[Any]) -> tuple[str, ...]:
    """ "name:version" of each; the latest where no version is said; a path that is not registered stays one."""
    result = []
    for model in models:
        if not isinstance(model, str):
            if not hasattr(model, "id"):
                raise ConfigError("models", model, "a Model, or its name", 'Write [model], or ["name:1"].')
            result.append(str(model.id))
            continue
        name, colon, version = model.partition(":")
        if colon and version == "latest":
            model, colon = name, ""
        versions = [] if colon else workspace.records("models").versions(model)
        if versions:
            result.append(f"{model}:{versions[-1]}")
        elif not colon and os.path.exists(model):
            result.append(os.path.abspath(model))
        else:
            result.append(model)  # packaging says that it is not there
    return tuple(result)
