"""One request to an image, answered by a container that podman or docker starts here and that ends with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from scoring_runtime.deploy.images.layout import write_archive
from scoring_runtime.errors import DeployError

if TYPE_CHECKING:
    from scoring_runtime.deploy.images.oci import Descriptor
    from scoring_runtime.deploy.workspaces.blobs import Blobs

__all__ = ["run_once"]

ENGINES = ("podman", "docker")
LOAD_SECONDS = 600
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run_once(
    blobs: Blobs, descriptor: Descriptor, id: str, data: str | bytes, engine: str | None, timeout_seconds: float
) -> Any:
    """The JSON of the answer. Raises DeployError where there is no engine, and with the log where it fails."""
    program = next((path for name in ([engine] if engine else ENGINES) if (path := shutil.which(name))), None)
    if program is None:
        raise DeployError(
            f"Running {id} here takes podman or docker, and there is {f'no {engine}' if engine else 'neither'} on the "
            "PATH. Install one, or run the script itself: scoring-serve score.py"
        )
    reference = f"localhost/scoring-run/{id}"
    with tempfile.TemporaryDirectory(prefix="scoring-run-") as folder:
        path = os.path.join(folder, "image.tar")
        write_archive(blobs, descriptor, path, reference, for_docker=True)
        command(program, "load", "-i", path, seconds=LOAD_SECONDS)
    container = command(program, "run", "--detach", "--publish", "127.0.0.1::5001", reference).strip()
    try:
        address = command(program, "port", container, "5001/tcp").split()[0]
        return answer(program, container, f"http://{address}", data, time.monotonic() + timeout_seconds)
    finally:
        command(program, "rm", "--force", container)


def command(program: str, *arguments: str, seconds: float = 60) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise DeployError(f"{os.path.basename(program)} {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def answer(program: str, container: str, url: str, data: str | bytes, deadline: float) -> Any:
    body = data.encode() if isinstance(data, str) else data
    while True:
        try:
            OPENER.open(f"{url}/readyz", timeout=5).close()
            break
        except OSError:
            running = command(program, "inspect", "--format", "{{.State.Running}}", container).strip()
            if running != "true" or time.monotonic() > deadline:
                raise DeployError(
                    f"The container does not become ready. It says:\n{log_of(program, container)}"
                ) from None
            time.sleep(0.1)
    request = urllib.request.Request(f"{url}/score", body, {"Content-Type": "application/json"})
    try:
        with OPENER.open(request, timeout=max(deadline - time.monotonic(), 1)) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise DeployError(f"The image answered {error.code}: {said}\n{log_of(program, container)}") from None


def log_of(program: str, container: str) -> str:
    done = subprocess.run([program, "logs", container], capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr)[-4000:]
