"""Compute targets: attached by name, changed by attaching again, forgotten by detaching."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoring_runtime.deploy import AciWebservice, AksCompute, AksWebservice, ComputeTarget, Workspace
from scoring_runtime.deploy.services.compute import attach_engine
from scoring_runtime.deploy.services.deploying import deployment_for
from scoring_runtime.errors import ConfigError, TargetError


def test_cluster_is_attached_by_a_context(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    configuration = AksCompute.attach_configuration(context="prod", namespace="ml", service_type="LoadBalancer")

    target = ComputeTarget.attach(workspace, "cluster", configuration)
    target.wait_for_completion(show_output=True)

    assert isinstance(target, AksCompute)
    assert (target.type, target.provisioning_state) == ("aks", "Succeeded")
    assert target.settings == {"context": "prod", "namespace": "ml", "service_type": "LoadBalancer"}
    assert repr(target) == f"AksCompute('cluster', {target.settings!r})"
    assert [one.name for one in ComputeTarget.list(workspace)] == ["cluster"]
    target.detach()
    with pytest.raises(TargetError, match=r"No compute target 'cluster' in .*; there: none\. Attach it: "):
        ComputeTarget(workspace, "cluster")


def test_kubeconfig_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert AksCompute.attach_configuration("config").settings == {"kubeconfig": str(tmp_path / "config")}


@pytest.mark.parametrize("name", ["x", "1st", "a_b", "a" * 25])
def test_name_has_its_rules(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="expected 2 to 24 letters, digits and -, a letter first"):
        ComputeTarget.attach(Workspace(str(tmp_path)), name, AksCompute.attach_configuration())


def test_engines_are_known_by_name_and_address(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))

    assert attach_engine(workspace, "docker") == "engine-docker"
    assert attach_engine(workspace, "unix:///tmp/d.sock") == "engine-f126ef0a"
    assert ComputeTarget(workspace, "engine-docker").settings == {"engine": "unix:///var/run/docker.sock"}
    with pytest.raises(ConfigError, match="engine: expected docker, podman, or an address such as"):
        attach_engine(workspace, "rkt")


def test_target_makes_the_configuration(tmp_path: Path) -> None:
    aci, aks = AciWebservice.deploy_configuration(), AksWebservice.deploy_configuration(num_replicas=2)

    assert deployment_for(None, None) is None
    assert deployment_for(aci, None) is aci
    assert deployment_for(None, "cluster") == AksWebservice.deploy_configuration(compute_target_name="cluster")
    assert deployment_for(aks, "cluster") == AksWebservice.deploy_configuration(
        num_replicas=2, compute_target_name="cluster"
    )
    assert deployment_for(aci, "engine-docker") == AciWebservice.deploy_configuration(
        compute_target_name="engine-docker"
    )
