"""The layers that inference-schema's decorators put around run(), as data that can be read and looked through.

run = input_schema("x", X)(output_schema(Y)(function)) is, under our cures,

    FunctionWrapper(Layer input x) -> FunctionWrapper(Layer output) -> function

A Layer converts only when it is called through: the server peels the outer ones off and converts by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scoring_runtime.schemas.misfit import Misfit
from scoring_runtime.schemas.values import Convert, converter_for

__all__ = ["Layer", "argument_names", "chain", "innermost", "layer_of"]

HUGGING_FACE_KEYS = {"parameters", "input_string"}


@dataclass(frozen=True, eq=False)
class Layer:
    """One decorator: of an input (name and param_type are set) or of the output."""

    schema: dict[str, Any]
    versions: list[str]
    name: str | None = None
    param_type: Any = None
    converts: bool = False
    optional: bool = False

    @cached_property
    def convert(self) -> Convert:
        return converter_for(self.param_type)

    def __call__(self, wrapped: Callable[..., Any], instance: object, args: Any, kwargs: dict[str, Any]) -> Any:
        """The call through this layer, as wrapt makes it: the script's own, or one beneath a decorator of its own."""
        if self.name is None or not self.converts or _is_hugging_face(args):
            return wrapped(*args, **kwargs)
        if self.name in kwargs:
            if kwargs[self.name] or not self.optional:
                kwargs[self.name] = self._converted(self.name, kwargs[self.name])
        elif not self.optional:
            args = self._convert_positional(self.name, innermost(wrapped), list(args), kwargs)
        return wrapped(*args, **kwargs)

    def _converted(self, name: str, value: object) -> object:
        try:
            return self.convert(value)
        except Misfit as misfit:
            raise misfit.refusal(name) from misfit.__cause__

    def _convert_positional(self, name: str, function: Any, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        parameters = inspect.signature(function).parameters
        if name not in parameters:
            raise TypeError(f"@input_schema declares {name!r}, which run({', '.join(parameters)}) does not take.")
        positional = argument_names(function)[: len(args)]
        if name in positional:
            args[positional.index(name)] = self._converted(name, args[positional.index(name)])
        elif parameters[name].default is not inspect.Parameter.empty and parameters[name].default is not None:
            # Left out: the default goes through the converter too. Without one Python's own TypeError follows.
            kwargs[name] = self._converted(name, parameters[name].default)
        return args


def layer_of(function: object) -> Layer | None:
    """The Layer this very object is, if it is one."""
    layer = getattr(function, "_self_wrapper", None)
    return layer if isinstance(layer, Layer) else None


def chain(function: object) -> Iterator[Any]:
    """The function as given, then each one it wraps, down to the user's own."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        function = _wrapped_by(function)


def innermost(function: object) -> Any:
    *_, last = chain(function)
    return last


def argument_names(function: Any) -> list[str]:
    """As inference-schema counts them: positional ones, and for methods without the bound first argument."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, each in inspect.signature(function).parameters.items() if each.kind in positional]


def _wrapped_by(function: object) -> object | None:
    wrapped: object = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        return wrapped
    # A decorator without functools.wraps: the decorated function is in its closure, as inference-schema finds it.
    for cell in getattr(function, "__closure__", None) or ():
        try:
            content: object = cell.cell_contents
        except ValueError:  # an empty cell
            continue
        if callable(content) and any(map(layer_of, chain(content))):
            return content
    return None


def _is_hugging_face(args: Any) -> bool:
    return len(args) > 0 and type(args[0]) is dict and args[0].keys() == HUGGING_FACE_KEYS
