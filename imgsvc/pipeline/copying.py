"""Copies an object from one store into another."""

from __future__ import annotations

from attrs import define, field
from twisted.python.failure import Failure

from imgsvc.errors import ImgsvcError
from imgsvc.interfaces import IBudget, ICopyingWriter, IStore, IStoreWriter
from imgsvc.model import Location, Span
from imgsvc.pipeline.intake import Intake


@define(eq=False)
class Copy:
    """Appends the bytes of an object to a writer. If the writer can copy them itself, they do not pass through this
    process.

    source: the store of `location`. size: bytes of the object. budget: bounds the bytes that this process holds. The
    caller commits or aborts the writer. Digests are not computed, because those of the object are known.
    """

    source: IStore
    location: Location
    size: int
    writer: IStoreWriter
    budget: IBudget
    moved: int = field(default=0, init=False)
    """Bytes that have been handed to the other store."""
    passed: int = field(default=0, init=False)
    """The part of them that went through this process."""
    _intake: Intake | None = field(default=None, init=False)
    _stopped: ImgsvcError | None = field(default=None, init=False)

    async def run(self) -> None:
        """Copy all bytes. Call it once. Raises StoreError, and the error that was given to `stop`."""
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
        """Stop copying: `run` raises `why` after the current call of a store has ended, unless all bytes are copied by
        then.
        """
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
        """Read the rest of the bytes, and write them."""
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
