"""A Dockerfile as text, for what layers of our own cannot give: conda packages, more steps, a Dockerfile as the base.

packages       a virtual environment, from wheels beside the Dockerfile; or conda's, by micromamba
the image      the base, the packages, more steps, the models one by one, the code; not root, one process
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from scoring_runtime import __version__
from scoring_runtime.deploy.environments.packaging import APP_ROOT, BuildContext
from scoring_runtime.deploy.images.container_config import HEALTH, USER
from scoring_runtime.deploy.images.recipes import PREFIX
from scoring_runtime.errors import PackagingError

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.packaging import PackagedModel

__all__ = ["base_of", "dockerfile", "python_of"]

MICROMAMBA = "docker.io/mambaorg/micromamba:2-debian12-slim"
MODEL_STEPS = 64  # a layer each; overlay file systems take about 127 in all
QUIETLY = ("--no-compile", "--no-cache-dir", "--disable-pip-version-check", "--root-user-action", "ignore")
VENV = (
    "import sys, venv; v = '%d.%d' % sys.version_info[:2]; v == '{python}' or "
    "sys.exit('This base has Python ' + v + ', wheels are for {python}: name python=' + v + ' in the environment'); "
    "venv.create('{prefix}', system_site_packages=True, symlinks=True)"
)


def python_of(context: BuildContext) -> str:
    return context.requirements.likely_python


def base_of(context: BuildContext) -> str:
    """The image to build on: the user's, else one for the variant. Empty where a Dockerfile makes it."""
    if context.base_dockerfile:
        return ""
    if context.base_image:
        return context.base_image
    if context.variant == "cpu":
        system = "debian:12-slim" if context.requirements.conda else f"python:{python_of(context)}-slim-bookworm"
        return f"docker.io/library/{system}"
    return f"localhost/scoring-runtime-{context.variant}:{__version__}"


def dockerfile(context: BuildContext, pip: str = "", title: str = "") -> str:
    """`pip`: the file name of pip's own wheel; empty where no packages are to be installed."""
    start, base = base_stage(context)
    packages = conda_stage(context, pip) if context.requirements.conda else pip_stage(base, python_of(context), pip)
    installed = bool(pip or context.requirements.conda)
    blocks = [
        start,
        packages if installed else "",
        final_stage(context, base, installed, title or "scoring service"),
    ]
    return "\n".join(block for block in blocks if block)


def base_stage(context: BuildContext) -> tuple[str, str]:
    """The first lines, and what the other stages are FROM."""
    if not context.base_dockerfile:
        return f"ARG BASE={base_of(context)}\n", "${BASE}"
    lines = context.base_dockerfile.rstrip().splitlines()
    stages = [at for at, line in enumerate(lines) if re.match(r"FROM\s", line.strip(), re.IGNORECASE)]
    if not stages:
        raise PackagingError("docker.baseDockerfile has no FROM line. Begin it with: FROM image")
    last = lines[stages[-1]]
    named = re.search(r"\sAS\s+(\S+)\s*$", last, re.IGNORECASE)
    if named:
        return "\n".join([*lines, ""]), named[1]
    lines[stages[-1]] = f"{last.rstrip()} AS scoring-base"
    return "\n".join([*lines, ""]), "scoring-base"


def pip_stage(base: str, python: str, pip: str) -> str:
    """Wheels are in this stage only, and pip is in none of the image's layers."""
    install = [
        f"{PREFIX}/bin/python", f"/wheels/{pip}/pip", "install", "--no-index", "--find-links", "/wheels", "--no-deps",
        "--require-hashes", *QUIETLY, "-r", "/wheels/requirements.txt",
    ]  # fmt: skip
    return f"""FROM {base} AS scoring-packages
USER 0
COPY ["wheels/", "requirements.txt", "/wheels/"]
RUN {execute("python3", "-c", VENV.format(python=python, prefix=PREFIX))}
RUN {execute(*install)}
"""


def conda_stage(context: BuildContext, pip: str) -> str:
    """What conda has by micromamba, then the rest by pip, which takes no other wheels than those beside."""
    create = ["micromamba", "create", "--yes", "--prefix", PREFIX, "--file", "/tmp/conda.yml"]
    install = [
        f"{PREFIX}/bin/python", f"/wheels/{pip}/pip", "install", "--no-index", "--find-links", "/wheels",
        *QUIETLY, "-r", "/wheels/requirements.in",
    ]  # fmt: skip
    return f"""ARG MICROMAMBA={MICROMAMBA}
FROM ${{MICROMAMBA}} AS scoring-packages
USER 0
COPY ["conda.yml", "/tmp/conda.yml"]
RUN {execute(*create)}
COPY ["wheels/", "requirements.in", "/wheels/"]
RUN {execute(*install)}
"""


def final_stage(context: BuildContext, base: str, installed: bool, title: str) -> str:
    port = context.environ.get("SCORING_PORT", "5001")
    python = f"{PREFIX}/bin/python" if installed else "python3"
    environ = {"HOME": "/tmp", "USER": "scoring", "PYTHONDONTWRITEBYTECODE": "1", **context.environ}
    lines = [
        f"FROM {base}",
        "USER 0",
        *([f"COPY --from=scoring-packages {PREFIX} {PREFIX}"] if installed else []),
        *context.dockerfile_steps.rstrip().splitlines(),
        *([f'ENV PATH="{PREFIX}/bin:$PATH"'] if installed else []),
        assignments("ENV", environ),
        assignments("LABEL", labels(context, title)),
        f"WORKDIR {APP_ROOT}",
        f"USER {USER}",
        f"EXPOSE {port}",
        "STOPSIGNAL SIGTERM",
        "HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD " + execute(python, "-c", HEALTH),
        f"ENTRYPOINT {execute(python, '-m', 'scoring_runtime')}",
        "CMD []",
        # what changes most comes last, so that building again repeats no more than it must
        *([copy("lock.json", f"{PREFIX}/share/lock.json")] if installed else []),
        *model_steps(context.models),
        *code_steps(context),
    ]
    return "\n".join([*lines, ""])


def assignments(instruction: str, values: Mapping[str, str]) -> str:
    """All in one step."""
    return f"{instruction} " + " \\\n    ".join(f"{name}={quoted(name, value)}" for name, value in values.items())


def model_steps(models: tuple[PackagedModel, ...]) -> Iterable[str]:
    """A layer each, so that images share them; of very many one for all."""
    if len(models) > MODEL_STEPS:
        return [copy("azureml-app/azureml-models/", f"{APP_ROOT}/azureml-models/")]
    return [copy(f"azureml-app/{model.folder}/", f"{APP_ROOT}/{model.folder}/") for model in models]


def code_steps(context: BuildContext) -> list[str]:
    steps = [copy(f"azureml-app/{name}", f"{APP_ROOT}/{name}") for name in context.documents()]
    tops = sorted({file.path.partition("/")[0] + ("/" if "/" in file.path else "") for file in context.code})
    for name in tops:
        if not re.fullmatch(r"[\w. +-]+/?", name):
            raise PackagingError(f"{name}: a Dockerfile reads a meaning into such a name. Rename the source directory.")
    return [*steps, *(copy(f"azureml-app/{name}", f"{APP_ROOT}/{name}") for name in tops)]


def labels(context: BuildContext, title: str) -> Mapping[str, str]:
    prefix = "org.opencontainers.image"
    given = {
        f"{prefix}.title": title,
        f"{prefix}.description": context.description,
        f"{prefix}.base.name": base_of(context),
        "scoring-runtime.version": __version__,
        "scoring-runtime.models": ",".join(model.id for model in context.models),
    }
    return {name: value for name, value in given.items() if value}


def copy(source: str, target: str) -> str:
    return f"COPY {json.dumps([source, target], ensure_ascii=False)}"


def execute(*words: str) -> str:
    """The exec form: no shell."""
    return json.dumps(words, ensure_ascii=False)


def quoted(name: str, value: str) -> str:
    if "\n" in value or "\r" in value:
        raise PackagingError(
            f"{name}: a Dockerfile cannot hold a value of several lines. Set it when the service starts, or in a file."
        )
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'
