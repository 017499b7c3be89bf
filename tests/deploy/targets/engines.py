"""An image for tests that run one: which script it serves is decided by its environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.containers import Podman
from tests.serving import ROOT, until

IMAGE = "localhost/scoring-test:1"
SCRIPT = """
import json, os, time

def init():
    if os.environ.get("FAIL"):
        raise ValueError(os.environ["FAIL"])
    if os.environ.get("MODEL_MB"):
        global model
        model = os.urandom(1024) * 1024 * int(os.environ["MODEL_MB"])
    time.sleep(float(os.environ.get("BOOT_SECONDS", "0")))

def run(data):
    value = json.loads(data)
    if value == "memory":
        return len(os.urandom(1024) * 1024 * 1024)
    time.sleep(float(os.environ.get("RUN_SECONDS", "0")))
    return [os.environ.get("ANSWER", "one"), value]
"""
CONTAINERFILE = """
FROM localhost/scoring-base:1
COPY deps /opt/deps
COPY scoring_runtime /opt/app/scoring_runtime
COPY score.py /var/azureml-app/score.py
ENV PYTHONPATH=/opt/deps:/opt/app PYTHONDONTWRITEBYTECODE=1 AML_APP_ROOT=/var/azureml-app AZUREML_ENTRY_SCRIPT=score.py
CMD ["python3", "-m", "scoring_runtime", "/var/azureml-app/score.py"]
"""


class PodmanService(NamedTuple):
    podman: Podman
    address: str


@contextmanager
def served(podman: Podman, name: str) -> Iterator[PodmanService]:
    """podman's service on a socket of this name, which speaks Docker's API."""
    path = podman.folder / f"{name}.sock"
    command = [podman.program, "system", "service", "--time=0", f"unix://{path}"]
    with (podman.folder / f"{name}.log").open("wb") as log:
        # conmon writes a file "oom" into its working directory
        process = subprocess.Popen(command, env=dict(podman.environ), cwd=podman.folder, stdout=log, stderr=log)
    try:
        until(path.exists)
        yield PodmanService(podman, f"unix://{path}")
    finally:
        process.terminate()
        process.wait(10)


def build_image(podman: Podman, rootfs: Path, folder: Path) -> None:
    """With the wheels for Debian's Python 3.11, whatever Python runs this."""
    podman.run("import", str(rootfs), "localhost/scoring-base:1")
    # Copies, made readable for all: files in uv's cache keep the modes that they once had.
    wheels = [
        "--python-version",
        "3.11",
        "--only-binary",
        ":all:",
        "--link-mode",
        "copy",
        "--target",
        str(folder / "deps"),
    ]
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", *wheels]
    subprocess.run(
        [*install, "-c", str(ROOT / "constraints.txt"), "-r", str(ROOT / "pyproject.toml")],
        check=True,
        timeout=110,
        capture_output=True,
        text=True,
    )
    shutil.copytree(ROOT / "scoring_runtime", folder / "scoring_runtime", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "score.py").write_text(SCRIPT)
    (folder / "Containerfile").write_text(CONTAINERFILE)
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    podman.run("build", "--quiet", "--tag", IMAGE, "--network", "none", str(folder))
