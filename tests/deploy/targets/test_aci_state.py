"""What an engine says of a container becomes one of the five states, with a reason that names what happened."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from scoring_runtime.deploy.targets.aci.config import create_config, digest, shown
from scoring_runtime.deploy.targets.aci.host import ContainerHost
from scoring_runtime.deploy.targets.aci.state import oom_kills, state_of
from scoring_runtime.deploy.targets.aci.target import AciTarget
from scoring_runtime.deploy.targets.base import Status
from scoring_runtime.deploy.targets.container import container_of
from scoring_runtime.deploy.targets.log_words import last_words
from tests.deploy.targets.services import KEYS, aci

LOG = "Traceback (most recent call last):\n  File x\nValueError: no such model\nmore of it\n"
OOM = "Out of memory: It was killed at the limit of 512 MiB. Give the service more (memoryInGB), or a smaller model."


def container(running: bool = True, restarts: int = 0, memory: int = 512 * 1024**2, **state: Any) -> dict[str, Any]:
    state = {"Running": running, "Status": "running" if running else "exited", **state}
    return {
        "State": {"StartedAt": "2026-01-01T00:00:00.123456789Z", **state},
        "RestartCount": restarts,
        "HostConfig": {"Memory": memory},
    }


def state(found: dict[str, Any], *, ready: bool = False, kills: int = 0, log: str = "", after: int = 10) -> Status:
    now = datetime(2026, 1, 1, 0, 0, after, tzinfo=timezone.utc)
    return state_of(found, ready=ready, kills=kills, log=log, boot_seconds=30, now=now, uri="u")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (state(container(), ready=True), Status("Healthy", None, "u", 1)),
        (state(container(Status="created", running=False)), Status("Transitioning", None, "u")),
        (state(container()), Status("Transitioning", None, "u")),
        (state(container(), after=31), Status("Unhealthy", "The container runs, and is not ready.", "u")),
        (
            state(container(), kills=2),
            Status(
                "Unhealthy",
                "Out of memory: 2 of its processes were killed at the limit of 512 MiB. "
                "Give the service more (memoryInGB), or a smaller model.",
                "u",
            ),
        ),
        (state(container(running=False, ExitCode=137)), Status("Failed", OOM, "u")),
        (state(container(running=False, ExitCode=1, OOMKilled=True)), Status("Failed", OOM, "u")),
        (
            state(container(running=False, ExitCode=137, memory=0)),
            Status("Failed", "The container was killed (exit code 137).", "u"),
        ),
        (
            state(container(running=False, ExitCode=3), log=LOG),
            Status(
                "Failed", "The script could not be started (exit code 3). ValueError: no such model\nmore of it", "u"
            ),
        ),
        (
            state(container(restarts=1, ExitCode=1)),
            Status("Unhealthy", "The container ended with exit code 1. It was started again 1 times.", "u"),
        ),
        (
            state(container(restarts=3, ExitCode=1)),
            Status("Failed", "The container ended with exit code 1. It was started again 3 times.", "u"),
        ),
    ],
)
def test_a_container_is_in_one_of_the_five_states(status: Status, expected: Status) -> None:
    assert status == expected


def test_kills_are_counted_in_both_kinds_of_cgroup() -> None:
    assert oom_kills("low 0\noom 3\noom_kill 2\noom_group_kill 0\n") == 2
    assert oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n") == 1
    assert oom_kills("") == 0


def test_the_last_words_are_the_last_error_or_the_last_lines() -> None:
    assert last_words("a\n\nb\nc\nd\n") == "b\nc\nd"
    assert last_words(f"KeyError: 1\n{LOG}") == "ValueError: no such model\nmore of it"


def test_another_container_is_needed_for_another_configuration_only() -> None:
    def digest_of(image: str = "sha256:1", host: ContainerHost = ContainerHost(), **environ: str) -> str:
        service = aci(environ=environ)
        return digest(service, container_of(service), host, image)

    assert digest_of() == digest_of()
    assert len({digest_of(), digest_of(A="b"), digest_of("sha256:2"), digest_of(host=ContainerHost(port=80))}) == 4


def test_a_plan_shows_what_would_run_and_no_secret() -> None:
    service = aci(secrets=KEYS, environ={"AML_APP_INSIGHTS_KEY": "telemetry-key"}, dns_name_label="flowers")

    plan = AciTarget(ContainerHost(), model_bytes={"iris:1": 2 * 2**30}).plan(service)
    config = shown(create_config(service, container_of(service), ContainerHost(), 8080))

    assert sorted(plan.documents) == ["container-group.yaml", "container.json", "template.json"]
    assert not [word for word in ("telemetry-key", "first-key", "Zmlyc3Q") if word in "".join(plan.documents.values())]
    assert plan.steps[0].startswith("The models have 2.0 GB")
    assert (config["Hostname"], config["StopTimeout"]) == ("flowers", 35)
    assert config["HostConfig"] == {
        "PortBindings": {"5001/tcp": [{"HostPort": "8080", "HostIp": "127.0.0.1"}]},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "NanoCpus": 100000000,
        "Memory": 536870912,
        "MemorySwap": 536870912,
        "RestartPolicy": {"Name": "always"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "100m"}},
    }
