"""Copying an object from one store into another."""

from __future__ import annotations

from attrs import define, field
from twisted.python.failure import Failure

from imgsvc.errors import ImgsvcError
from imgsvc.interfaces import IBudget, ICopyingWriter, IStore, IStoreWriter
from imgsvc.model import Location, Span
from imgsvc.pipeline.intake import Intake


@define(eq=False)
class Copy:
    """Appends the bytes of an object to what a writer has, without passing them through this process where it can.

    source: the store of `location`. size: bytes of the object. budget: bounds what is held of bytes that are passed.
    The caller commits the writer, or aborts it. Digests are not computed: those of the object are known.
    """

    source: IStore
    location: Location
    size: int
    writer: IStoreWriter
    budget: IBudget
    moved: int = field(default=0, init=False)
    """Bytes that are on their way into the other store, or there."""
    passed: int = field(default=0, init=False)
    """Those of them that this process has held."""
    _intake: Intake | None = field(default=None, init=False)
    _stopped: ImgsvcError | None = field(default=None, init=False)

    async def run(self) -> None:
        """Copy all. To be called once. Raises StoreError, and the error that `stop` was given."""
        if ICopyingWriter.providedBy(self.writer):
            while self.moved < self.size:
                self._check()
                count = await self.writer.copy(self.source, self.location, self._rest)
                if not count:
                    break
                self.moved += count
        if self.moved < self.size:
            await self._pass()

    def stop(self, why: ImgsvcError) -> None:
        """Copy no more: `run` raises this error when no call of a store is under way; nothing if all is copied then."""
        self._stopped = why
        if self._intake is not None:
            self._intake.fail(Failure(why))

    @property
    def _rest(self) -> Span:
        return Span(self.moved, self.size - self.moved)

    def _check(self) -> None:
        if self._stopped is not None:
            raise self._stopped

    async def _pass(self) -> None:
        """Read what is left, and write it."""
        self._check()
        reader = await self.source.reader(self.location, self._rest, self.size)
        share = self.budget.share()
        try:
            self._check()
            begin = self.moved

            def admit(size: int) -> None:
                self.passed, self.moved = size, begin + size

            self._intake = Intake([self.writer.write], share, admit)
            await self._intake.receive(reader)
        finally:
            reader.stopProducing()
            share.close()
