"""Runs the blocking calls of a file store in threads, and turns their errors into errors of the domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from imgsvc.errors import ObjectExists, ObjectInUse, StoreAway, StoreError, StoreUnavailable
from imgsvc.interfaces import IThreads
from imgsvc.logger import make_logger
from imgsvc.stores.folder import Folder, NameTaken, UploadDiscarded, WriterAtWork
from imgsvc.stores.locks import LockBusy
from imgsvc.stores.mark import NotMarked

log = make_logger()

T = TypeVar("T")
Fault = Callable[[str, str, str, OSError], StoreError]

LOCK_PATIENCE: Final = 5.0
"""Seconds to wait for the lock of a name. Its holder keeps it for microseconds, except when it is stopped."""
LOCK_RETRY: Final = 0.02
"""Seconds between two attempts to get the lock."""


@define
class Disk:
    """A folder, and the threads that work in it.

    flushers: separate threads for flushes, so that no other call waits for a flush. local: whether the page cache may
    be read in the thread of the reactor. away: the reason for which the folder is not the store's now; None: it is the
    store's.
    """

    store_id: str
    folder: Folder
    threads: IThreads
    flushers: IThreads
    clock: IReactorTime
    local: bool = False
    away: str | None = None

    def lost(self, why: str) -> StoreAway:
        """Mark the store as away, and log it if it was not away before. Returns the error for the client."""
        if self.away is None:
            log.error(
                "Store {store} is away: {path} {why}. Nothing is read, written or deleted there. Mount the medium that"
                " belongs there. If this folder is the right one, run `imgsvc-admin store adopt {store}` with the"
                " --config and --data of the daemon before `store`",
                store=self.store_id,
                path=self.folder.path,
                why=why,
            )
        self.away = why
        return StoreAway(self.store_id, "it is away: its medium is missing, or belongs to another store.")

    def found(self) -> None:
        """Mark the store as present."""
        if self.away is not None:
            log.info("Store {store} is back: {path}", store=self.store_id, path=self.folder.path)
        self.away = None

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call `function(*arguments)` in a thread, and return its result. Repeats the call while its lock is busy.

        Raises what the function raises, with two exceptions: StoreAway for NotMarked, StoreUnavailable if the lock
        stays busy.
        """
        return await self._call(self.threads, function, *arguments)

    async def run(self, action: str, path: str, fault: Fault, function: Callable[..., T], *arguments: Any) -> T:
        """Do as `call`, but raise errors of the domain.

        action, path: for the error message: what is done, and to which file. fault: makes an error of an OSError.
        Raises ObjectExists for NameTaken, ObjectInUse for WriterAtWork, StoreUnavailable for UploadDiscarded.
        """
        return await self._run(self.threads, action, path, fault, function, *arguments)

    async def flush(self, path: str, fault: Fault, function: Callable[..., T], *arguments: Any) -> T:
        """Do as `run`, in the threads for flushes."""
        return await self._run(self.flushers, "flush", path, fault, function, *arguments)

    async def _run(
        self, threads: IThreads, action: str, path: str, fault: Fault, function: Callable[..., T], *arguments: Any
    ) -> T:
        try:
            return await self._call(threads, function, *arguments)
        except OSError as error:
            raise fault(self.store_id, action, path, error) from error
        except NameTaken as error:
            raise ObjectExists(self.store_id, f"there is an object {error} already.") from error
        except WriterAtWork as error:
            raise ObjectInUse(self.store_id, f"upload {error} may still be running.") from error
        except UploadDiscarded as error:
            raise StoreUnavailable(self.store_id, "the upload was discarded meanwhile.") from error

    async def _call(self, threads: IThreads, function: Callable[..., T], *arguments: Any) -> T:
        deadline = self.clock.seconds() + LOCK_PATIENCE
        while True:
            try:
                result = await threads.run(function, *arguments)
                return result
            except NotMarked as error:
                raise self.lost(str(error)) from error
            except LockBusy as error:
                if self.clock.seconds() >= deadline:
                    raise StoreUnavailable(self.store_id, "another upload keeps the object locked.") from error
            await deferLater(self.clock, LOCK_RETRY)
