"""From an environment to what pip installs: conda names to PyPI's, Azure's packages to this one, the rest to conda."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoring_runtime.deploy.environments.conda import CondaDependencies, package_name
from scoring_runtime.deploy.environments.pip_lines import check_line, masked
from scoring_runtime.deploy.environments.python_versions import (
    DEFAULT_PYTHON,
    KNOWN,
    OLDEST_PYTHON,
    taken_by,
    version_of,
)

if TYPE_CHECKING:
    from scoring_runtime.deploy.environments.environment import Environment

__all__ = ["Requirements", "map_conda", "map_pip", "requirements_of"]

# Conda's name -> PyPI's, where they differ; empty where pip needs nothing of the kind.
PYPI_NAMES = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "opencv": "opencv-python-headless",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "matplotlib-base": "matplotlib",
    "tensorflow-base": "tensorflow",
    "tensorflow-mkl": "tensorflow",
    "keras-base": "keras",
    "msgpack-python": "msgpack",
    "dask-core": "dask",
    "pytables": "tables",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "pyarrow-core": "pyarrow",
    "onnxruntime-cpu": "onnxruntime",
    "sentence-transformers-cpu": "sentence-transformers",
    "python-xxhash": "xxhash",
    "brotlipy": "brotli",
    "pip": "",
    "setuptools": "",
    "wheel": "",
    "nomkl": "",
}

# What is no Python package, or not the same one, on PyPI.
NEEDS_CONDA = re.compile(
    r"(r|r-.*|_.*|lib.*|cuda.*|cudnn|nccl|mkl|mkl-.*|intel-openmp|blas|openblas|tensorflow-gpu|pytorch-(gpu|cuda|mutex)"
    r"|openmpi|mpich|gcc.*|gxx.*|gfortran.*|clang.*|compilers|c-compiler|cxx-compiler|cmake|make|binutils.*|sysroot.*"
    r"|openjdk|nodejs|ffmpeg|gdal|proj|geos|hdf5|netcdf4?|openssl|ca-certificates|sqlite|tk|zlib|unixodbc|graphviz"
    r"|perl.*|ruby.*|go|rust|julia|git|curl|wget|bzip2|xz|readline|ncurses|faiss-gpu|xgboost-gpu|pandoc|tesseract"
    r"|poppler|eigen|boost.*|protobuf-c|swig|fftw|gsl|glib|gstreamer|qt.*|pyqt|vtk)"
)
PYPI_CHANNELS = ("conda-forge", "defaults", "anaconda", "pkgs/main")

# Azure's packages that this server stands for, and what a script loses with them (empty: nothing).
OURS = {
    "scoring-runtime": "",
    "azureml-defaults": "",
    "azureml-inference-server-http": "",
    "azureml-contrib-services": "",
    "azureml-model-management-sdk": "",
    "azureml-monitoring": "",
    "azureml-ai-monitoring": "",
    "azureml-core": "Workspace, Run, Dataset and the other cloud classes are not there; Model.get_model_path() is",
    "azureml-sdk": "its training and pipeline classes are not there; Model.get_model_path() is",
}
NEEDS_PANDAS = ("azureml-ai-monitoring", "azureml-monitoring")


@dataclass(frozen=True)
class Requirements:
    """What is to be installed beside the base."""

    pip: tuple[str, ...]  # requirement lines, sorted; this project's own name among them
    pip_options: tuple[str, ...] = ()  # such as --index-url
    python: str = ""  # "3.11"; empty: what the base has
    pythons: tuple[str, ...] = ()  # those that the base may have, where a range is named
    conda: tuple[str, ...] = ()  # packages that only conda has
    conda_file: str = ""  # if there are any: all that is conda's; `pip` is then the pip section alone
    notes: tuple[str, ...] = ()

    @property
    def likely_python(self) -> str:
        """To choose a base by."""
        usual = not self.pythons or DEFAULT_PYTHON in self.pythons
        return self.python or (DEFAULT_PYTHON if usual else self.pythons[0])


def requirements_of(environment: Environment) -> Requirements:
    """All sources of the environment as one list."""
    dependencies = environment.python.resolved_dependencies()
    if environment.python.user_managed_dependencies:
        return user_managed(environment)
    python, pythons, python_notes = python_of(dependencies)
    mapped, conda, conda_notes = map_conda(dependencies.conda_packages)
    pip, options, pip_notes = map_pip(dependencies.pip_packages)
    channels = [masked(one) for one in dependencies.channels if one not in PYPI_CHANNELS]
    if mapped and channels and not conda:
        conda_notes.append(f"Not asked, for PyPI has these packages: the channels {', '.join(channels)}.")
    taken = {package_name(one) for one in pip}
    together = tuple(sorted({*pip, *(one for one in mapped if package_name(one) not in taken)}))
    notes = (*dependencies.notes, *python_notes, *conda_notes, *pip_notes)
    if not conda:
        return Requirements(together, options, python, pythons, notes=notes)
    aloud = f"Only conda has {', '.join(conda)}: the image is built by a Dockerfile with micromamba."
    pinned = "What conda installs is pinned as far as the environment says, not by hash."
    file = conda_file(dependencies, Requirements((), (), python, pythons).likely_python)
    return Requirements(tuple(pip), options, python, pythons, conda, file, (*notes, aloud, pinned))


def user_managed(environment: Environment) -> Requirements:
    """The image has everything; the server too, unless it is asked for."""
    if environment.inferencing_stack_version:
        return Requirements(("scoring-runtime",))
    return Requirements(
        (),
        notes=(
            "userManagedDependencies is true: nothing is installed, the base image has to hold the script's packages "
            'and scoring-runtime. Set inferencingStackVersion to "latest" to have the server added.',
        ),
    )


def python_of(dependencies: CondaDependencies) -> tuple[str, tuple[str, ...], list[str]]:
    """Major and minor version, if one is named that this server runs on; of a range those that it takes."""
    written = dependencies.python_version or ""
    version = version_of(written)
    if version is not None and version >= OLDEST_PYTHON:
        return f"{version[0]}.{version[1]}", (), []
    pythons = taken_by(written)
    if not written or (version is None and pythons):
        return "", pythons if written else (), []
    if version is None:
        why = f"python{written} takes no version that this server knows ({KNOWN[0]} to {KNOWN[-1]})"
    else:
        why = f"python={written} is too old for this server ({KNOWN[0]} or newer)"
    return "", (), [f"{why}: the base's Python is used."]


# conda


def map_conda(packages: Iterable[str]) -> tuple[list[str], tuple[str, ...], list[str]]:
    """Requirements for pip, packages that need conda, and what to say."""
    pip, conda, renamed = [], [], []
    for written in packages:
        name = package_name(written)
        channel = written.partition("::")[0] if "::" in written else "conda-forge"
        if name == "python":
            continue
        requirement = as_requirement(written)
        if requirement is None or NEEDS_CONDA.fullmatch(name) or channel not in PYPI_CHANNELS:
            conda.append(written)
        elif requirement:
            pip.append(requirement)
            if PYPI_NAMES.get(name, name) != name:
                renamed.append(f"{name} ({PYPI_NAMES[name]})")
    notes = [f"Taken from PyPI under its name there: {', '.join(renamed)}."] if renamed else []
    return pip, tuple(sorted(conda)), notes


def as_requirement(written: str) -> str | None:
    """ "numpy=1.26" as "numpy==1.26.*"; empty where pip needs none; None for what only conda can say."""
    text = written.rpartition("::")[2].strip()
    if "[" in text or "|" in text:
        return None
    name = package_name(text)
    name = PYPI_NAMES.get(name, name)
    match = re.match(r"[A-Za-z0-9._-]+\s*(.*)", text)
    version = match[1].strip() if match else ""
    if not name or not version:
        return name
    return name + version_clause(version)


def version_clause(version: str) -> str:
    """Conda's "=1.26" means any 1.26; a build string, behind a space or a second "=", means nothing to pip."""
    tight = re.sub(r"\s*([,=<>!~])\s*", r"\1", version)
    return ",".join(filter(None, map(clause, tight.partition(" ")[0].split(","))))


def clause(text: str) -> str:
    found = re.match(r"(===|==|>=|<=|!=|~=|=|<|>|)([^=]*)", text)
    operator, version = found.groups() if found else ("", "")
    if version in ("", "*"):
        return ""
    if operator in ("", "="):
        version = version.removesuffix("*").rstrip(".")
        return f"=={version}.*" if re.fullmatch(r"(\d+!)?[\d.]+", version) else f"=={version}"
    return operator + (version if operator in ("==", "!=") else version.removesuffix(".*"))


def conda_file(dependencies: CondaDependencies, python: str) -> str:
    """What conda is to install: all that was written for it; the pip section is installed after that."""
    packages = [one for one in dependencies.conda_packages if package_name(one) not in ("python", "pip")]
    result = CondaDependencies(
        _underlying_structure={
            "name": dependencies.name,
            "channels": dependencies.channels or ["conda-forge"],
            "dependencies": [f"python={python}", *packages],
        }
    )
    return result.serialize_to_string()


# pip


def map_pip(lines: Iterable[str]) -> tuple[list[str], tuple[str, ...], list[str]]:
    """Requirements with Azure's packages replaced by ours, options, and what to say. Raises BadEnvironment."""
    kept, options, notes, replaced = [], [], [], []
    extras: set[str] = set()
    for line in lines:
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        check_line(text, "pip packages")
        if text.startswith("-"):
            options.append(text)
            continue
        name = package_name(text)
        if name not in OURS:
            kept.append(text)
            if name == "pandas" or (name == "inference-schema" and "pandas" in text):
                extras.add("pandas")
            continue
        replaced.append(name)
        extras |= {"pandas"} if name in NEEDS_PANDAS else set()
        extras |= extras_of(text) if name == "scoring-runtime" else set()
        if OURS[name]:
            notes.append(f"scoring-runtime takes the place of {name}: {OURS[name]}.")
    if not replaced:
        notes.append("No azureml-defaults and no scoring-runtime is named: scoring-runtime, the server, is added.")
    kept.append("scoring-runtime" + (f"[{','.join(sorted(extras))}]" if extras else ""))
    return sorted(set(kept)), tuple(options), notes


def extras_of(requirement: str) -> set[str]:
    found = re.search(r"\[([^\]]*)\]", requirement)
    return {one.strip() for one in found[1].split(",") if one.strip()} if found else set()
