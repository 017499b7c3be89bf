"""The service as a container group of Azure: the YAML of `az container create --file`, and an ARM template. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.targets.container import ADVISED_MODEL_GB, KEYS_FOLDER, TLS_FOLDER, container_of
from scoring_runtime.deploy.targets.yaml_text import yaml_text

if TYPE_CHECKING:
    from scoring_runtime.deploy.services.service import Service
    from scoring_runtime.deploy.targets.aci.host import ContainerHost
    from scoring_runtime.deploy.targets.container import Container

__all__ = ["advice", "arm_template", "arm_text", "container_group", "dns_label", "group_yaml", "hidden"]

API_VERSION = "2025-09-01"
TYPE = "Microsoft.ContainerInstance/containerGroups"
TEMPLATE_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
RESTARTS = {"always": "Always", "on-failure": "OnFailure", "no": "Never"}
GIB = 1024**3
Document = dict[str, Any]


def container_group(service: Service, host: ContainerHost) -> Document:
    """Raises TargetError where the service cannot run so."""
    deployment, container = service.deployment, container_of(service)
    port = {"port": container.port, "protocol": "TCP"}
    address: Document = {"type": "Public", "ports": [port], "dnsNameLabel": dns_label(service)}
    if deployment.vnet_name:
        address = {"type": "Private", "ports": [port]}  # Azure gives no name to an address in a network of one's own
    properties: Document = {
        "containers": [{"name": service.name, "properties": container_properties(container)}],
        "osType": "Linux",
        "restartPolicy": RESTARTS[host.restart_policy],
        "ipAddress": address,
    }
    if volumes := secret_volumes(container):
        properties["volumes"] = volumes
    if service.secrets.registries:
        properties["imageRegistryCredentials"] = [
            {"server": server, "username": user, "password": password}
            for server, (user, password) in sorted(service.secrets.registries.items())
        ]
    if deployment.vnet_name:
        properties["subnetIds"] = [{"id": subnet(deployment, host)}]
    if deployment.cmk_vault_base_url:
        properties["encryptionProperties"] = {
            "vaultBaseUrl": deployment.cmk_vault_base_url,
            "keyName": deployment.cmk_key_name,
            "keyVersion": deployment.cmk_key_version,
        }
    where = {"location": deployment.location} if deployment.location else {}
    tags = {**service.tags, "scoring-runtime-revision": str(service.revision)}
    return {
        "apiVersion": API_VERSION,
        "type": TYPE,
        "name": service.name,
        **where,
        "tags": tags,
        "properties": properties,
    }


def container_properties(container: Container) -> Document:
    probe = container.probe
    scheme = "https" if container.tls_probe else "http"

    def get(path: str, **numbers: int) -> Document:
        asked = {"path": path, "port": container.probe_port, "scheme": scheme}
        times = {"periodSeconds": probe.period, "timeoutSeconds": probe.timeout}
        return {"httpGet": asked, **times, "failureThreshold": probe.failure_threshold, **numbers}

    variables: list[Document] = [{"name": name, "value": value} for name, value in container.environ.items()]
    variables += [{"name": name, "secureValue": value} for name, value in container.secret_environ.items()]
    properties: Document = {
        "image": container.image,
        "ports": [{"port": container.port, "protocol": "TCP"}],
        "environmentVariables": variables,
        "resources": {"requests": {"cpu": container.cpu, "memoryInGB": container.memory_gb}},
        "livenessProbe": get("/livez", initialDelaySeconds=probe.initial_delay),
        "readinessProbe": get("/readyz", successThreshold=probe.success_threshold),
    }
    if mounts := [
        {"name": name, "mountPath": folder, "readOnly": True}
        for name, folder, files in (("keys", KEYS_FOLDER, container.keys), ("tls", TLS_FOLDER, container.tls))
        if files
    ]:
        properties["volumeMounts"] = mounts
    return properties


def secret_volumes(container: Container) -> list[Document]:
    """Files, as on the other hosts."""
    return [
        {
            "name": name,
            "secret": {file: base64.b64encode(text.encode()).decode() for file, text in sorted(files.items())},
        }
        for name, files in (("keys", container.keys), ("tls", container.tls))
        if files
    ]


def subnet(deployment: Any, host: ContainerHost) -> str:
    group = f"/subscriptions/{host.subscription}/resourceGroups/{host.resource_group}"
    return (
        f"{group}/providers/Microsoft.Network/virtualNetworks/{deployment.vnet_name}/subnets/{deployment.subnet_name}"
    )


def dns_label(service: Service) -> str:
    """As given; else the name and what makes it unlike other people's, the same each time."""
    if service.deployment.dns_name_label:
        return str(service.deployment.dns_name_label)
    seed = f"{service.name} {service.created} {service.deployment.location}"
    return f"{service.name}-{hashlib.sha256(seed.encode()).hexdigest()[:8]}"


def group_yaml(group: Document) -> str:
    return yaml_text(group)


def arm_template(group: Document) -> Document:
    """A template for `az deployment group create`; its secrets are parameters, so that it can be kept in git."""
    parameters: Document = {"location": {"type": "string", "defaultValue": "[resourceGroup().location]"}}
    resource = parameterised({**group, "location": group.get("location") or "[parameters('location')]"}, parameters)
    return {
        "$schema": TEMPLATE_SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": parameters,
        "resources": [resource],
    }


def parameterised(value: Any, parameters: Document, path: tuple[str, ...] = ()) -> Any:
    """Secrets as [parameters('...')]; a number with a fraction as the schema wants it, which knows whole ones only."""
    if isinstance(value, Mapping):
        return {key: parameterised(inner, parameters, (*path, named(value, key))) for key, inner in value.items()}
    if isinstance(value, list):
        return [parameterised(inner, parameters, path) for inner in value]
    if name := secret_name(path):
        parameters[name] = {"type": "secureString"}
        of_volume = path[-2].endswith("_secret")
        return f"[base64(parameters('{name}'))]" if of_volume else f"[parameters('{name}')]"
    if isinstance(value, float):
        return int(value) if value.is_integer() else f"[json('{value}')]"
    return value


def named(holder: Mapping[str, Any], key: str) -> str:
    """The items of a list by their names: environmentVariables has many a secureValue."""
    owner = {"secureValue": "name", "secret": "name", "password": "server"}.get(key)
    return f"{holder[owner]}_{key}" if owner else key


def secret_name(path: tuple[str, ...]) -> str:
    """The parameter for what lies there, if that is a secret."""
    if path and path[-1].endswith(("_secureValue", "_password")):
        return path[-1].replace(".", "_")
    if path[1:] and path[-2].endswith("_secret"):
        return f"{path[-2]}_{path[-1]}".replace(".", "_")
    return ""


def arm_text(template: Document) -> str:
    return json.dumps(template, indent=2) + "\n"


def hidden(value: Any, name: str = "") -> Any:
    """The group with stars for secrets, to be shown."""
    if isinstance(value, dict):
        return {key: hidden(inner, "secret" if name == "secret" else key) for key, inner in value.items()}
    if isinstance(value, list):
        return [hidden(one) for one in value]
    return "***" if name in ("secret", "secureValue", "password") else value


def advice(service: Service, model_bytes: Mapping[str, int]) -> list[str]:
    """What this host does badly, in sentences."""
    total = sum(model_bytes.get(model, 0) for model in service.models)
    if total <= ADVISED_MODEL_GB * GIB:
        return []
    return [
        f"The models have {total / GIB:.1f} GB; more than {ADVISED_MODEL_GB} GB is slow to start and often "
        "does not fit on this host. Use Kubernetes (computeType aks), or a smaller model."
    ]
