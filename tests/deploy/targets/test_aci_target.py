"""One container on a real engine (podman's, behind Docker's API), scored over HTTP."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from scoring_runtime.deploy.services.service import Secrets, Service
from scoring_runtime.deploy.targets.aci.host import ContainerHost
from scoring_runtime.deploy.targets.aci.target import AciTarget
from scoring_runtime.deploy.targets.base import Status
from scoring_runtime.errors import TargetError
from tests.deploy.targets.engines import IMAGE, PodmanService
from tests.deploy.targets.services import KEYS, aci
from tests.serving import until

JSON = {"Content-Type": "application/json"}


def quiet(step: str) -> None:
    pass


@pytest.fixture
def target(engine: PodmanService) -> Iterator[AciTarget]:
    one = AciTarget(ContainerHost(engine=engine.address, boot_seconds=30))
    yield one
    for container in one.all(small()):
        one.engine.remove(container["Id"])
    one.engine.close()


def small(*, secrets: Secrets = Secrets(), **environ: str) -> Service:
    return replace(aci(secrets=secrets, environ=environ, cpu_cores=1, memory_gb=0.2), image=IMAGE)


def healthy(target: AciTarget, service: Service) -> str:
    """Its scoring URI, once it is."""
    try:
        return str(until(lambda: (found := target.status(service)).state == "Healthy" and found.scoring_uri, 30))
    except AssertionError:
        raise AssertionError(f"{target.status(service)}\n{target.logs(service, 100)}") from None


def score(uri: str, value: Any = 1, **headers: str) -> httpx.Response:
    return httpx.post(uri, content=json.dumps(value), headers={**JSON, **headers}, timeout=20, trust_env=False)


def test_a_service_is_deployed_scored_and_deleted(target: AciTarget) -> None:
    service = small()

    target.apply(service, quiet)
    uri = healthy(target, service)

    assert score(uri, 5).json() == ["one", 5]
    assert target.status(service) == Status("Healthy", None, uri, 1)
    assert "ready for serving traffic" in target.logs(service, 100)
    target.delete(service, quiet)
    assert target.status(service).error == f"There is no container of it on {target.engine.address}. Deploy it again."


def ids(target: AciTarget) -> list[str]:
    return [one["Id"] for one in target.all(small())]


def test_applying_again_does_nothing(target: AciTarget) -> None:
    target.apply(small(), quiet)
    before = ids(target)

    target.apply(replace(small(), revision=9), quiet)

    assert ids(target) == before


def test_an_update_keeps_the_port_and_says_what_it_loses(target: AciTarget) -> None:
    """Accepted requests are answered; while the port moves new ones are refused, for about a boot."""
    target.apply(small(), quiet)
    uri = healthy(target, small())
    answers: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=20, trust_env=False) as client:
            while not ended.is_set():
                try:
                    answers.append(client.post(uri, content="1", headers=JSON).json()[0])
                except httpx.ConnectError:
                    answers.append("refused")

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        target.apply(small(ANSWER="two"), quiet)
        until(lambda: answers[-1] == "two")
    finally:
        ended.set()
        asker.join()

    order = [word for at, word in enumerate(answers) if not at or answers[at - 1] != word]
    assert [word for word in order if word != "refused"] == ["one", "two"]
    assert target.status(small()).scoring_uri == uri
    assert len(ids(target)) == 1


def test_a_revision_that_does_not_start_never_takes_the_port(target: AciTarget) -> None:
    target.apply(small(), quiet)
    uri = healthy(target, small())
    before = ids(target)

    with pytest.raises(TargetError, match=r"(?s)revision 3 did not become healthy; .* ValueError: no such model"):
        target.apply(small(FAIL="no such model"), quiet)

    assert score(uri).json() == ["one", 1]
    assert ids(target) == before


def test_a_script_that_fails_is_named_with_its_own_words(target: AciTarget) -> None:
    target.apply(small(FAIL="no such model"), quiet)

    status = until(lambda: target.status(small()).state == "Failed" and target.status(small()), 30)

    assert "ValueError: no such model" in status.error


def test_keys_are_needed_and_change_without_a_restart(target: AciTarget) -> None:
    service = small(secrets=KEYS)
    target.apply(service, quiet)
    uri = healthy(target, service)
    before = ids(target)

    assert score(uri).status_code == 401
    assert score(uri, Authorization=f"Bearer {KEYS.primary_key}").json() == ["one", 1]
    target.apply(small(secrets=replace(KEYS, primary_key="third-key-of-the-service")), quiet)
    until(lambda: score(uri, Authorization="Bearer third-key-of-the-service").status_code == 200)
    assert score(uri, Authorization=f"Bearer {KEYS.primary_key}").status_code == 401
    assert ids(target) == before


def test_a_run_that_takes_too_much_memory_is_named(target: AciTarget) -> None:
    """The kernel kills the worker, not the container: its count of kills tells."""
    target.apply(small(), quiet)
    uri = healthy(target, small())

    assert score(uri, "memory").status_code == 502
    status = until(lambda: (found := target.status(small())).state == "Healthy" and found, 30)

    assert status.error.startswith("Out of memory: ")
    assert "killed at the limit of 204 MiB. Give the service more (memoryInGB)" in status.error


def test_a_model_that_takes_too_much_memory_is_named(target: AciTarget) -> None:
    service = small(MODEL_MB="400")

    target.apply(service, quiet)
    status = until(lambda: (found := target.status(service)).state in ("Failed", "Unhealthy") and found, 40)

    assert status.error.startswith("Out of memory: ")


def test_a_deployer_that_was_killed_while_the_port_moved_is_repaired(target: AciTarget) -> None:
    target.apply(small(), quiet)
    uri = healthy(target, small())
    (live,) = ids(target)
    target.engine.rename(live, "iris-old")
    target.engine.stop(live, 10)

    assert target.status(small()).state == "Failed"
    target.apply(small(), quiet)

    assert healthy(target, small()) == uri
    assert ids(target) == [live]


def test_an_image_that_is_nowhere_is_named(target: AciTarget) -> None:
    with pytest.raises(TargetError, match=r"could not pull 127\.0\.0\.1:1/none:1"):
        target.apply(replace(small(), image="127.0.0.1:1/none:1"), quiet)


def test_an_engine_that_is_not_there_is_named() -> None:
    target = AciTarget(ContainerHost(engine="unix:///nowhere/docker.sock"))

    with pytest.raises(
        TargetError, match=r"(?s)No container engine answers at unix:///nowhere/docker\.sock.*DOCKER_HOST"
    ):
        target.status(small())


def test_a_service_with_a_certificate_speaks_https(target: AciTarget, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    secrets = replace(
        KEYS, tls_certificate=(tmp_path / "cert.pem").read_text(), tls_key=(tmp_path / "key.pem").read_text()
    )
    service = small(secrets=secrets)

    target.apply(service, quiet)
    uri = healthy(target, service)

    assert uri.startswith("https://127.0.0.1:")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    key = {"Authorization": f"Bearer {KEYS.primary_key}"}
    answer = httpx.post(uri, content="5", headers=key, verify=trusted, timeout=20, trust_env=False)
    assert answer.json() == ["one", 5]


def make_certificate(folder: Path) -> None:
    """For 127.0.0.1, signed by itself."""
    names = ["-subj", "/CN=scoring", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True, timeout=30)
