"""Rendered documents started for real: the Deployment by podman, a module of a device from its createOptions."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import httpx

from scoring_runtime.deploy.services.service import Service
from scoring_runtime.deploy.targets.iot_edge.chunks import joined
from scoring_runtime.deploy.targets.iot_edge.edge import Edge
from scoring_runtime.deploy.targets.iot_edge.manifest import manifest
from scoring_runtime.deploy.targets.kubernetes.cluster import Cluster
from scoring_runtime.deploy.targets.kubernetes.documents import documents, kubernetes_yaml
from tests.containers import Podman
from tests.deploy.targets.engines import IMAGE, PodmanService
from tests.deploy.targets.services import KEYS, aks, iot
from tests.serving import free_port, until


def scored(url: str, key: str, log: Callable[[], str]) -> Any:
    """The answer once there is one; without one, the log."""

    headers = {"Authorization": f"Bearer {key}"}

    def ask() -> Any:
        try:
            answer = httpx.post(f"{url}/score", content="5", headers=headers, timeout=10, trust_env=False)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    try:
        return until(ask, 30)
    except AssertionError:
        raise AssertionError(log()) from None


def for_podman(service: Service) -> str:
    """What podman plays of it: the Deployment, with what that refers to."""
    kinds = ("ConfigMap", "Secret", "Deployment")
    return kubernetes_yaml([one for one in documents(service, Cluster()) if one["kind"] in kinds])


def test_the_deployment_runs_with_its_limits_and_without_rights(podman: Podman, image: str, tmp_path: Path) -> None:
    service = replace(aks(num_replicas=1, memory_gb=0.1, memory_gb_limit=0.25, cpu_cores_limit=1), image=image)
    file = tmp_path / "service.yaml"
    file.write_text(for_podman(service))
    try:
        podman.run("kube", "play", "--network", "bridge", str(file))
        (container,) = [name for name in podman.run("ps", "--format", "{{.Names}}").split() if "infra" not in name]
        found = json.loads(podman.run("inspect", container))[0]
        infra = podman.run("pod", "inspect", found["Pod"], "--format", "{{.InfraContainerID}}").strip()
        networks = json.loads(podman.run("inspect", infra))[0]["NetworkSettings"]["Networks"]
        address = next(network["IPAddress"] for network in networks.values())

        podman.wait_ready(container, f"http://{address}:5001")
        key = podman.run("exec", container, "cat", "/var/scoring/keys/primaryKey")
        assert key in (
            KEYS.primary_key,
            base64.b64encode(KEYS.primary_key.encode()).decode(),
        )  # podman 4.3: not decoded
        assert scored(f"http://{address}:5001", key, lambda: podman.run("logs", container)) == ["one", 5]
        assert httpx.post(f"http://{address}:5001/score", content="5", trust_env=False).status_code == 401
        assert (found["HostConfig"]["Memory"], found["HostConfig"]["ReadonlyRootfs"]) == (256 * 1024**2, True)
        assert found["EffectiveCaps"] in (None, [])
        assert podman.run("exec", container, "id", "-u").strip() == "1000"
    finally:
        podman.try_run("kube", "down", str(file))


def test_a_module_runs_from_its_create_options(engine: PodmanService) -> None:
    """As the agent of a device does it: the image, the environment of the manifest, and the joined options."""
    port = free_port()
    document = manifest(replace(iot(secrets=KEYS), image=IMAGE), Edge(host_port=port))
    module = document["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]["iris"]
    environ = [f"{name}={holder['value']}" for name, holder in module["env"].items()]
    config = {"Image": module["settings"]["image"], "Env": environ, **joined(module["settings"])}
    api = docker.APIClient(base_url=engine.address, version="auto")
    made = api.create_container_from_config(config, "iris")["Id"]
    try:
        api.start(made)

        assert scored(f"http://127.0.0.1:{port}", KEYS.primary_key, lambda: str(api.logs(made))) == ["one", 5]
        assert httpx.post(f"http://127.0.0.1:{port}/score", content="5", trust_env=False).status_code == 401
    finally:
        api.kill(made)
        api.remove_container(made, force=True)
        api.close()
