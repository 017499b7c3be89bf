"""The mark on a run() that wants the request itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["is_rawhttp", "rawhttp"]

Function = TypeVar("Function", bound=Callable[..., Any])


def rawhttp(func: Function) -> Function:
    """Marks run(): it gets the request itself, whatever method and content type the client used."""
    func.__rawhttp__ = True  # type: ignore[attr-defined]
    return func


def is_rawhttp(func: object) -> bool:
    """Whether @rawhttp is on the function, or on one that it wraps."""
    while func is not None:
        if getattr(func, "__rawhttp__", False):
            return True
        func = getattr(func, "__wrapped__", None) or getattr(func, "func", None)  # the last is a partial's
    return False
