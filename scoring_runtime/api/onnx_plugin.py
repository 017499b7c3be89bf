"""Whether ONNX Runtime has a provider, and the pip packages that bring one as a plugin of the stock onnxruntime."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from scoring_runtime.accelerators import Accelerator

__all__ = ["missing", "with_plugin"]

REGISTERED: dict[str, str] = {}  # plugin package -> its provider, or why it has none; once a process


def with_plugin(runtime: Any, row: Accelerator) -> Accelerator:
    """The row under its provider's own name, its plugin registered where this is needed and possible."""
    if not row.plugin or row.providers[0] in runtime.get_available_providers():
        return row
    if row.plugin not in REGISTERED:
        REGISTERED[row.plugin] = register(runtime, row.plugin)
    provider = REGISTERED[row.plugin]
    return replace(row, providers=(provider, *row.providers[1:])) if provider.isidentifier() else row


def register(runtime: Any, package: str) -> str:
    """The name of the provider that the plugin brings, or a sentence that says why there is none."""
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ModuleNotFoundError:
        return f"the plugin {package} is not installed"
    if not hasattr(runtime, "register_execution_provider_library"):
        return f"onnxruntime {runtime.__version__} takes no plugins (1.23 does)"
    before = set(runtime.get_available_providers())
    try:
        runtime.register_execution_provider_library(package, str(module.get_library_path()))
    except Exception as error:
        return f"the plugin {package} cannot be registered: {error}"
    new: list[str] = [name for name in runtime.get_available_providers() if name not in before]
    if new:
        return new[0]
    return (
        f"the plugin {package} gives it none: no device of its own is on this machine, or it was built for a newer "
        "onnxruntime, which says so above (Python 3.10 has none newer than 1.23)"
    )


def missing(runtime: Any, row: Accelerator, provider: str) -> str:
    """Why the provider cannot be asked for; empty when it can."""
    available = runtime.get_available_providers()
    if provider in available:
        return ""
    why = REGISTERED.get(row.plugin, "") if provider == row.providers[0] else ""
    has = f"{provider} is not in this onnxruntime ({runtime.__version__}, which has {', '.join(available)})"
    return f"{has}, and {why}" if why else has
