"""How long does an image take, first and after an edit, and to a registry: built directly, and by buildah?

Input     Debian 12 with Python as a tar file (mmdebstrap, 171 MB); the server with its 17 packages as wheels that lie
          here already; a model of MODEL_MB random megabytes; a score.py
Ours      `scoring image build` and `push`, a process each; the workspace knows the model, the lock and the wheels
buildah   `buildah build --layers` of a Dockerfile with the same five layers (ADD the tar file; COPY the packages, which
          lie unpacked already, the project, the model, the code), overlay storage of its own; `buildah push`
Steps     first    nothing has been built before, the base is new too
          edit     score.py has another line
          push     all of the first image to an empty docker-registry on this machine
          push-2   the edited image to the same repository
          buildah compresses when it pushes, ours when it builds: compare the sums
Method    rounds with new folders and a new registry, the two in turn; the best of REPEATS rounds, and the worst

    python -m benchmarks.bench_images [--repeats 5] [--model-mb 64] [--write docs/benchmarks/images.json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.deployer_tables import image_table
from benchmarks.machine import describe
from scoring_runtime.deploy import InferenceConfig, Model, Workspace
from scoring_runtime.deploy.environments.lock import lock
from scoring_runtime.deploy.environments.packaging import build_context
from scoring_runtime.deploy.environments.wheels import fetch, unpack
from tests.containers import CACHE, Podman, needed, running_registry

SCRIPT = "import json\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return json.loads(data)\n"
DOCKERFILE = """FROM scratch
ADD rootfs.tar /
COPY packages /opt/scoring-runtime/lib/python3.11/site-packages
COPY project /opt/scoring-runtime/lib/python3.11/site-packages
COPY model /var/azureml-app/azureml-models
COPY code /var/azureml-app/code
USER 1000:1000
ENTRYPOINT ["python3", "-m", "scoring_runtime"]
"""


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def call(*command: str, environ: dict[str, str] | None = None, folder: Path | None = None) -> None:
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")


class Inputs:
    """What both get."""

    def __init__(self, folder: Path, model_mb: int) -> None:
        self.base = CACHE / "bookworm-amd64.tar"
        if not self.base.exists():
            raise SystemExit(
                f"{self.base} is missing: run pytest tests/deploy/test_image_real.py first, which makes it"
            )
        self.folder = folder
        (folder / "code").mkdir()
        (folder / "model.bin").write_bytes(os.urandom(model_mb << 20))
        self.edit(0)
        workspace = Workspace(str(folder / "known"))
        context = build_context(workspace, [], InferenceConfig("score.py", source_directory=str(folder / "code")))
        locked = lock(workspace, context.requirements, "3.11")
        for package, wheel in zip(locked.packages, fetch(workspace, locked.packages), strict=True):
            name = "project" if package.name == "scoring-runtime" else "packages"
            unpack(wheel, str(folder / name), str(folder / name / "bin"), "/usr/bin/python3")

    def edit(self, number: int) -> None:
        (self.folder / "code" / "score.py").write_text(f"{SCRIPT}# {number}\n")


def ours(inputs: Inputs, folder: Path, round_number: int) -> dict[str, float]:
    workspace = folder / "workspace"
    shutil.copytree(inputs.folder / "known" / "cache", workspace / "cache")
    scoring = str(Path(sys.executable).parent / "scoring")
    build = [scoring, "image", "build", str(inputs.folder / "code"), "-n", "bench", "-w", str(workspace)]
    build += ["--base", str(inputs.base), "-m", "model:1", "--json"]
    Model.register(Workspace(str(workspace)), str(inputs.folder / "model.bin"), "model")
    seconds = {}
    inputs.edit(2 * round_number)
    seconds["first"] = timed(lambda: call(*build))
    inputs.edit(2 * round_number + 1)
    seconds["edit"] = timed(lambda: call(*build))
    with running_registry(folder / "registry") as registry:
        for version, step in (1, "push"), (2, "push-2"):
            push = [scoring, "image", "push", f"bench:{version}", f"{registry.address}/bench:{version}"]
            seconds[step] = timed(lambda push=push: call(*push, "-w", str(workspace), "--json"))  # type: ignore[misc]
        seconds["bytes"] = size_of(registry.client, "bench")
    return seconds


def buildah(inputs: Inputs, folder: Path, round_number: int) -> dict[str, float]:
    context = folder / "context"
    context.mkdir(parents=True)
    os.link(inputs.base, context / "rootfs.tar")
    for name in ("packages", "project"):
        shutil.copytree(inputs.folder / name, context / name)
    (context / "model" / "model" / "0").mkdir(parents=True)
    shutil.copyfile(inputs.folder / "model.bin", context / "model" / "model" / "0" / "model.bin")
    (context / "Dockerfile").write_text(DOCKERFILE)
    program = needed("buildah", "buildah")
    with running_registry(folder / "registry") as registry:
        private = Podman(folder / "podman", registry.address)
        environ = dict(private.environ)

        def build(number: int) -> float:
            inputs.edit(2 * round_number + number)
            shutil.rmtree(context / "code", ignore_errors=True)
            shutil.copytree(inputs.folder / "code", context / "code")
            command = [program, "build", "--layers", "-q", "-t", f"bench:{number + 1}", str(context)]
            return timed(lambda: call(*command, environ=environ))

        def push(version: int) -> float:
            target = f"docker://{registry.address}/bench:{version}"
            return timed(lambda: call(program, "push", "-q", f"localhost/bench:{version}", target, environ=environ))

        try:
            seconds = {"first": build(0), "edit": build(1), "push": push(1), "push-2": push(2)}
            seconds["bytes"] = size_of(registry.client, "bench")
        finally:
            private.end()
    return seconds


def size_of(client: Any, name: str) -> float:
    accept = {
        "Accept": "application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json"
    }
    manifest = client.get(f"/v2/{name}/manifests/1", headers=accept).json()
    return float(sum(layer["size"] for layer in manifest["layers"]))


def measured(repeats: int, model_mb: int) -> dict[str, Any]:
    rounds: dict[str, list[dict[str, float]]] = {"ours": [], "buildah": []}
    machine = describe()
    with tempfile.TemporaryDirectory(prefix="bench-images-") as name:
        folder = Path(name)
        inputs = Inputs(folder, model_mb)
        for number in range(repeats):
            for rival, run in ("ours", ours), ("buildah", buildah):
                place = folder / f"{rival}-{number}"
                place.mkdir()
                rounds[rival].append(run(inputs, place, number))
                shutil.rmtree(place)
                print(
                    rival, number, {key: round(value, 2) for key, value in rounds[rival][-1].items()}, file=sys.stderr
                )
    return {"machine": machine, "repeats": repeats, "model_mb": model_mb, "rounds": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model-mb", type=int, default=64)
    parser.add_argument("--write", metavar="FILE", help="keep the results as JSON")
    arguments = parser.parse_args()
    results = measured(arguments.repeats, arguments.model_mb)
    if arguments.write:
        Path(arguments.write).write_text(json.dumps(results, indent=1) + "\n")
    print(image_table(results))


if __name__ == "__main__":
    main()
