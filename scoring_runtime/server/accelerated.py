"""The accelerator of a worker: the setting is checked before the script is loaded, then held against what it opened."""

from __future__ import annotations

import logging
import os

from scoring_runtime.api.onnx_report import reports
from scoring_runtime.api.onnx_session import resolve
from scoring_runtime.errors import AcceleratorError, ScriptError, SettingsError
from scoring_runtime.settings import ROWS, Settings

__all__ = ["expect", "verify"]

logger = logging.getLogger("azmlinfsrv.accelerator")

FIX = "Open it in init(), with open_session() of scoring_runtime.api."


def expect(settings: Settings) -> None:
    """Hand the settings to open_session(), which reads the environment. Raises ScriptError if they cannot be."""
    given = settings.to_environ()
    for setting in ROWS:
        if setting.name.startswith("accelerator") and setting.env in given:
            os.environ.setdefault(setting.env, given[setting.env])
    try:
        row, _, policy = resolve(os.environ)
    except SettingsError as error:
        raise ScriptError(f"The accelerator cannot be set up. {error}") from None
    if settings.worker_preload and row.name != "cpu" and not row.emulated:
        raise ScriptError(
            f"WORKER_PRELOAD=true opens sessions before the workers are forked, and a session on {row.name} does not "
            "survive that. Set WORKER_PRELOAD=false."
        )
    if row.name != "cpu":
        logger.info("Accelerator: %s (%s), policy %s", row.name, row.title, policy)


def verify() -> None:
    """After init(): a script that has opened nothing on the accelerator does not use it. Raises AcceleratorError."""
    row, _, policy = resolve(os.environ)
    if row.name == "cpu" or any(one.accelerator == row.name for one in reports()):
        return
    reason = "init() opened no session on it"
    if policy != "prefer":
        raise AcceleratorError(row.name, policy, reason, FIX)
    logger.warning("The accelerator %s is not used: %s. %s", row.name, reason, FIX)
