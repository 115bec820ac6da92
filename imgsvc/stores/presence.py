"""Checks, at the start of a store and repeatedly, whether its folder is there and belongs to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from errno import EHOSTDOWN, EHOSTUNREACH, EIO, ENODEV, ENOTCONN, ENXIO, ESTALE, ETIMEDOUT
from itertools import islice
from typing import Final, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from imgsvc import page_cache
from imgsvc.errors import Conflict, ImgsvcError, StoreAway
from imgsvc.interfaces import IHoldings
from imgsvc.logger import make_logger
from imgsvc.model import Survey
from imgsvc.stores.disk import Disk
from imgsvc.stores.faults import write_fault
from imgsvc.stores.mark import Mark, describe

T = TypeVar("T")

log = make_logger()

EVERY: Final = 5.0
"""Seconds between two checks. Every call of the store checks the mark, too."""
BATCH: Final = 1000
"""Names in one query of the catalogue."""
_GONE: Final = frozenset({EHOSTDOWN, EHOSTUNREACH, EIO, ENODEV, ENOTCONN, ENXIO, ESTALE, ETIMEDOUT})
"""Errors of a file system whose medium or server is missing."""


@define(eq=False)
class Presence:
    """Keeps `disk.away` up to date, and marks the folder if that is safe.

    At the start, a folder without a mark is marked if it has no objects and the catalogue has no objects in the store.
    A folder with the empty mark of earlier versions is also marked if the catalogue has at least one of its objects in
    the store.
    make: creates the folder. prepare: called at the start if the folder belongs to the store. Both are called in a
    thread, and raise OSError if the folder cannot be used.
    """

    store_id: str
    disk: Disk
    catalogue: IHoldings
    clock: IReactorTime
    make: Callable[[], None]
    prepare: Callable[[], None]
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self.clock

    async def begin(self) -> None:
        """Check the folder for the first time, and then repeatedly until `stop`.

        Raises OSError: the folder exists or can be created, but cannot be used. CatalogueUnavailable.
        """
        folder = self.disk.folder
        folder.mark.own = Mark(await self.catalogue.identity(), self.store_id)
        try:
            why_not = await self._claim(new=True)
            if why_not is None:
                await self.disk.call(self.prepare)
                self.disk.local = await self.disk.call(page_cache.is_local, folder.path)
            else:
                self.disk.lost(why_not)
        except StoreAway:
            pass  # it was there a moment ago; `lost` has logged it
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self.disk.lost(f"cannot be checked: {error.strerror}")
        self._loop.start(EVERY, now=False)

    def stop(self) -> None:
        """End the repeated checks. May be called any number of times."""
        if self._loop.running:
            self._loop.stop()

    async def check(self) -> None:
        """Raise StoreAway unless the folder is there and belongs to the store; StoreError if that cannot be checked."""
        try:
            await self.disk.call(self.disk.folder.mark.check)
        except StoreAway:
            if await self._run(self._claim(new=False)) is not None:
                raise
        if self.disk.away is not None:
            self.disk.local = await self._run(self.disk.call(page_cache.is_local, self.disk.folder.path))
            self.disk.found()

    async def survey(self) -> Survey:
        """See IMarkedStore."""
        folder = self.disk.folder
        says = await self._run(self.disk.call(folder.mark.read))
        names = await self._run(self.disk.call(folder.names))
        known = 0
        async for part in self._known(names):
            known += len(part)
        return Survey(
            place=folder.path,
            mark=describe(says),
            own=self._is_own(says),
            known=known,
            unknown=len(names) - known,
            missing=max(0, await self.catalogue.object_count(self.store_id) - known),
        )

    async def adopt(self, force: bool) -> None:
        """See IMarkedStore."""
        folder = self.disk.folder
        says = await self._run(self.disk.call(folder.mark.read))
        if self._is_own(says):
            return
        found = await self.survey()
        if says and not force:
            raise Conflict(f"{found.place} {found.mark}, which would be replaced. To replace it, use --force.")
        if found.missing and not found.known and not force:
            raise Conflict(
                f"None of the {found.missing} objects that the catalogue has in store {self.store_id} is in"
                f" {found.place}: is it mounted? If they are lost, use --force."
            )
        await self._run(self.disk.call(self.make))
        if not await self._run(self.disk.call(folder.mark.write, says)):
            raise Conflict(f"{found.place} was marked by another process at the same time.")
        await self.check()

    async def _look(self) -> None:
        try:
            await self.check()
        except (StoreAway, CancelledError):
            pass  # `lost` has logged it; or the store is being stopped
        except ImgsvcError as error:
            log.error("Store {store} cannot be checked: {error}", store=self.store_id, error=str(error))

    async def _claim(self, new: bool) -> str | None:
        """Mark the folder if that is allowed. Returns None if it belongs to the store; else the reason why not.

        new: whether a folder without a mark may be marked.
        """
        folder = self.disk.folder
        while True:
            says = await self.disk.call(folder.mark.read)
            if self._is_own(says):
                return None
            if says or (says is None and not new):
                return describe(says)
            names = await self.disk.call(folder.names)
            if names and (says is None or not await self._any_known(names)):
                return f"{describe(says)}, and it has images that the catalogue does not have in this store"
            if not names and (not new or await self.catalogue.object_count(self.store_id)):
                return f"{describe(says)}, and none of the images that the catalogue has there is in it"
            if says is None:
                await self.disk.call(self.make)
            if await self.disk.call(folder.mark.write, says):
                log.info("Store {store}: {path} is marked as its own", store=self.store_id, path=folder.path)

    def _is_own(self, says: bytes | None) -> bool:
        return bool(says) and Mark.decode(says or b"") == self.disk.folder.mark.own

    async def _any_known(self, names: Collection[str]) -> bool:
        async for part in self._known(names):
            if part:
                return True
        return False

    async def _known(self, names: Collection[str]) -> AsyncIterator[set[str]]:
        """Yield those of the names that the catalogue has in the store, in parts."""
        rest = iter(sorted(names))
        while part := list(islice(rest, BATCH)):
            yield await self.catalogue.known_objects(self.store_id, part)

    async def _run(self, call: Awaitable[T]) -> T:
        """Return the result of the call. Raises StoreError for OSError."""
        try:
            return await call
        except OSError as error:
            raise write_fault(self.store_id, "look at", self.disk.folder.path, error) from error
