"""A deployment manifest: valid by the published schemas, whole or a layer, and checked for what they do not say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scoring_runtime.deploy.services.service import Secrets, Service
from scoring_runtime.deploy.targets.iot_edge.checks import problems
from scoring_runtime.deploy.targets.iot_edge.chunks import joined, split
from scoring_runtime.deploy.targets.iot_edge.edge import Edge
from scoring_runtime.deploy.targets.iot_edge.manifest import hidden, manifest, manifest_text
from scoring_runtime.errors import TargetError
from tests.deploy.targets.schemas import errors, schema
from tests.deploy.targets.services import KEYS, TLS, assert_golden, iot

FILTER = {
    "moduleName": "filter",
    "imageLocation": "registry.example/filter:2",
    "createOptions": '{"HostConfig": {"Binds": ["/data:/data"]}}',
    "environmentVariables": {"RATE": 5, "VERBOSE": True},
    "propertiesDesired": {"threshold": 0.5},
    "startupOrder": 1,
}
ROUTES = {
    "frames": 'FROM /messages/modules/filter/outputs/frames INTO BrokeredEndpoint("/modules/iris/inputs/amlInput")',
    "scores": {
        "route": "FROM /messages/modules/iris/outputs/amlOutput WHERE $body.score > 0.5 INTO $upstream",
        "priority": 0,
        "timeToLiveSecs": 3600,
    },
}
ACR = {"location": "models.azurecr.io", "user": "puller", "password": "acr-password"}
LOGIN = Secrets(primary_key="first-key", secondary_key="second-key", registries={"registry.example:5000": ("me", "pw")})


def whole() -> Service:
    return iot(secrets=LOGIN, routes=ROUTES, external_modules=[FILTER], acr_credentials=[ACR])


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: manifest(iot(), Edge()),
    "whole": lambda: manifest(whole(), Edge(startup_order=2, agent_environ={"SendRuntimeQualityTelemetry": False})),
    "fpga": lambda: manifest(iot(environ={"SCORING_ACCELERATOR": "fpga"}), Edge(platform="arm64", host_port=8080)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_is_valid_by_the_published_schema(case: str) -> None:
    assert errors(CASES[case](), schema("azure-iot-edge-deployment-2.0.json")) == []


@pytest.mark.parametrize("case", CASES)
def test_agent_and_hub_are_valid_by_the_schemas_of_the_command_line(case: str) -> None:
    """The agent's is for version 1.0, which has no startup order."""
    content = CASES[case]()["modulesContent"]
    agent, hub = {"$edgeAgent": content["$edgeAgent"]}, {"$edgeHub": content["$edgeHub"]}
    version = hub["$edgeHub"]["properties.desired"]["schemaVersion"]
    with_order = ["$['$edgeAgent']['properties.desired'].schemaVersion: '1.1' does not match '1.0'"]

    assert errors(agent, schema("azure-iot-edgeagent-deployment-1.0.json")) == (with_order if case == "whole" else [])
    assert errors(hub, schema(f"azure-iot-edgehub-deployment-{version}.json")) == []


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_those_that_were_reviewed(case: str) -> None:
    assert problems(CASES[case]()) == []
    assert_golden(f"iot_edge/{case}.json", manifest_text(CASES[case]()))


def test_a_layer_has_this_services_part_only() -> None:
    document = manifest(whole(), Edge(layered=True))

    assert problems(document) == []
    assert_golden("iot_edge/layered.json", manifest_text(document))


def test_secrets_are_shown_as_stars() -> None:
    text = manifest_text(hidden(manifest(whole(), Edge())))

    assert not [word for word in ("first-key", "second-key", "acr-password", '"pw"') if word in text]
    assert text.count("***") == 4


def test_options_are_cut_into_chunks_that_the_agent_joins() -> None:
    options = {"Env": ["A=" + "é" * 400, "B=" + "x" * 700]}

    parts = split(options, "iris")

    assert list(parts) == [f"createOptions{at}" for at in ("", "01", "02", "03", "04", "05", "06")]
    assert max(map(len, parts.values())) == 512
    assert joined({"image": "x", **parts}) == options
    with pytest.raises(TargetError, match="have 60010 characters, and a device takes 51200"):
        split({"Env": "x" * 60000}, "iris")


def test_the_users_options_go_over_ours() -> None:
    given = {"createOptions": {"HostConfig": {"Binds": ["/models:/models"], "CapDrop": []}, "WorkingDir": "/models"}}
    document = manifest(iot(aml_module={"moduleName": "scorer", **given}), Edge())

    assert joined(document["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]["scorer"]["settings"]) == {
        "ExposedPorts": {"5001/tcp": {}},
        "HostConfig": {
            "Binds": ["/models:/models"],
            "CapDrop": [],
            "PortBindings": {"5001/tcp": [{"HostPort": "5001"}]},
            "SecurityOpt": ["no-new-privileges"],
        },
        "WorkingDir": "/models",
    }


def test_the_published_templates_options_are_understood() -> None:
    """Microsoft's sample has a comma too many, which no agent takes."""
    text = '{"WorkingDir":"/var/azureml-app","HostConfig":{"PortBindings":{"5001/tcp":[{"HostPort":"5001"}]},}}'

    settings = manifest(iot(aml_module={"createOptions": text}), Edge())["modulesContent"]["$edgeAgent"]
    module = settings["properties.desired"]["modules"]["iris"]

    assert joined(module["settings"])["WorkingDir"] == "/var/azureml-app"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: manifest(iot(aml_module={"createOptions": "{no"}), Edge()), "expected a JSON object, got '{no'"),
        (lambda: manifest(iot(aml_module={"createOptions": "[]"}), Edge()), r"expected a JSON object, got '\[\]'"),
        (lambda: manifest(iot(secrets=TLS), Edge()), "Put it on the device, mount it with createOptions"),
        (
            lambda: manifest(replace(iot(secrets=replace(KEYS, token_key="t")), auth="token"), Edge()),
            "tokens are not for IoT Edge",
        ),
        (lambda: Edge(platform="arm32v7"), "platform: expected one of amd64, arm64, got 'arm32v7'"),
    ],
)
def test_what_a_device_cannot_do_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        make()


MISTAKES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "module 'my scorer': a name has letters": lambda agent, hub: agent["modules"].update(
        {"my scorer": agent["modules"]["iris"]}
    ),
    "the variable 'A.B' cannot have": lambda agent, hub: agent["modules"]["iris"]["env"].update({"A.B": {"value": 1}}),
    "the variable LIST is a list": lambda agent, hub: agent["modules"]["iris"]["env"].update({"LIST": {"value": []}}),
    "createOptions has 600 characters, at most 512 fit": lambda agent, hub: agent["modules"]["iris"]["settings"].update(
        createOptions="x" * 600
    ),
    "are not a JSON object: Expecting": lambda agent, hub: agent["modules"]["iris"]["settings"].update(
        createOptions="{,}"
    ),
    "are not a JSON object: expected an object, got list": lambda agent, hub: agent["modules"]["iris"][
        "settings"
    ].update(createOptions="[]"),
    "module other: the device's port 5001 is iris's already": lambda agent, hub: agent["modules"].update(
        other=agent["modules"]["iris"]
    ),
    "route 'a.b': a name cannot have": lambda agent, hub: hub["routes"].update({"a.b": "FROM /* INTO $upstream"}),
    "route up: expected FROM": lambda agent, hub: hub["routes"].update(up="FROM * TO $upstream"),
    "route up: expected a priority from 0 to 9, got 10": lambda agent, hub: hub["routes"].update(
        up={"route": "FROM /* INTO $upstream", "priority": 10}
    ),
    "route up: expected timeToLiveSecs as a whole number of seconds, got '1h'": lambda agent, hub: hub["routes"].update(
        up={"route": "FROM /* INTO $upstream", "timeToLiveSecs": "1h"}
    ),
    "route up: expected route, priority and timeToLiveSecs, got 'ttl'": lambda agent, hub: hub["routes"].update(
        up={"route": "FROM /* INTO $upstream", "ttl": 1}
    ),
    "env.BIG.value has 5000 bytes, at most 4096 fit": lambda agent, hub: agent["modules"]["iris"]["env"].update(
        {"BIG": {"value": "x" * 5000}}
    ),
    "module iris: restartPolicy: expected one of never, on-failure": lambda agent, hub: agent["modules"]["iris"].update(
        restartPolicy="sometimes"
    ),
    "module iris: imagePullPolicy: expected one of on-create": lambda agent, hub: agent["modules"]["iris"].update(
        imagePullPolicy="always"
    ),
    "module iris: startupOrder: expected a whole number from 0": lambda agent, hub: agent["modules"]["iris"].update(
        startupOrder=-1
    ),
    "route up: expected a text or an object, got 5": lambda agent, hub: hub["routes"].update(up=5),
    "route up: expected FROM /... [WHERE ...] INTO": lambda agent, hub: hub["routes"].update(up={}),
    "$edgeAgent: its desired properties have": lambda agent, hub: agent["modules"]["iris"]["env"].update(
        {f"V{n}": {"value": "x" * 4000} for n in range(9)}
    ),
    "route up: expected an endpoint": lambda agent, hub: hub["routes"].update(
        up='FROM /* INTO BrokeredEndpoint("/iris")'
    ),
    "route up: the module nobody is not in the manifest": lambda agent, hub: hub["routes"].update(
        up="FROM /messages/modules/nobody/outputs/* INTO $upstream"
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_named(message: str) -> None:
    document = manifest(iot(), Edge())
    content = json.loads(json.dumps(document))["modulesContent"]

    MISTAKES[message](content["$edgeAgent"]["properties.desired"], content["$edgeHub"]["properties.desired"])

    assert [one for one in problems({"modulesContent": content}) if message in one]


def test_two_modules_of_one_name_are_refused_and_what_is_null_is_not_given() -> None:
    with pytest.raises(TargetError, match="two modules are named 'filter'; give each its own moduleName"):
        manifest(iot(external_modules=[FILTER], aml_module={"moduleName": "filter"}), Edge())

    document = manifest(iot(aml_module={"environmentVariables": None}, routes={"up": {}}), Edge())
    assert document["modulesContent"]["$edgeHub"]["properties.desired"]["routes"] == {"up": {}}


def test_a_module_with_an_input_takes_messages_unless_its_entry_point_is_given() -> None:
    def options(**fields: Any) -> Any:
        modules = manifest(iot(**fields), Edge())["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]
        return joined(modules["iris"]["settings"])

    assert "Entrypoint" not in options()
    assert options(routes=ROUTES)["Entrypoint"] == ["scoring-iot"]
    assert options(routes=ROUTES)["Cmd"] == ["--", "scoring-serve"]
    assert options(routes=ROUTES, aml_module={"createOptions": '{"Entrypoint": ["mine"]}'})["Entrypoint"] == ["mine"]
