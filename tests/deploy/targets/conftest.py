"""A real engine with an image that serves a score.py."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import Podman
from tests.deploy.targets.engines import IMAGE, PodmanService, build_image
from tests.serving import until


@pytest.fixture(scope="session")
def image(podman: Podman, base_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's Python, the server's dependencies, this project and a score.py; its name."""
    build_image(podman, base_rootfs, tmp_path_factory.mktemp("image"))
    return IMAGE


@pytest.fixture(scope="session")
def engine(podman: Podman, image: str) -> Iterator[PodmanService]:
    """podman's service on a socket, which speaks Docker's API."""
    path = podman.folder / "podman.sock"
    command = [podman.program, "system", "service", "--time=0", f"unix://{path}"]
    with (podman.folder / "service.log").open("wb") as log:
        # conmon writes a file "oom" into its working directory
        process = subprocess.Popen(command, env=dict(podman.environ), cwd=podman.folder, stdout=log, stderr=log)
    try:
        until(path.exists)
        yield PodmanService(podman, f"unix://{path}")
    finally:
        process.terminate()
        process.wait(10)
