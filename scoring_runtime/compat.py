"""Old import paths: what scripts import from azureml packages that are not installed, served from scoring_runtime.api.

    first on sys.meta_path   OURS_ALWAYS      run() is handed our objects, so these names are ours in any case
    (the normal finders)     whatever is installed
    last on sys.meta_path    OURS_IF_ABSENT   modules, and packages made up around them

Nothing here is active before install(), and no target is imported before a script asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["OURS_ALWAYS", "OURS_IF_ABSENT", "PACKAGES", "install"]

REFERENCE_VERSION = "1.5.1"  # of the server that scripts were written for

OURS_ALWAYS = {
    "azureml.contrib.services.aml_request": "scoring_runtime.api.request",
    "azureml.contrib.services.aml_response": "scoring_runtime.api.response",
    "azureml.contrib.services.rawhttp": "scoring_runtime.api.rawhttp",
    "azureml_inference_server_http.api.aml_request": "scoring_runtime.api.request",
    "azureml_inference_server_http.api.aml_response": "scoring_runtime.api.response",
}

OURS_IF_ABSENT = {
    "azureml.core.model": "scoring_runtime.api.model",
    "azureml.exceptions": "scoring_runtime.api.model",
    "azureml.monitoring": "scoring_runtime.api.csv_collector",
    "azureml.ai.monitoring.collector": "scoring_runtime.api.collector",
    "azureml.ai.monitoring.context": "scoring_runtime.api.correlation",
    "azureml_inference_server_http.log_config": "scoring_runtime.api.log_config",
    "azureml_user.parallel_run": "scoring_runtime.batch.entry_script",
}

# Packages made up where they are not installed: empty, or with the public names of the module on the right.
PACKAGES = {
    "azureml": "",
    "azureml.contrib": "",
    "azureml.contrib.services": "",
    "azureml.core": "scoring_runtime.api.model",
    "azureml.ai": "",
    "azureml.ai.monitoring": "scoring_runtime.api.collector",
    "azureml_inference_server_http": "",
    "azureml_inference_server_http.api": "",
    "azureml_user": "",
}


class AliasLoader:
    """Puts the target into sys.modules under the old name.

    Handing it out from create_module() instead would make the import system overwrite the target's own __spec__.
    """

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(self.target)


class PackageLoader:
    """Makes a package up; the names of its target are looked up when they are used."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "azureml_inference_server_http":
            module.__version__ = REFERENCE_VERSION  # type: ignore[attr-defined]
        if self.target:
            module.__getattr__ = forward(module.__name__, self.target)  # type: ignore[method-assign]


def forward(package: str, target: str) -> Any:
    def __getattr__(name: str) -> Any:  # noqa: N807
        if not name.startswith("__"):
            module = import_module(target)
            if name in module.__all__:
                return getattr(module, name)
        raise AttributeError(
            f"module {package!r} has no attribute {name!r}. It stands in for the package of that name; "
            f"install that one if the script needs more of it."
        )

    return __getattr__


class FirstFinder:
    """Ours wins, wherever else the module may be installed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        alias = OURS_ALWAYS.get(name)
        return None if alias is None else ModuleSpec(name, AliasLoader(alias))  # type: ignore[arg-type]


class LastFinder:
    """Asked only for what no other finder found."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        alias = OURS_IF_ABSENT.get(name)
        if alias is not None:
            return ModuleSpec(name, AliasLoader(alias))  # type: ignore[arg-type]
        if name in PACKAGES:
            return ModuleSpec(name, PackageLoader(PACKAGES[name]), is_package=True)  # type: ignore[arg-type]
        return None


def install() -> None:
    """Make the old names importable; once or more often."""
    if FirstFinder not in sys.meta_path:
        sys.meta_path.insert(0, FirstFinder)
    if LastFinder in sys.meta_path:
        sys.meta_path.remove(LastFinder)  # finders added since then go before it
    sys.meta_path.append(LastFinder)
    for name, target in OURS_ALWAYS.items():
        if name in sys.modules and sys.modules[name].__name__ != target:
            replace(name, target)


def replace(name: str, target: str) -> None:
    """Put ours in the place of the real module, which was imported before install()."""
    sys.modules[name] = module = import_module(target)
    package, _, attribute = name.rpartition(".")
    if package in sys.modules:
        setattr(sys.modules[package], attribute, module)
