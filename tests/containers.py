"""Real parts for tests of images: a root file system of Debian's packages, a registry, and podman with runc.

All need apt packages, which .ci/run installs: mmdebstrap docker-registry apache2-utils podman runc netavark iptables.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving import ROOT, free_port, until

__all__ = ["LocalRegistry", "Podman", "base_rootfs", "debian_python", "podman", "running_registry"]

CACHE = ROOT / ".cache"
UNWANTED = ("doc", "man", "locale", "info", "lintian", "bash-completion")
OPTIONS = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNWANTED]


def needed(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is missing: apt-get install --no-install-recommends {package} (.ci/run does it)")
    return path


@pytest.fixture(scope="session")
def base_rootfs() -> Path:
    """A tar file: Debian 12 with its Python 3.11, about 170 MB. Made once (25 s), then kept in .cache/."""
    path = CACHE / "bookworm-amd64.tar"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = CACHE / "unfinished.tar"
            program = needed("mmdebstrap", "mmdebstrap")
            command = [program, "--variant=minbase", "--include=python3,ca-certificates", *OPTIONS, "bookworm"]
            done = subprocess.run([*command, str(unfinished)], capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr[-3000:]
            unfinished.rename(path)
    return path


class LocalRegistry:
    """A docker-registry of our own on a free port, with its data in a folder."""

    def __init__(self, folder: Path, user: str = "", password: str = "", certificate: tuple[Path, Path] | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        lines = [
            "version: 0.1",
            "log: {level: warn, accesslog: {disabled: true}}",
            f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}",
        ]
        tls = f", tls: {{certificate: {certificate[0]}, key: {certificate[1]}}}" if certificate else ""
        lines.append(f"http: {{addr: '{self.address}'{tls}}}")
        if user:
            program = needed("htpasswd", "apache2-utils")
            line = subprocess.run([program, "-Bbn", user, password], capture_output=True, text=True, check=True).stdout
            (folder / "htpasswd").write_text(line)
            lines.append(f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}")
        (folder / "registry.yml").write_text("\n".join(lines))
        self.scheme = "https" if certificate else "http"
        with (folder / "log.txt").open("wb") as log:
            command = [needed("docker-registry", "docker-registry"), "serve", str(folder / "registry.yml")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.client = httpx.Client(base_url=f"{self.scheme}://{self.address}", trust_env=False, verify=False)

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log.txt").read_text()
        try:
            return self.client.get("/v2/").status_code in (200, 401)
        except httpx.TransportError:
            return False

    def end(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running_registry(
    folder: Path, user: str = "", password: str = "", certificate: tuple[Path, Path] | None = None
) -> Iterator[LocalRegistry]:
    """Until the block ends; asks for a login if a user is given, speaks HTTPS if a certificate is."""
    registry = LocalRegistry(folder, user, password, certificate)
    try:
        until(registry.answers)
        yield registry
    finally:
        registry.end()


class Podman:
    """podman with runc and with files of its own: it shares nothing with the podman of this machine."""

    def __init__(self, folder: Path, *insecure: str) -> None:
        self.program = needed("podman", "podman runc netavark iptables")
        needed("runc", "runc")
        self.folder = folder
        files = {
            "containers.conf": (
                '[containers]\ndefault_ulimits = []\nlog_driver = "k8s-file"\n'
                '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            ),
            "storage.conf": (
                f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
            ),
            "registries.conf": "".join(
                f'[[registry]]\nlocation = "{address}"\ninsecure = true\n' for address in insecure
            ),
            "policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}',
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        self.environ: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
            "TMPDIR": str(folder),
        }

    def try_run(self, *arguments: str, seconds: float = 100) -> subprocess.CompletedProcess[str]:
        command = [self.program, *arguments]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=seconds)

    def run(self, *arguments: str, seconds: float = 100) -> str:
        """What it writes to stdout; fails where it fails."""
        done = self.try_run(*arguments, seconds=seconds)
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def wait_ready(self, container: str, url: str) -> None:
        """Until what it serves is ready; fails with its state and log."""

        def ready() -> bool:
            try:
                return httpx.get(f"{url}/readyz", timeout=20, trust_env=False).status_code == 200
            except httpx.TransportError:
                assert self.run("inspect", container, "--format", "{{.State.Running}}").strip() == "true"
                return False

        try:
            until(ready, 60, 0.1)  # a busy machine takes its time
        except AssertionError as error:
            state = self.try_run("inspect", container, "--format", "{{json .State}}").stdout
            log = self.try_run("logs", container)
            raise AssertionError(f"not ready: {state}\n{log.stdout}\n{log.stderr}") from error

    def end(self) -> None:
        """Containers, images and mounts of ours."""
        self.try_run("pod", "rm", "--all", "--force", "--time", "0")
        self.try_run("rm", "--all", "--force", "--time", "0")
        self.try_run("rmi", "--all", "--force")
        for line in Path("/proc/mounts").read_text().splitlines()[::-1]:
            place = line.split()[1]
            if place.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    one = Podman(tmp_path_factory.mktemp("podman"))
    try:
        yield one
    finally:
        one.end()


@pytest.fixture(scope="session")
def debian_python(podman: Podman, base_rootfs: Path) -> str:
    """The root file system as an image in podman."""
    podman.run("import", str(base_rootfs), "localhost/debian-python:1")
    return "localhost/debian-python:1"
