"""Checks whether a store has the objects that the records of the catalogue describe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from attrs import define
from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime

from imgsvc.errors import ObjectDamaged, ObjectMissing, StoreAway, StoreError
from imgsvc.hashing import Piece
from imgsvc.interfaces import IBudget, IInventory, IStore
from imgsvc.model import Record, Span
from imgsvc.pipeline.digest_scheduler import DigestScheduler
from imgsvc.pipeline.intake import Intake
from imgsvc.tasks.doubts import Doubts
from imgsvc.tasks.findings import Finding, Findings, Problem, reason

T = TypeVar("T")

PAGE: Final = 1000
"""Records in one query of the catalogue."""
ASKED_AT_ONCE: Final = 8
"""Concurrent requests for the size of an object."""
READ_AT_ONCE: Final = 2
"""Objects that are read concurrently, at least. There are twice as many as are hashed together: while those of one call
are hashed, the pieces of the next call are read.
"""


@define(eq=False)
class RecordCheck:
    """Checks all records of a store. digests: whether to read every object; this uses budget and digest_scheduler.

    An object is missing or wrong only if its record is unchanged after the store was asked: an image loses a location
    before the object there is deleted.
    """

    inventory: IInventory
    store: IStore
    findings: Findings
    clock: IReactorTime
    digests: bool
    budget: IBudget
    digest_scheduler: DigestScheduler

    async def look(self) -> None:
        """Check all records. Raises StoreAway, StoreUnavailable, CatalogueUnavailable."""
        doubts = Doubts(self.clock, self._again)

        async def look_at(record: Record) -> None:
            if await self._problem_of(record) is not None:
                await doubts.add(record)
            self.findings.tally.records += 1

        at_once = max(READ_AT_ONCE, 2 * self.digest_scheduler.lanes) if self.digests else ASKED_AT_ONCE
        after = 0
        while records := await self.inventory.records(self.store.store_id, after, PAGE):
            await _each(records, look_at, at_once)
            after = records[-1].key
        await doubts.settle()

    async def _again(self, records: list[Record]) -> None:
        for record in records:
            finding = await self._problem_of(record)
            if finding is not None and await self._is_current(record):
                self.findings.tell(finding)

    async def _is_current(self, record: Record) -> bool:
        return await self.inventory.records(self.store.store_id, record.key - 1, 1) == [record]

    async def _problem_of(self, record: Record) -> Finding | None:
        """Return the problem of the object of a record; None if there is none."""
        try:
            size = await self.store.size(record.location)
            if record.size not in (None, size):
                return self._found(Problem.SIZE, record, f"{size} bytes, its record says {record.size}")
            return await self._digest_problem(record, size) if self.digests else None
        except ObjectMissing:
            return self._found(Problem.MISSING, record, f"no object, its record says {_bytes(record.size)}")
        except ObjectDamaged as error:
            return self._found(Problem.SIZE, record, reason(error))
        except StoreAway:
            raise
        except StoreError as error:
            await self.store.check()
            return self._found(Problem.UNREADABLE, record, reason(error))

    async def _digest_problem(self, record: Record, size: int) -> Finding | None:
        """Return the problem of the data of the object of a record; None if there is none. Raises StoreError."""
        recorded = {"md5": record.checksum, record.os_hash_algo: record.os_hash_value}
        expected = {name: value for name, value in recorded.items() if name and value}
        if not expected:
            return None
        reader = await self.store.reader(record.location, Span(0, size), size)
        share = self.budget.share()
        digests = self.digest_scheduler.digests(expected)
        try:
            await Intake([digests.consume], share, look=self._count).receive(reader)
        finally:
            reader.stopProducing()
            digests.close()
            share.close()
        wrong = [
            f"{name} is {found}, its record says {value}"
            for name, value in expected.items()
            if (found := digests.hexdigest(name)) != value
        ]
        return self._found(Problem.DIGEST, record, "; ".join(wrong)) if wrong else None

    def _count(self, piece: Piece) -> None:
        self.findings.tally.read += len(piece)

    def _found(self, problem: Problem, record: Record, text: str) -> Finding:
        return Finding(self.store.store_id, problem, record.image_id, text)


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Call `work` for each item, for `at_once` items at a time. Raises the first error; the others are cancelled."""
    rest = iter(items)

    async def go_on() -> None:
        for item in rest:
            await work(item)

    workers = [Deferred.fromCoroutine(go_on()) for _ in range(at_once)]
    try:
        await gatherResults(workers, consumeErrors=True)
    except FirstError as error:
        for worker in workers:
            worker.cancel()
        await DeferredList(workers, consumeErrors=True)
        error.subFailure.raiseException()


def _bytes(size: int | None) -> str:
    return "nothing of its size" if size is None else f"{size} bytes"
