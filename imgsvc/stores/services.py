"""What every store gets from the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from imgsvc.folders import Folders
from imgsvc.interfaces import IBudget, IHoldings, IThreads

__all__ = ["StoreServices"]


@frozen
class StoreServices:
    """The collaborators of stores.

    make_threads: a new pool, from its name and how many threads it may have; the store stops it in IStore.stop.
    budget: bounds what read-aheads hold. data_folder: relative paths are relative to it. clock: the reactor, for
    timeouts and for connections to other servers. holdings: tells whose the medium of a store is. folders: makes those
    that a store keeps its objects in. catalogue: the folder of the catalogue's database, if it is a file.
    """

    make_threads: Callable[[str, int], IThreads]
    budget: IBudget
    data_folder: Path
    clock: IReactorTime
    holdings: IHoldings
    folders: Folders = field(factory=Folders)
    catalogue: Path | None = None
