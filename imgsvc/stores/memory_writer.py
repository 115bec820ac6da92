"""Writes one upload into a store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from imgsvc.errors import StoreUnavailable
from imgsvc.interfaces import IResumableWriter
from imgsvc.model import Location
from imgsvc.store_model import Buffer


@define(eq=False)
class Upload:
    """The bytes of an upload. at_work: whether a writer may still write."""

    pieces: list[bytes] = field(factory=list)
    at_work: bool = True

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(map(len, self.pieces))


class Uploads(Protocol):
    """The store of a writer. All methods name an upload by its object and its lease."""

    store_id: str

    def begun(self, name: str, lease_id: str) -> Upload:
        """The upload. Raises StoreUnavailable if it has ended."""

    def append(self, name: str, lease_id: str, pieces: Sequence[Buffer]) -> None:
        """Keep more bytes. Raises StoreFull."""

    def publish(self, name: str, lease_id: str) -> Location:
        """Make the bytes an object. Raises ObjectExists."""

    def finalize(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""

    def discard(self, name: str, lease_id: str) -> Deferred[None]:
        """See IStore."""


@implementer(IResumableWriter)
class MemoryWriter:
    """One upload into a store in memory."""

    def __init__(self, store: Uploads, name: str, lease_id: str, upload: Upload) -> None:
        self._store = store
        self._name = name
        self._lease_id = lease_id
        self._upload = upload
        self._suspended = False

    @property
    def size(self) -> int:
        """See IResumableWriter."""
        return self._upload.size

    def write(self, pieces: Sequence[Buffer]) -> Deferred[None]:
        """See IStoreWriter."""
        return execute(self._write, pieces)

    def _write(self, pieces: Sequence[Buffer]) -> None:
        self._check()
        self._store.append(self._name, self._lease_id, pieces)

    def commit(self) -> Deferred[Location]:
        """See IStoreWriter."""
        return execute(self._commit)

    def _commit(self) -> Location:
        self._check()
        return self._store.publish(self._name, self._lease_id)

    def finalize(self) -> Deferred[None]:
        """See IStoreWriter."""
        return succeed(None) if self._suspended else self._store.finalize(self._name, self._lease_id)

    def abort(self) -> Deferred[None]:
        """See IStoreWriter."""
        return succeed(None) if self._suspended else self._store.discard(self._name, self._lease_id)

    def suspend(self) -> Deferred[int]:
        """See IResumableWriter."""
        return execute(self._suspend)

    def _suspend(self) -> int:
        self._check()
        self._upload.at_work, self._suspended = False, True
        return self.size

    def _check(self) -> None:
        """Raise StoreUnavailable if the writer is suspended or its upload was discarded."""
        if self._suspended:
            raise StoreUnavailable(self._store.store_id, "the upload has already ended.")
        self._store.begun(self._name, self._lease_id)
