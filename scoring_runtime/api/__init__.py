"""What a score.py may import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring_runtime.api.onnx_session import open_session

__all__ = ["open_session"]


def __getattr__(name: str) -> Any:
    """Imported when it is used: a script without a model in ONNX pays nothing for it."""
    if name == "open_session":
        from scoring_runtime.api.onnx_session import open_session

        return open_session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
