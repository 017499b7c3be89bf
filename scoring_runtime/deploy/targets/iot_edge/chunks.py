"""createOptions as a device's twin holds them: JSON in texts of at most 512 characters, joined again in name order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scoring_runtime.errors import TargetError

__all__ = ["CHUNK", "MOST_CHUNKS", "joined", "split"]

CHUNK, MOST_CHUNKS = 512, 100  # a twin's limit of a text; createOptions and createOptions01 to createOptions99


def split(options: Mapping[str, Any], module: str) -> dict[str, str]:
    """As keys of a module's settings."""
    text = json.dumps(options, separators=(",", ":"), sort_keys=True)
    parts = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
    if len(parts) > MOST_CHUNKS:
        raise TargetError(
            f"{module}: createOptions have {len(text)} characters, and a device takes {CHUNK * MOST_CHUNKS}. "
            "Move environment variables from there to environmentVariables, or files to a mount."
        )
    return {f"createOptions{f'{at:02}' if at else ''}": part for at, part in enumerate(parts)}


def joined(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent reads: raises ValueError where it is no JSON object."""
    names = sorted(name for name in settings if name.startswith("createOptions"))
    options = json.loads("".join(str(settings[name]) for name in names) or "{}")
    if not isinstance(options, dict):
        raise ValueError(f"expected an object, got {type(options).__name__}")
    return options
