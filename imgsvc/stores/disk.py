"""Calls that block, in the threads of a store, with errors in the domain's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from imgsvc.errors import ObjectExists, StoreError, StoreUnavailable
from imgsvc.interfaces import IThreads
from imgsvc.stores.folder import Folder, NameTaken, UploadDiscarded
from imgsvc.stores.locks import LockBusy

T = TypeVar("T")
Fault = Callable[[str, str, str, OSError], StoreError]

LOCK_PATIENCE: Final = 5.0
"""Seconds to wait for the lock of a name, which is held for microseconds unless its holder is stopped."""
LOCK_RETRY: Final = 0.02
"""Seconds between two attempts at it."""


@define
class Disk:
    """A folder, and the threads that work in it. flushers: threads apart, so that nobody waits behind a flush.

    local: what the kernel has in memory can be had in the reactor's thread.
    """

    store_id: str
    folder: Folder
    threads: IThreads
    flushers: IThreads
    clock: IReactorTime
    local: bool = False

    async def run(self, action: str, path: str, fault: Fault, function: Callable[..., T], *arguments: Any) -> T:
        """The result of `function(*arguments)`, called in a thread; again while the lock that it needs is busy.

        Raises what `fault` makes of an OSError, ObjectExists and StoreUnavailable.
        action and path: for the message, what is done and to which file.
        """
        return await self._run(self.threads, action, path, fault, function, *arguments)

    async def flush(self, path: str, fault: Fault, function: Callable[..., T], *arguments: Any) -> T:
        """As `run`, in the threads for flushes."""
        return await self._run(self.flushers, "flush", path, fault, function, *arguments)

    async def _run(
        self, threads: IThreads, action: str, path: str, fault: Fault, function: Callable[..., T], *arguments: Any
    ) -> T:
        deadline = self.clock.seconds() + LOCK_PATIENCE
        while True:
            try:
                result: T = await threads.run(function, *arguments)
                return result
            except OSError as error:
                raise fault(self.store_id, action, path, error) from error
            except NameTaken as error:
                raise ObjectExists(self.store_id, f"there is an object {error} already.") from error
            except UploadDiscarded as error:
                raise StoreUnavailable(self.store_id, "the upload was discarded meanwhile.") from error
            except LockBusy as error:
                if self.clock.seconds() >= deadline:
                    raise StoreUnavailable(self.store_id, "another upload of the object does not let go.") from error
            await deferLater(self.clock, LOCK_RETRY)
