"""Providers of IThreads for tests that run in one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from imgsvc.interfaces import IThreads

__all__ = ["ImmediateThreads"]


@implementer(IThreads)
class ImmediateThreads:
    """Calls at once, in the calling thread."""

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        try:
            return succeed(function(*arguments))
        except Exception:
            return fail()

    def stop(self) -> None:
        """There is no thread to end."""
