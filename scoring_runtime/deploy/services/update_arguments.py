"""The arguments of update(), in the order of the signature or of the documentation: told apart by what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.services.config_rules import hint, rows_of
from scoring_runtime.deploy.services.deploying import Wish, ids_of
from scoring_runtime.deploy.services.deployment_config import AksDeployment, Deployment
from scoring_runtime.errors import ConfigError

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["wish_of"]

OWN = ("models", "inference_config", "deployment_config", "image", "tags", "properties", "description", "environ")
AUTOSCALER = (
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
)


def wish_of(
    workspace: Workspace, service: Service, given: Sequence[Any], named: Mapping[str, Any], wait: bool
) -> tuple[bool, Wish]:
    """Whether to wait, and what is wished. Raises ConfigError."""
    values = {name: value for name, value in named.items() if value is not None}
    for value in given:
        if isinstance(value, bool):
            wait = value
        elif value is not None:
            values[kind_of(value)] = value
    fields = rows_of(service.deployment)
    changes = {name: values.pop(name) for name in list(values) if name in fields and name not in OWN}
    for name in values.keys() - set(OWN):
        expected = f"an argument of update() for a service on {service.compute_type}"
        raise ConfigError(name, values[name], expected, hint(name, [*OWN, *fields]).strip())
    if not values and not changes:
        raise ConfigError("update", None, "something to change", "Give models, inference_config, tags, ...")
    deployment = values.get("deployment_config")
    if changes:
        deployment = changed(deployment or service.deployment, changes)
    image = values.get("image")
    models = values.get("models", getattr(image, "models", None))  # an Image has its models in it
    return wait, Wish(
        models=None if models is None else ids_of(workspace, models),
        inference_config=values.get("inference_config"),
        deployment=deployment,
        image=getattr(image, "id", image),
        tags=values.get("tags"),
        properties=values.get("properties"),
        description=values.get("description"),
        environ=values.get("environ", {}),
    )


def changed(deployment: Deployment, changes: Mapping[str, Any]) -> Deployment:
    """With these fields; what only belonged to the other way of scaling goes with it."""
    gone: dict[str, None] = {}
    scaled = changes.get("autoscale_enabled")
    if isinstance(deployment, AksDeployment) and scaled is not None:
        gone = dict.fromkeys(("num_replicas",) if scaled else AUTOSCALER)
    return replace(deployment, **{**gone, **changes})


def kind_of(value: Any) -> str:
    """Which argument it is."""
    if isinstance(value, InferenceConfig):
        return "inference_config"
    if isinstance(value, Deployment):
        return "deployment_config"
    if isinstance(value, list | tuple):
        return "models"
    if hasattr(value, "id"):
        return "image"
    raise ConfigError("update", value, "a list of models, an InferenceConfig, a deployment configuration or an image")
