"""docker, podman or buildah builds a folder with a Dockerfile; what it says is kept, and it may not take for ever."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Protocol

from scoring_runtime.errors import PackagingError

__all__ = ["ENGINES", "Shell", "Subprocess", "build", "build_command"]

ENGINES = ("docker", "podman", "buildah")
SECONDS = 3600


class Shell(Protocol):
    """The world of commands."""

    def run(self, command: Sequence[str], log: IO[bytes], seconds: float) -> int:
        """Its exit code; both outputs go to the log. Raises PackagingError if it cannot start, or takes too long."""
        ...


class Subprocess:
    """The real one."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = environ

    def run(self, command: Sequence[str], log: IO[bytes], seconds: float) -> int:
        if shutil.which(command[0], path=(self.environ or os.environ).get("PATH")) is None:
            raise PackagingError(f"{command[0]} is not on the PATH. Install it, or name another --engine.")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ, start_new_session=True
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise PackagingError(
                f"{command[0]} did not finish within {seconds:g} s and was ended. What it said is in its log."
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def build_command(engine: str, folder: str, tag: str, id_file: str, build_args: Mapping[str, str]) -> list[str]:
    """The whole command line. buildah and podman write OCI images by default, which have no health check."""
    if engine not in ENGINES:
        raise PackagingError(f"--engine: expected one of {', '.join(ENGINES)}, got {engine!r}. Choose one of them.")
    args = [f"--build-arg={name}={value}" for name, value in sorted(build_args.items())]
    form = [] if engine == "docker" else ["--format=docker"]
    return [engine, "build", *form, f"--tag={tag}", f"--iidfile={id_file}", *args, folder]


def build(
    engine: str,
    folder: str,
    tag: str,
    log_path: str,
    shell: Shell | None = None,
    build_args: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> str:
    """The image's id in the engine. Raises PackagingError, with the last lines that the engine wrote."""
    with tempfile.TemporaryDirectory(prefix="scoring-build-") as scratch, open(log_path, "ab") as log:
        id_file = os.path.join(scratch, "id")
        command = build_command(engine, folder, tag, id_file, build_args or {})
        code = (shell or Subprocess()).run(command, log, seconds)
        log.flush()
        if code:
            raise PackagingError(
                f"{engine} build ended with exit code {code}. Its last lines:\n{last_lines(log_path)}\n"
                f"All of it is in {log_path}."
            )
        with open(id_file, encoding="utf-8") as file:
            return file.read().strip()


def last_lines(path: str, count: int = 15) -> str:
    with open(path, "rb") as file:
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-count:])
