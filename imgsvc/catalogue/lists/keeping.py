"""A cache of plans and statements for the shapes of queries that were used last."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from threading import RLock
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from imgsvc.catalogue.lists.shapes import QueryShape

__all__ = ["kept"]

P = ParamSpec("P")
T = TypeVar("T")

_RESULTS_KEPT: Final = 128
_compiling: Final = RLock()


def kept(function: Callable[Concatenate[QueryShape, P], T]) -> Callable[Concatenate[QueryShape, P], T]:
    """Cache the last results of a function, except those for heavy shapes.

    Only one of these functions runs at a time. Each takes milliseconds of Python, and the reactor must wait for the
    interpreter's lock behind every thread that runs Python.
    """
    remembered: Any = lru_cache(_RESULTS_KEPT)(function)

    @wraps(function)
    def call(shape: QueryShape, /, *arguments: P.args, **named: P.kwargs) -> T:
        with _compiling:
            if shape.is_heavy:
                return function(shape, *arguments, **named)
            return remembered(shape, *arguments, **named)  # type: ignore[no-any-return]

    return call
