"""This machine as a host: an app root in the service's folder, and a supervisor that runs the server from it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

from scoring_runtime.deploy.environments.app_root import materialise
from scoring_runtime.deploy.environments.inference_config import InferenceConfig
from scoring_runtime.deploy.environments.lock import lock
from scoring_runtime.deploy.environments.packaging import APP_ROOT, BuildContext, build_context
from scoring_runtime.deploy.environments.venvs import here, venv
from scoring_runtime.deploy.images.unpacked_image import PACKAGES, image_environ, unpack_image
from scoring_runtime.deploy.services.service import Service
from scoring_runtime.deploy.services.service_folder import ServiceFolder
from scoring_runtime.deploy.targets.base import FAILED, HEALTHY, TRANSITIONING, UNHEALTHY, Plan, Progress, Status
from scoring_runtime.deploy.workspaces.workspace import Workspace
from scoring_runtime.errors import PackagingError, TargetError
from scoring_runtime.settings import ROWS, Settings
from scoring_runtime.supervisor.files import is_held, read_state, read_wanted, write_wanted
from scoring_runtime.supervisor.identity import is_same
from scoring_runtime.supervisor.log_files import last_lines

__all__ = ["LocalHost"]

OURS = (
    "AML",
    "AZUREML",
    "SCORING",
    "WORKER",
    "SERVICE_",
    "LISTEN_",
)  # of the deployer's own environment: not handed on
SECRET = {row.env for row in ROWS if row.secret}
MOVED = ("AML_APP_ROOT", "AZUREML_MODEL_DIR")
SITE = "site-packages"
STOP_SECONDS = 45.0
DOWN = (
    "Nothing runs it: its supervisor was killed, or the machine was started anew. Start it: scoring service reload {}"
)


class LocalHost:
    """The Target of one service on this machine."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.folder = ServiceFolder(workspace, name)
        self.run = self.folder.path("run")

    # deciding

    def plan(self, service: Service) -> Plan:
        port = service.deployment.port or self.known_port() or "a free port"
        start = f"start the server on 127.0.0.1:{port}, wait until it is ready, then end the one before it"
        app = self.app(service)
        if os.path.isdir(app):  # of a revision that has been here before
            return Plan((f"use the files in {app}", start), {"server.json": self.preview(service, "")})
        if service.image:
            return Plan(
                (f"unpack the layers of {service.image} that are ours into {app}", start),
                {"server.json": self.preview(service, "")},
            )
        context = self.context(service)
        files = [file.path for file in (*context.code, *(file for model in context.models for file in model.files))]
        own = needs_own(context)
        python = f"an environment of its own: {', '.join(context.requirements.pip)}" if own else sys.executable
        return Plan(
            (f"write {len(files)} files to {app}", f"use {python}", start),
            {
                "app-root.txt": "".join(f"{path}\n" for path in sorted([*files, *context.documents()])),
                "server.json": self.preview(service, "<python of that environment>" if own else ""),
            },
        )

    def preview(self, service: Service, python: str) -> str:
        spec = self.spec(service, python or sys.executable)
        shown = {name: "***" if name in SECRET else value for name, value in spec["environ"].items()}
        return json.dumps({**spec, "environ": shown}, indent=1)

    def context(self, service: Service) -> BuildContext:
        config = InferenceConfig.from_document(service.inference, f"the inference configuration of {service.name}")
        return build_context(self.workspace, service.models, config, service.environ)

    def app(self, service: Service) -> str:
        return self.folder.path("app", str(service.app))

    def known_port(self) -> int:
        """The one that it has had; an update does not change it."""
        return int(read_state(self.run).get("port") or 0)

    def spec(self, service: Service, python: str) -> dict[str, Any]:
        """What the supervisor runs."""
        app = self.app(service)
        inside = image_environ(self.workspace, service.image) if service.image else {}
        environ = {**inside, **service.environ, "SERVICE_NAME": service.name, "SCORING_HOST": "127.0.0.1"}
        for name in MOVED:
            if environ.get(name, "").startswith(APP_ROOT):
                environ[name] = app + environ[name][len(APP_ROOT) :]
        if service.auth != "none":
            environ |= {"SCORING_AUTH": service.auth, "SCORING_KEYS_DIR": self.folder.path("keys")}
        if service.image:
            environ["PYTHONPATH"] = os.path.join(app, PACKAGES, "lib", "python{}.{}".format(*sys.version_info), SITE)
        settings = Settings.load(environ, cwd=app)
        return {
            "revision": service.revision,
            "argv": [python, "-m", "scoring_runtime"],
            "cwd": app,
            "environ": environ,
            "port": service.deployment.port or self.known_port(),
            "memory_bytes": int((service.deployment.memory_gb or 0) * 1024**3),
            "cpus": service.deployment.cpu_cores or 0,
            "ready_seconds": settings.worker_timeout or 86400,
            "drain_seconds": settings.graceful_timeout,
        }

    # doing

    def apply(self, service: Service, progress: Progress) -> None:
        """Write its files once, and have the supervisor run them. What runs already is left alone."""
        python = self.prepare(service, progress)
        wanted = read_wanted(self.run)
        spec = self.spec(service, python)
        if self.is_up() and {**wanted, "generation": "", "port": 0} == {**spec, "generation": "", "port": 0}:
            return
        current = read_state(self.run).get("current") or {}
        serves = is_held(self.run) and current.get("revision") == service.revision != wanted.get("revision")
        self.ask(spec, current["generation"] if serves else new_generation(service), progress)

    def prepare(self, service: Service, progress: Progress) -> str:
        """Files and environment; says with which python to run it."""
        app = self.app(service)
        if os.path.isdir(app):
            return self.python_of(service)
        unfinished = f"{app}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            python = (self.from_image if service.image else self.from_context)(service, unfinished, progress)
            with open(os.path.join(unfinished, ".python"), "w") as file:
                file.write(python if python != sys.executable else "")
            os.rename(unfinished, app)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return python

    def from_context(self, service: Service, folder: str, progress: Progress) -> str:
        context = self.context(service)
        for note in context.notes:
            progress(note)
        python = self.own_python(context, progress) if needs_own(context) else sys.executable
        progress(f"writing files to {self.app(service)}")
        materialise(context, folder)
        return python

    def from_image(self, service: Service, folder: str, progress: Progress) -> str:
        progress(f"unpacking {service.image}; what its base brings is not used without an engine")
        version = unpack_image(self.workspace, service.image, folder)
        if version not in ("", "{}.{}".format(*sys.version_info)):
            raise PackagingError(
                f"{service.image} has packages for Python {version}, and this is {sys.version.split()[0]}. Deploy it "
                f"with a Python {version}, or to a container engine (computeType aci)."
            )
        return sys.executable

    def python_of(self, service: Service) -> str:
        """The environment may have been removed with the cache: then it is made again."""
        with open(os.path.join(self.app(service), ".python")) as file:
            python = file.read()
        if python and not os.path.exists(python):
            return self.own_python(self.context(service), lambda text: None)
        return python or sys.executable

    def own_python(self, context: BuildContext, progress: Progress) -> str:
        version, platform = here()
        progress("resolving packages")
        locked = lock(self.workspace, context.requirements, version, platform)
        progress(f"installing {len(locked.packages)} packages, unless they are there")
        return venv(self.workspace, locked)

    def ask(self, spec: dict[str, Any], generation: str, progress: Progress) -> None:
        """Tell the supervisor, or start one. Raises TargetError."""
        write_wanted(self.run, {**spec, "generation": generation})
        for _ in range(2):
            if self.signal(signal.SIGHUP):
                progress("told the supervisor")
                return
            progress("starting a supervisor")
            environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
            started = subprocess.run(
                [sys.executable, "-m", "scoring_runtime.supervisor", self.run],
                cwd="/",
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if started.returncode == 0:
                return
            if started.returncode != 3:  # 3: there is one after all
                port = spec["port"]
                raise TargetError(
                    f"Cannot listen on 127.0.0.1:{port}: {started.stderr.strip()}. Choose another port, "
                    f"or end the process that holds it (ss -ltnp 'sport = :{port}')."
                )
            time.sleep(0.1)
        raise TargetError(f"{self.folder.name}: its supervisor does not answer. Try again.")

    def signal(self, number: int) -> bool:
        """Whether there was a supervisor to signal."""
        state = read_state(self.run)
        if not (is_held(self.run) and is_same(state)):
            return False
        os.kill(state["pid"], number)
        return True

    def is_up(self) -> bool:
        """A supervisor is there, and has not given up."""
        return is_held(self.run) and not read_state(self.run).get("failed")

    def delete(self, service: Service, progress: Progress) -> None:
        """The server answers what it has, and ends."""
        if not os.path.isdir(self.run) or not is_held(self.run):
            return
        progress("ending the server")
        write_wanted(self.run, {"generation": uuid.uuid4().hex, "stop": True})
        deadline = time.monotonic() + STOP_SECONDS
        while is_held(self.run):
            self.signal(signal.SIGTERM)
            if time.monotonic() > deadline:
                raise TargetError(f"{self.folder.name}: the server has not ended in {STOP_SECONDS:.0f} s. Try again.")
            time.sleep(0.05)

    # seeing

    def status(self, service: Service) -> Status:
        """From the lock, what the supervisor wrote, and the server's own health."""
        state = read_state(self.run)
        uri = f"http://localhost:{state['port']}/score" if state.get("port") else None
        if not is_held(self.run):
            return Status(FAILED, DOWN.format(service.name), uri)
        failed = state.get("failed") or {}
        if failed.get("generation", "").partition(".")[0] == str(service.revision):
            return Status(FAILED, failed["reason"], uri)
        current = state.get("current")
        if current and current["revision"] == service.revision:
            reason = not_ready(current["health_port"])
            return Status(UNHEALTHY, reason, uri) if reason else Status(HEALTHY, None, uri, 1)
        if current is None and state.get("good") == service.revision:
            return Status(UNHEALTHY, f"It ended, and is started again. See: scoring service logs {service.name}", uri)
        return Status(TRANSITIONING, None, uri)

    def logs(self, service: Service, lines: int, init: bool = False) -> str:
        return last_lines(self.folder.path("logs", "server.log"), lines)

    def limits(self) -> str:
        """What holds for the server that runs, in words."""
        return str((read_state(self.run).get("current") or {}).get("limits", ""))


def needs_own(context: BuildContext) -> bool:
    """Whether it asks for more than the server itself."""
    return any(line != "scoring-runtime" for line in context.requirements.pip)


def new_generation(service: Service) -> str:
    return f"{service.revision}.{uuid.uuid4().hex[:8]}"


def not_ready(port: int) -> str:
    """Why the server takes no requests; empty when it does."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{port}/readyz", timeout=5
        ):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return str(json.loads(error.read()).get("message", error.reason))
    except OSError as error:
        return f"The server does not answer: {error}."
