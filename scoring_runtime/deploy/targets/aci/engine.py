"""A container engine behind Docker's API, dockerd or podman: the few calls that a service needs, and their errors."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scoring_runtime.deploy.images.credentials import Credentials, find_credentials
from scoring_runtime.deploy.images.references import Reference
from scoring_runtime.errors import TargetError

__all__ = ["Engine", "memory_events"]

SOCKETS = ("/var/run/docker.sock", "/run/podman/podman.sock", "$XDG_RUNTIME_DIR/podman/podman.sock")
SECONDS = 120
Document = dict[str, Any]


class Engine:
    """Raises TargetError for whatever the engine refuses."""

    def __init__(self, address: str = "") -> None:
        try:
            import docker
            import docker.errors
        except ImportError:
            raise TargetError("To talk to a container engine: pip install 'scoring-runtime[containers]'") from None
        self.errors: Any = docker.errors
        self.address = address or os.environ.get("DOCKER_HOST") or usual_socket()
        self.knock()
        with self.refusals("reach the engine"):
            self.api: Any = docker.APIClient(base_url=self.address, timeout=SECONDS, version="auto")

    @contextmanager
    def refusals(self, what: str) -> Iterator[None]:
        """The engine's words, with what was wanted of it."""
        import requests

        try:
            yield
        except self.errors.APIError as error:
            raise TargetError(f"The engine at {self.address} could not {what}: {error.explanation or error}") from None
        except (self.errors.DockerException, requests.RequestException) as error:
            raise self.silent(error) from None

    def knock(self) -> None:
        """A socket file with nothing behind it is the usual reason."""
        if not self.address.startswith("unix://"):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.address.removeprefix("unix://"))
            except OSError as error:
                raise self.silent(error) from None

    def silent(self, error: Exception) -> TargetError:
        return TargetError(
            f"No container engine answers at {self.address} ({error}). Start one (dockerd, or: podman system "
            "service --time=0 unix:///run/podman/podman.sock), or name it with DOCKER_HOST."
        )

    def close(self) -> None:
        self.api.close()

    def containers(self, label: str) -> list[Document]:
        """What inspect says of each that has the label, running or not; the newest first."""
        with self.refusals("list containers"):
            found = self.api.containers(all=True, filters={"label": label})
            return [self.api.inspect_container(one["Id"]) for one in found]

    def image_id(self, reference: str) -> str:
        """Empty where the engine has no such image."""
        with self.refusals(f"look at {reference}"):
            try:
                return str(self.api.inspect_image(reference)["Id"])
            except self.errors.ImageNotFound:
                return ""

    def pull(self, reference: str, logins: Mapping[str, tuple[str, str]]) -> None:
        """As who the service says, else as who docker or podman is there. A failure may hide in the stream."""
        registry = Reference.parse(reference).registry
        who = Credentials(*logins[registry]) if registry in logins else find_credentials(registry)
        auth = {"username": who.user, "password": who.password, "identitytoken": who.identity_token} if who else None
        with self.refusals(f"pull {reference}"):
            for line in self.api.pull(reference, stream=True, decode=True, auth_config=auth):
                if "error" in line:
                    raise TargetError(f"The engine at {self.address} could not pull {reference}: {line['error']}")

    def load(self, archive: Iterator[bytes]) -> None:
        """An image as an archive, from a workspace."""
        with self.refusals("load the image"):
            for line in self.api.load_image(archive):
                if "error" in line:
                    raise TargetError(f"The engine at {self.address} could not load the image: {line['error']}")

    def forget(self, reference: str) -> None:
        """An image, unless a container uses it."""
        with self.refusals(f"remove the image {reference}"):
            try:
                self.api.remove_image(reference)
            except self.errors.APIError:
                pass  # it is used, or gone

    def create(self, name: str, config: Document, files: Mapping[str, Mapping[str, str]]) -> str:
        """A container that is not started yet, with these files (folder -> name -> text) in it; its id."""
        with self.refusals(f"create {name}"):
            made = str(self.api.create_container_from_config(config, name)["Id"])
            self.put_files(made, files)
        return made

    def put_files(self, container: str, files: Mapping[str, Mapping[str, str]]) -> None:
        """Into the container's own file system: nothing of them lies on the host outside of it."""
        if not any(files.values()):
            return
        with self.refusals("put files into a container"):
            self.api.put_archive(container, "/", archive_of(files))

    def start(self, container: str) -> None:
        with self.refusals("start the container"):
            self.api.start(container)

    def stop(self, container: str, seconds: int) -> None:
        with self.refusals("stop the container"):
            self.api.stop(container, timeout=seconds)

    def remove(self, container: str) -> None:
        """Also one that is gone already."""
        with self.refusals("remove the container"):
            try:
                self.api.kill(container)  # or podman would wait for it first
            except self.errors.APIError:
                pass  # it does not run
            try:
                self.api.remove_container(container, force=True, v=True)
            except self.errors.NotFound:
                pass

    def rename(self, container: str, name: str) -> None:
        with self.refusals(f"rename a container to {name}"):
            self.api.rename(container, name)

    def inspect(self, container: str) -> Document:
        with self.refusals("look at the container"):
            return dict(self.api.inspect_container(container))

    def logs(self, container: str, lines: int) -> str:
        with self.refusals("read logs"):
            return bytes(self.api.logs(container, tail=lines)).decode(errors="replace")


def archive_of(files: Mapping[str, Mapping[str, str]]) -> bytes:
    """A tar that any user in the container can read, and no one change."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder, texts in files.items():
            for name, text in sorted(texts.items()):
                entry = tarfile.TarInfo(f"{folder.lstrip('/')}/{name}")
                entry.size, entry.mode = len(text.encode()), 0o444
                entry.mtime = int(time.time())
                archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def usual_socket() -> str:
    paths = [os.path.expandvars(path) for path in SOCKETS]
    return "unix://" + next((path for path in paths if os.path.exists(path)), paths[0])


def memory_events(pid: int) -> str:
    """What the kernel says of the container's memory, as the process sees it; empty for an engine elsewhere."""
    for path in ("memory.events", "memory/memory.oom_control"):  # cgroup v2, v1
        try:
            with open(f"/proc/{pid}/root/sys/fs/cgroup/{path}") as file:
                return file.read()
        except OSError:
            continue
    return ""
