"""What every store gets from the house."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from imgsvc.interfaces import IBudget

__all__ = ["StoreServices", "Threads"]


class Threads(Protocol):
    """IThreads whose owner can end them."""

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """See IThreads."""

    def stop(self) -> None:
        """End the threads, after the calls that they are in."""


@frozen
class StoreServices:
    """The collaborators of stores.

    make_threads: a new pool, from its name and how many threads it may have; the store stops it in IStore.stop.
    budget: bounds what read-aheads hold. data_folder: relative paths are relative to it. clock: for timeouts.
    """

    make_threads: Callable[[str, int], Threads]
    budget: IBudget
    data_folder: Path
    clock: IReactorTime
