"""How an image wants to be run: user, command, port, health, labels; its OCI configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from scoring_runtime import __version__
from scoring_runtime.deploy.environments.packaging import APP_ROOT, BuildContext
from scoring_runtime.deploy.images.layers import Layer
from scoring_runtime.deploy.images.oci import Document
from scoring_runtime.deploy.images.recipes import PREFIX

if TYPE_CHECKING:
    from scoring_runtime.deploy.images.base_image import Base

__all__ = ["HEALTH", "USER", "container_config"]

USER = "1000:1000"  # by number, so that Kubernetes can see that it is not root
SECOND_NS = 1_000_000_000
# By the variables that the container has when it runs: port and certificate may be chosen only then.
HEALTH = (
    "import http.client as h, os, ssl, sys; e = os.environ; a = ('127.0.0.1', int(e.get('SCORING_PORT') or 5001)); "
    "c = h.HTTPSConnection(*a, timeout=4, context=ssl._create_unverified_context()) if e.get('SCORING_TLS_CERT') "
    "else h.HTTPConnection(*a, timeout=4); c.request('GET', '/'); sys.exit(c.getresponse().status != 200)"
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def container_config(
    base: Base, context: BuildContext, layers: Sequence[tuple[str, Layer]], title: str, installed: bool, seconds: int
) -> Document:
    """`layers`: ours, each with what it is. `installed`: whether there is a virtual environment of ours."""
    created = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    inherited = base.config.get("config") or {}
    python = f"{PREFIX}/bin/python" if installed else base.interpreter.path
    port = context.environ.get("SCORING_PORT") or "5001"
    process: Document = {
        **{key: value for key, value in inherited.items() if key in ("Volumes", "ArgsEscaped")},
        "Env": environ(inherited.get("Env") or (), context.environ, installed),
        "Entrypoint": [python, "-m", "scoring_runtime"],
        "Cmd": [],
        "User": USER,
        "WorkingDir": APP_ROOT,
        "ExposedPorts": {f"{port}/tcp": {}},
        "StopSignal": "SIGTERM",
        "Labels": {**(inherited.get("Labels") or {}), **labels(base, context, title, created)},
        "Healthcheck": {
            "Test": ["CMD", python, "-c", HEALTH],
            "Interval": 30 * SECOND_NS,
            "Timeout": 5 * SECOND_NS,
            "StartPeriod": 60 * SECOND_NS,
            "Retries": 3,
        },
    }
    before = base.config.get("history") or [{"created_by": "base"} for _ in base.layers]
    return {
        **base.platform.document(),
        "created": created,
        "config": process,
        "rootfs": {
            "type": "layers",
            "diff_ids": [layer.diff_id for layer in (*base.layers, *(one for _, one in layers))],
        },
        "history": [*before, *({"created": created, "created_by": f"scoring-runtime: {name}"} for name, _ in layers)],
    }


def environ(inherited: Sequence[str], ours: Mapping[str, str], installed: bool) -> list[str]:
    """The base's variables, then those of the server; the commands of ours are found first."""
    values = dict(line.partition("=")[::2] for line in inherited)
    values.setdefault("PATH", PATH)
    if installed:
        values["PATH"] = f"{PREFIX}/bin:{values['PATH']}"
    # a user that /etc/passwd does not know has no home, and some packages ask for both when they are imported
    values |= {"HOME": "/tmp", "USER": "scoring", "PYTHONDONTWRITEBYTECODE": "1"}
    return [f"{name}={value}" for name, value in {**values, **ours}.items()]


def labels(base: Base, context: BuildContext, title: str, created: str) -> dict[str, str]:
    """Neither version nor time of the build: equal images are equal."""
    prefix = "org.opencontainers.image"
    given = {
        f"{prefix}.title": title,
        f"{prefix}.description": context.description,
        f"{prefix}.created": created,
        f"{prefix}.base.name": base.name,
        f"{prefix}.base.digest": base.digest,
        "scoring-runtime.version": __version__,
        "scoring-runtime.models": ",".join(model.id for model in context.models),
    }
    return {name: value for name, value in given.items() if value}
