"""The verbs that make a service: deploy, deploy_from_model, deploy_from_image, deploy_local_from_model."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.models.no_code import no_code_config, sole_model, with_resources
from scoring_runtime.deploy.services import operations
from scoring_runtime.deploy.services.config_rules import OBJECT, Rule
from scoring_runtime.deploy.services.deploying import Wish, deployment_for, ids_of, new_revision
from scoring_runtime.deploy.services.deployment_config import Deployment, LocalDeployment
from scoring_runtime.deploy.services.service import Service
from scoring_runtime.deploy.services.service_folder import ServiceFolder
from scoring_runtime.deploy.services.service_image import with_planned_image
from scoring_runtime.deploy.targets.base import Comparing, Plan, Progress, Target
from scoring_runtime.deploy.targets.table import target_of
from scoring_runtime.deploy.workspaces.names import check_service_name
from scoring_runtime.errors import ConfigError, TargetError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.inference_config import InferenceConfig
    from scoring_runtime.deploy.services.webservice import Webservice
    from scoring_runtime.deploy.workspaces.workspace import Workspace

__all__ = ["DeployVerbs", "deploy", "plan_of", "wish_for"]

LISTED = Rule("a list", lambda value: isinstance(value, list | tuple))
IMPLICIT_NAME = 30  # of a file that is registered on the way its name keeps so many characters


def deploy(
    workspace: Workspace,
    name: str,
    models: Sequence[Any],
    inference_config: InferenceConfig | None = None,
    deployment_config: Deployment | None = None,
    deployment_target: Any = None,
    overwrite: bool = False,
    show_output: bool = False,
    *,
    image: Any = None,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    description: str | None = None,
    environ: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Webservice:
    """Begin to run models behind a script; wait_for_deployment() says how it went.

    Without a deployment configuration and target: on this machine. Without an inference configuration: one made for
    the models' framework. Raises ServiceExists unless overwrite is true, ServiceBusy, ConfigError, TargetError, ...
    """
    check_service_name(name)
    folder = ServiceFolder(workspace, name)
    wish = wish_for(workspace, models, inference_config, deployment_config, deployment_target, image)
    wish = wish.labelled(tags, properties, description, environ)

    def make(before: Service | None, revision: int) -> Service:
        return new_revision(workspace, name, wish, before, revision)

    say = progress or (say_with_seconds() if show_output else unheard)
    operations.bring_up(folder, "deploy", make, say, must_be_new=not overwrite)
    from scoring_runtime.deploy.services.webservice import Webservice

    return Webservice(workspace, name)


def plan_of(workspace: Workspace, name: str, wish: Wish) -> tuple[Service, Plan]:
    """What deploy() or an update would do, and nothing is done."""
    folder = ServiceFolder(workspace, name)
    state = folder.state() if folder.exists() else {"current": 0}
    before = folder.read(state["current"]) if state["current"] else None
    if before is not None and wish.is_only_labels():
        return before, Plan((f"change tags, properties and description of revision {before.revision}; nothing starts",))
    service = new_revision(workspace, name, wish, before, max([0, *folder.revisions()]) + 1)
    planned = with_planned_image(workspace, service)
    host = target_of(workspace, planned)
    plan = host.plan(planned)
    steps = (*plan.steps, *changes(host, planned)) if before is not None else plan.steps
    if planned.image == service.image:
        return service, replace(plan, steps=steps)
    built = f"Build the image {planned.image} from the script and its models."
    return planned, replace(plan, steps=(built, *steps))


def changes(host: Target, service: Service) -> tuple[str, ...]:
    """What differs from what the host has now, where it can be asked."""
    if not isinstance(host, Comparing):
        return ()
    try:
        found = host.diff(service)
    except TargetError as error:
        return (f"What would change there cannot be asked: {error}",)
    return tuple(f"Change {thing}: {'; '.join(differences)}." for thing, differences in found.items())


def wish_for(
    workspace: Workspace,
    models: Sequence[Any],
    inference_config: InferenceConfig | None,
    deployment_config: Deployment | None,
    deployment_target: Any,
    image: Any,
) -> Wish:
    """What the arguments of deploy() mean. Raises ConfigError for a wrong kind of thing."""
    if not LISTED.holds(models):
        raise ConfigError("models", models, "a list of models", 'Write [model], or ["name:1"].')
    given: Any = deployment_config
    if given is not None and not isinstance(given, Deployment):
        fix = "Make it with LocalWebservice.deploy_configuration(...), or from_file()."
        raise ConfigError("deployment_config", deployment_config, "a deployment configuration", fix)
    if inference_config is not None and (OBJECT.holds(inference_config) or isinstance(inference_config, str)):
        raise ConfigError("inference_config", inference_config, "an InferenceConfig", "Read a file with from_file().")
    config = inference_config
    deployment = deployment_for(deployment_config, deployment_target) or LocalDeployment()
    if config is None and image is None:
        model = sole_model(workspace, models)
        config = no_code_config(model)
        deployment = deployment if deployment_config else with_resources(deployment, model)
    return Wish(
        models=ids_of(workspace, models),
        inference_config=config,
        deployment=deployment,
        image=None if image is None else getattr(image, "id", image),
    )


class DeployVerbs:
    """The static methods of Webservice that make one."""

    @staticmethod
    def deploy(
        workspace: Workspace,
        name: str,
        model_paths: Sequence[str],
        image_config: Any,
        deployment_config: Deployment | None = None,
        deployment_target: Any = None,
        overwrite: bool = False,
    ) -> Webservice:
        """Registers each file or folder under its own name, then deploys it."""
        from scoring_runtime.deploy.models.model import Model

        check_service_name(name)
        models = [
            Model.register(workspace, path, os.path.basename(os.path.abspath(path))[:IMPLICIT_NAME])
            for path in model_paths
        ]
        return DeployVerbs.deploy_from_model(
            workspace, name, models, image_config, deployment_config, deployment_target, overwrite
        )

    @staticmethod
    def deploy_from_model(
        workspace: Workspace,
        name: str,
        models: Sequence[Any],
        image_config: Any,
        deployment_config: Deployment | None = None,
        deployment_target: Any = None,
        overwrite: bool = False,
    ) -> Webservice:
        """Registered models; `image_config`: an InferenceConfig, or ContainerImage.image_configuration(...)."""
        config = inference_of(image_config)
        return deploy(workspace, name, models, config, deployment_config, deployment_target, overwrite)

    @staticmethod
    def deploy_from_image(
        workspace: Workspace,
        name: str,
        image: Any,
        deployment_config: Deployment | None = None,
        deployment_target: Any = None,
        overwrite: bool = False,
    ) -> Webservice:
        """An image of the workspace, which has its models in it."""
        state = getattr(image, "creation_state", "Succeeded")
        if state != "Succeeded":
            raise ConfigError(
                "image", state, "an image whose creation has Succeeded", "Call wait_for_creation() first."
            )
        models = [model if isinstance(model, str) else model.id for model in getattr(image, "models", ())]
        return deploy(workspace, name, models, None, deployment_config, deployment_target, overwrite, image=image)

    @staticmethod
    def deploy_local_from_model(
        workspace: Workspace,
        name: str,
        models: Sequence[Any],
        image_config: Any,
        deployment_config: LocalDeployment | None = None,
        wait: bool = False,
    ) -> Webservice:
        """On this machine."""
        service = deploy(
            workspace, name, models, inference_of(image_config), deployment_config or LocalDeployment(), overwrite=True
        )
        if wait:
            service.wait_for_deployment()
        return service


def inference_of(image_config: Any) -> InferenceConfig:
    """An image configuration of the older kind says the same as an InferenceConfig, but for files beside the script."""
    convert = getattr(image_config, "inference_config", None)
    if convert is None:
        config: InferenceConfig = image_config
        return config
    if image_config.dependencies or image_config.schema_file:
        fix = "Put the files into one folder and name it: InferenceConfig(source_directory=...); or Image.create()."
        raise ConfigError("image_config", list(image_config.dependencies), "no dependencies or schema_file", fix)
    older: InferenceConfig = convert()
    return older


def unheard(text: str) -> None:
    """A Progress for nobody."""


def say_with_seconds() -> Progress:
    began = time.monotonic()
    return lambda text: print(f"{text} ({time.monotonic() - began:.1f} s)")
