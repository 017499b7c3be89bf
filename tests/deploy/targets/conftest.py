"""A real engine with an image that serves a score.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import Podman
from tests.deploy.targets.engines import IMAGE, PodmanService, build_image, served


@pytest.fixture(scope="session")
def image(podman: Podman, base_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's Python, the server's dependencies, this project and a score.py; its name."""
    build_image(podman, base_rootfs, tmp_path_factory.mktemp("image"))
    return IMAGE


@pytest.fixture(scope="session")
def engine(podman: Podman, image: str) -> Iterator[PodmanService]:
    with served(podman, "podman") as service:
        yield service
