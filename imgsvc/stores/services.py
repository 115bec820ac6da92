"""The services of the server that stores use."""

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
    """The services of the server that stores use.

    make_threads: makes a pool from its name and its number of threads; the store stops it in IStore.stop. budget:
    limits the bytes that readers hold. data_folder: the base of relative paths. clock: the reactor, for timeouts and
    for connections to other servers. holdings: the catalogue, to decide whether a medium belongs to a store. folders:
    creates the folders of stores. catalogue: the folder of the catalogue's database, if it is a file.
    """

    make_threads: Callable[[str, int], IThreads]
    budget: IBudget
    data_folder: Path
    clock: IReactorTime
    holdings: IHoldings
    folders: Folders = field(factory=Folders)
    catalogue: Path | None = None
