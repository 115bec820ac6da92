"""Tests for every store. A test case mixes StoreContract in and says how its store is made:

    class MemoryStoreTests(StoreContract, SynchronousTestCase):
        def make_store(self, services): return make(StoreSettings("memory"), {}, services)

With SynchronousTestCase every call of the store must answer at once; with trial's TestCase it may take its time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

from attrs.exceptions import FrozenInstanceError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from imgsvc.errors import ObjectDamaged, ObjectExists, ObjectMissing, StoreError
from imgsvc.interfaces import IHoldings, IRedirectingStore, IStore, IStoreReader, IStoreWriter, IThreads
from imgsvc.model import Caller, Location, Span, StoreUsage, UnfinishedObject
from imgsvc.pipeline.budget import Budget
from imgsvc.store_model import Scope, StoreInfo
from imgsvc.stores.services import StoreServices
from tests.support.holdings import Holdings
from tests.support.threads import ImmediateThreads

__all__ = ["Consumer", "StoreContract", "StoreProperties", "read", "result_of", "store_services", "write"]

NAME = "6f1ed002-ab5c-4b9c-8f4f-2a7b4b0a4c1e"
EARLIER, LATER = "0000000001-aa", "0000000002-aa"
DATA = bytes(range(251)) * 1200
"""About 300 KB, without a period of a power of two: a block that is missing or misplaced shows."""

Test = Callable[[Any], Coroutine[Any, Any, None]]


def store_services(
    folder: Path,
    make_threads: Callable[[str, int], IThreads] = lambda name, size: ImmediateThreads(),
    clock: IReactorTime | None = None,
    holdings: IHoldings | None = None,
) -> StoreServices:
    """Services with a budget of 1 MiB, and without threads, passing time or known images unless they are given."""
    return StoreServices(
        make_threads, Budget(1024 * 1024), folder, Clock() if clock is None else clock, holdings or Holdings()
    )


def result_of(awaitable: Awaitable[Any]) -> Any:
    """The result of a coroutine or Deferred that has fired already. Raises its failure."""

    async def wait() -> Any:
        return await awaitable

    answers: list[Any] = []
    Deferred.fromCoroutine(wait()).addBoth(answers.append)
    if not answers:
        raise AssertionError("there is no answer yet")
    if isinstance(answers[0], Failure):
        answers[0].raiseException()
    return answers[0]


async def write(store: IStore, name: str, lease_id: str, data: bytes) -> IStoreWriter:
    """A writer that has taken `data`, and is not committed."""
    writer = await store.writer(name, lease_id, None)
    await writer.write([data])
    return writer


async def put(store: IStore, name: str, lease_id: str, data: bytes) -> Location:
    """Write, commit and finalize an object."""
    writer = await write(store, name, lease_id, data)
    location = await writer.commit()
    await writer.finalize()
    return location


async def read(store: IStore, location: Location, span: Span | None = None) -> bytes:
    """The bytes of an object, or of a span of it."""
    reader = await store.reader(location, Span(0, await store.size(location)) if span is None else span)
    consumer = Consumer()
    try:
        await reader.startProducing(consumer)
    finally:
        reader.stopProducing()
    return consumer.data


@implementer(IConsumer)
class Consumer:
    """Keeps what it receives. pausing: pauses its producer after the first write."""

    def __init__(self, pausing: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.producer: Any = None
        self.streaming: bool | None = None
        self.registrations = 0
        self.paused = False
        self.written_while_paused = False
        self.first_write: Deferred[None] = Deferred()
        self._pausing = pausing

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        self.producer, self.streaming = producer, streaming
        self.registrations += 1

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written_while_paused |= self.paused
        self.pieces.append(data)
        if len(self.pieces) == 1:
            if self._pausing:
                self.pause()
            self.first_write.callback(None)

    def pause(self) -> None:
        self.paused = True
        self.producer.pauseProducing()

    def resume(self) -> None:
        self.paused = False
        self.producer.resumeProducing()


def promise(test: Test) -> Callable[[Any], Deferred[None] | None]:
    """A test that awaits the store."""

    @wraps(test)
    def run(case: Any) -> Deferred[None] | None:
        running = test(case)
        return Deferred.fromCoroutine(running) if isinstance(case, TestCase) else result_of(running)

    return run


class StoreContract:
    """Every promise of IStore, IStoreWriter and IStoreReader. Needs `make_store`."""

    store: IStore
    services: StoreServices

    def make_store(self, services: StoreServices) -> IStore:
        """A store that is not started, on an empty medium."""
        raise NotImplementedError

    def make_services(self) -> StoreServices:
        """The services for `make_store`."""
        return store_services(Path(self.mktemp()).absolute())  # type: ignore[attr-defined]

    @promise
    async def setUp(self) -> None:
        self.services = self.make_services()
        self.store = self.make_store(self.services)
        await self.store.start()
        self.addCleanup(self.store.stop)  # type: ignore[attr-defined]

    async def assert_unfinished(self, *expected: str) -> None:
        """The store keeps parts of these uploads, and of no others."""
        found = await self.store.unfinished()
        self.assertEqual([UnfinishedObject(NAME, lease_id) for lease_id in expected], found)

    async def assert_holds(self, location: Location, data: bytes) -> None:
        """The object has this content, and nothing is left of any upload."""
        self.assertEqual(data, await read(self.store, location))
        await self.assert_unfinished()

    async def assert_empty(self, location: Location) -> None:
        """Nothing is left of the object, nor of any upload."""
        with self.assertRaises(ObjectMissing):
            await self.store.size(location)
        await self.assert_unfinished()

    # --- the store

    @promise
    async def test_interfaces(self) -> None:
        """The store, its writers and its readers provide their interfaces."""
        verifyObject(IStore, self.store)
        writer = await write(self.store, NAME, EARLIER, DATA)
        verifyObject(IStoreWriter, writer)
        reader = await self.store.reader(await writer.commit(), Span(0, 1))
        verifyObject(IStoreReader, reader)
        reader.stopProducing()

    @promise
    async def test_check(self) -> None:
        """The medium of a store that has just started is there."""
        await self.store.check()

    @promise
    async def test_info(self) -> None:
        """The store describes itself, and nobody can change that."""
        info = self.store.info
        self.assertIsInstance(info, StoreInfo)
        self.assertIs(self.store.info, info)
        self.assertEqual(self.store.store_id, info.id)
        self.assertIsInstance(info.scope, Scope)
        for name, kind in (("kind", str), ("description", str), ("weight", int), ("read_only", bool)):
            self.assertIsInstance(getattr(info, name), kind)
        self.assertTrue(all(isinstance(key, str) for key in info.properties))
        with self.assertRaises(FrozenInstanceError):
            info.weight += 1
        with self.assertRaises(TypeError):
            info.properties["more"] = 1

    @promise
    async def test_schemes(self) -> None:
        """The URLs of its locations have one of its schemes, and it knows its own."""
        location = await put(self.store, NAME, EARLIER, DATA)
        self.assertIn(location.url.partition("://")[0], self.store.info.schemes)
        self.assertEqual(location, self.store.locate(location.url, NAME))

    @promise
    async def test_usage(self) -> None:
        """The store tells how full it is, or that it cannot tell."""
        usage = await self.store.usage()
        self.assertIsInstance(usage, StoreUsage)
        if usage.total is not None and usage.free is not None:
            self.assertTrue(0 <= usage.free <= usage.total)

    @promise
    async def test_redirecting(self) -> None:
        """A store and its type declare the same capabilities."""
        self.assertLessEqual(self.store.info.can_redirect, IRedirectingStore.providedBy(self.store))

    @promise
    async def test_caller(self) -> None:
        """An object can be written and read for a caller."""
        caller = Caller("user", "project", frozenset({"member"}), token="secret")
        writer = await self.store.writer(NAME, EARLIER, len(DATA), caller)
        await writer.write([DATA])
        location = await writer.commit()
        await writer.finalize()
        consumer = Consumer()
        reader = await self.store.reader(location, Span(0, len(DATA)), len(DATA), caller)
        await reader.startProducing(consumer)
        reader.stopProducing()
        self.assertEqual(DATA, consumer.data)

    # --- writing

    @promise
    async def test_object(self) -> None:
        """Reading returns the bytes that were written, and their size."""
        location = await put(self.store, NAME, EARLIER, DATA)
        self.assertEqual(self.store.store_id, location.store_id)
        self.assertEqual(len(DATA), await self.store.size(location))
        await self.assert_holds(location, DATA)

    @promise
    async def test_several_writes(self) -> None:
        """Writes are appended, each with any number of pieces of any buffer type."""
        writer = await self.store.writer(NAME, EARLIER, None)
        await writer.write([b"ab", bytearray(b"cd"), memoryview(b"efgh")[1:3], b""])
        await writer.write([])
        await writer.write([b"%d," % number for number in range(3000)])
        location = await writer.commit()
        await writer.finalize()
        await self.assert_holds(location, b"abcdfg" + b"".join(b"%d," % number for number in range(3000)))

    @promise
    async def test_pieces_are_free(self) -> None:
        """When a write is answered, its buffers may be used for something else."""
        writer = await self.store.writer(NAME, EARLIER, None)
        buffer = bytearray(b"first")
        await writer.write([buffer])
        buffer[:] = b"other"
        location = await writer.commit()
        await writer.finalize()
        await self.assert_holds(location, b"first")

    @promise
    async def test_empty_object(self) -> None:
        """An object without bytes is an object, whether its size was announced or not."""
        for expected_size, lease_id in ((None, EARLIER), (0, LATER)):
            writer = await self.store.writer(NAME, lease_id, expected_size)
            location = await writer.commit()
            await writer.finalize()
            self.assertEqual(0, await self.store.size(location))
            await self.assert_holds(location, b"")
            await self.store.delete(location)

    @promise
    async def test_expected_size(self) -> None:
        """An announced size is a hint, not a limit. The caller compares it."""
        writer = await self.store.writer(NAME, EARLIER, 10)
        await writer.write([DATA])
        location = await writer.commit()
        await writer.finalize()
        await self.assert_holds(location, DATA)

    @promise
    async def test_invisible_until_commit(self) -> None:
        """Written bytes are not an object before the commit."""
        location = await put(self.store, NAME, EARLIER, DATA)
        await self.store.delete(location)
        writer = await write(self.store, NAME, LATER, DATA)
        with self.assertRaises(ObjectMissing):
            await self.store.size(location)
        with self.assertRaises(ObjectMissing):
            await self.store.reader(location, Span(0, 1))
        self.assertEqual(location, await writer.commit())
        self.assertEqual(DATA, await read(self.store, location))

    @promise
    async def test_objects_apart(self) -> None:
        """Two objects written side by side do not mix."""
        first = await self.store.writer(NAME, EARLIER, None)
        second = await self.store.writer(NAME[::-1], EARLIER, None)
        for piece in (b"1", b"2", b"3"):
            await first.write([piece])
            await second.write([piece * 2])
        locations = [await first.commit(), await second.commit()]
        self.assertEqual([b"123", b"112233"], [await read(self.store, location) for location in locations])

    # --- the end of an upload

    @promise
    async def test_unfinished(self) -> None:
        """An upload is unfinished from its beginning until it is finalized."""
        writer = await self.store.writer(NAME, EARLIER, None)
        await self.assert_unfinished(EARLIER)
        await writer.write([DATA])
        await self.assert_unfinished(EARLIER)
        location = await writer.commit()
        await self.assert_unfinished(EARLIER)
        await writer.finalize()
        await self.assert_holds(location, DATA)

    @promise
    async def test_several_unfinished(self) -> None:
        """Every unfinished upload is listed, also two of one name."""
        await write(self.store, NAME, EARLIER, DATA)
        await write(self.store, NAME, LATER, DATA)
        await self.assert_unfinished(EARLIER, LATER)

    async def _abort_leaves_nothing(self, writer: IStoreWriter) -> None:
        for _ in range(2):
            await writer.abort()
            await self.assert_unfinished()
        await self.assert_holds(await put(self.store, NAME, LATER, b"next"), b"next")

    @promise
    async def test_abort_at_once(self) -> None:
        """An upload aborted before its first byte leaves nothing, and may be aborted again."""
        await self._abort_leaves_nothing(await self.store.writer(NAME, EARLIER, None))

    @promise
    async def test_abort_after_write(self) -> None:
        """An upload aborted in the middle leaves nothing."""
        await self._abort_leaves_nothing(await write(self.store, NAME, EARLIER, DATA))

    @promise
    async def test_abort_after_commit(self) -> None:
        """Aborting an upload after its commit removes its object."""
        writer = await write(self.store, NAME, EARLIER, DATA)
        location = await writer.commit()
        await writer.abort()
        await self.assert_empty(location)
        await self._abort_leaves_nothing(writer)

    @promise
    async def test_abort_during_write(self) -> None:
        """An abort may come while a write is not answered."""
        writer = await self.store.writer(NAME, EARLIER, None)
        writing = Deferred.fromCoroutine(_outcome(writer.write([DATA])))
        await self._abort_leaves_nothing(writer)
        await writing

    @promise
    async def test_abort_during_commit(self) -> None:
        """An abort may come while a commit is not answered."""
        writer = await write(self.store, NAME, EARLIER, DATA)
        committing = Deferred.fromCoroutine(_outcome(writer.commit()))
        await self._abort_leaves_nothing(writer)
        await committing

    @promise
    async def test_abort_after_cancelled_write(self) -> None:
        """An upload can be aborted when the outcome of a write is unknown."""
        writer = await self.store.writer(NAME, EARLIER, None)
        writing = writer.write([DATA])
        outcome = Deferred.fromCoroutine(_outcome(writing))
        writing.cancel()
        await outcome
        await self._abort_leaves_nothing(writer)

    @promise
    async def test_abort_after_finalize(self) -> None:
        """An abort after finalize does not harm the object."""
        writer = await write(self.store, NAME, EARLIER, DATA)
        location = await writer.commit()
        await writer.finalize()
        await writer.abort()
        await self.assert_holds(location, DATA)

    @promise
    async def test_use_after_abort(self) -> None:
        """An aborted upload takes no bytes and makes no object."""
        writer = await write(self.store, NAME, EARLIER, DATA)
        await writer.abort()
        with self.assertRaises(StoreError):
            await writer.write([b"more"])
        with self.assertRaises(StoreError):
            await writer.commit()
        await self._abort_leaves_nothing(writer)

    # --- the end of an upload, by another process

    @promise
    async def test_discard(self) -> None:
        """The bytes of an upload can be discarded by name, before and after the commit."""
        await write(self.store, NAME, EARLIER, DATA)
        await self.store.discard(NAME, EARLIER)
        await self.assert_unfinished()
        location = await (await write(self.store, NAME, LATER, DATA)).commit()
        await self.store.discard(NAME, LATER)
        await self.assert_empty(location)

    @promise
    async def test_discard_nothing(self) -> None:
        """Discarding an upload that is unknown, finalized or discarded has no effect."""
        await self.store.discard(NAME, EARLIER)
        location = await put(self.store, NAME, EARLIER, DATA)
        await self.store.discard(NAME, EARLIER)
        await self.store.discard(NAME, LATER)
        await self.assert_holds(location, DATA)

    @promise
    async def test_finalize_by_name(self) -> None:
        """A committed upload can be finalized by its name. Finalizing an unknown one has no effect."""
        await self.store.finalize(NAME, EARLIER)
        location = await (await write(self.store, NAME, EARLIER, DATA)).commit()
        await self.store.finalize(NAME, LATER)
        await self.assert_unfinished(EARLIER)
        await self.store.finalize(NAME, EARLIER)
        await self.store.finalize(NAME, EARLIER)
        await self.assert_holds(location, DATA)

    # --- two uploads of one name

    @promise
    async def test_object_exists(self) -> None:
        """A finalized object is not replaced, and survives the abort of the upload that tried."""
        location = await put(self.store, NAME, EARLIER, DATA)
        writer = await write(self.store, NAME, LATER, b"other")
        with self.assertRaises(ObjectExists):
            await writer.commit()
        await writer.abort()
        await self.assert_holds(location, DATA)

    @promise
    async def test_replace_not_finalized(self) -> None:
        """A later upload replaces the object that a dead one never finalized. The remains of the dead one may
        then be discarded.
        """
        await (await write(self.store, NAME, EARLIER, b"stale")).commit()
        location = await put(self.store, NAME, LATER, DATA)
        await self.assert_unfinished(EARLIER)
        await self.store.discard(NAME, EARLIER)
        await self.assert_holds(location, DATA)

    @promise
    async def test_stale_commit_before_finalize(self) -> None:
        """An earlier upload does not replace the object of a later one that is not finalized yet."""
        stale = await write(self.store, NAME, EARLIER, b"stale")
        writer = await write(self.store, NAME, LATER, DATA)
        location = await writer.commit()
        with self.assertRaises(ObjectExists):
            await stale.commit()
        await stale.abort()
        await writer.finalize()
        await self.assert_holds(location, DATA)

    @promise
    async def test_stale_commit_after_finalize(self) -> None:
        """An earlier upload does not replace the object of a later one that is finalized."""
        stale = await write(self.store, NAME, EARLIER, b"stale")
        location = await put(self.store, NAME, LATER, DATA)
        with self.assertRaises(ObjectExists):
            await stale.commit()
        await stale.abort()
        await self.assert_holds(location, DATA)

    @promise
    async def test_stale_abort_before_finalize(self) -> None:
        """A committed upload that has lost its lease does not touch the object that has replaced its own."""
        stale = await write(self.store, NAME, EARLIER, b"stale")
        await stale.commit()
        writer = await write(self.store, NAME, LATER, DATA)
        location = await writer.commit()
        await stale.abort()
        await writer.finalize()
        await self.assert_holds(location, DATA)

    @promise
    async def test_discarded_abort(self) -> None:
        """A committed upload that was discarded does not touch the object of its successor."""
        stale = await write(self.store, NAME, EARLIER, b"stale")
        await stale.commit()
        await self.store.discard(NAME, EARLIER)
        location = await put(self.store, NAME, LATER, DATA)
        await stale.abort()
        await self.assert_holds(location, DATA)

    @promise
    async def test_discarded_finalize(self) -> None:
        """A committed upload that was discarded may be finalized without harm."""
        stale = await write(self.store, NAME, EARLIER, b"stale")
        await stale.commit()
        await self.store.discard(NAME, EARLIER)
        location = await put(self.store, NAME, LATER, DATA)
        await stale.finalize()
        await self.assert_holds(location, DATA)

    @promise
    async def test_discarded_commit(self) -> None:
        """An upload that was discarded in the middle makes no object, with or without a successor."""
        first = await write(self.store, NAME, EARLIER, b"stale")
        await self.store.discard(NAME, EARLIER)
        await _outcome(first.write([b"more"]))
        with self.assertRaises(StoreError):
            await first.commit()
        await first.abort()
        await self.assert_unfinished()
        second = await write(self.store, NAME, "0000000001-bb", b"stale")
        await self.store.discard(NAME, "0000000001-bb")
        location = await put(self.store, NAME, LATER, DATA)
        with self.assertRaises(StoreError):
            await second.commit()
        await second.abort()
        await self.assert_holds(location, DATA)

    # --- reading

    @promise
    async def test_spans(self) -> None:
        """A span gives its bytes and no others."""
        location = await put(self.store, NAME, EARLIER, DATA)
        end = len(DATA)
        for start, stop in ((0, 1), (end - 1, end), (0, end), (4095, 4097), (70000, 270000), (5, 5), (end, end)):
            self.assertEqual(DATA[start:stop], await read(self.store, location, Span(start, stop - start)))

    @promise
    async def test_reader(self) -> None:
        """A reader knows its length, and is a push producer of its consumer until the last byte."""
        location = await put(self.store, NAME, EARLIER, DATA)
        reader = await self.store.reader(location, Span(1, 200000))
        self.assertEqual(200000, reader.length)
        consumer = Consumer()
        await reader.startProducing(consumer)
        self.assertEqual((1, True, None), (consumer.registrations, consumer.streaming, consumer.producer))
        reader.stopProducing()
        self.assert_memory_is_free()

    @promise
    async def test_pause(self) -> None:
        """A paused reader writes nothing until it is resumed."""
        location = await put(self.store, NAME, EARLIER, DATA)
        reader = await self.store.reader(location, Span(0, len(DATA)))
        consumer = Consumer(pausing=True)
        producing = reader.startProducing(consumer)
        await consumer.first_write
        self.assertTrue(0 < len(consumer.data) < len(DATA))
        self.assertFalse(producing.called)
        consumer.resume()
        await producing
        self.assertEqual(DATA, consumer.data)
        self.assertFalse(consumer.written_while_paused)
        reader.stopProducing()
        self.assert_memory_is_free()

    @promise
    async def test_stop(self) -> None:
        """A stopped reader writes no more, fails with CancelledError, and may be stopped again."""
        location = await put(self.store, NAME, EARLIER, DATA)
        reader = await self.store.reader(location, Span(0, len(DATA)))
        consumer = Consumer(pausing=True)
        producing = reader.startProducing(consumer)
        await consumer.first_write
        reader.stopProducing()
        with self.assertRaises(CancelledError):
            await producing
        reader.resumeProducing()
        reader.stopProducing()
        self.assertEqual(1, len(consumer.pieces))

    @promise
    async def test_cancel(self) -> None:
        """Cancelling the Deferred of startProducing stops the reader."""
        location = await put(self.store, NAME, EARLIER, DATA)
        reader = await self.store.reader(location, Span(0, len(DATA)))
        consumer = Consumer(pausing=True)
        producing = reader.startProducing(consumer)
        await consumer.first_write
        producing.cancel()
        with self.assertRaises(CancelledError):
            await producing
        self.assertEqual(1, len(consumer.pieces))

    @promise
    async def test_stop_before_start(self) -> None:
        """A reader that was stopped before it started writes nothing."""
        location = await put(self.store, NAME, EARLIER, DATA)
        reader = await self.store.reader(location, Span(0, len(DATA)))
        reader.stopProducing()
        consumer = Consumer()
        with self.assertRaises(CancelledError):
            await reader.startProducing(consumer)
        self.assertEqual((b"", 0), (consumer.data, consumer.registrations))

    @promise
    async def test_two_readers(self) -> None:
        """Two readers of one object do not disturb each other."""
        location = await put(self.store, NAME, EARLIER, DATA)
        first = await self.store.reader(location, Span(0, len(DATA)))
        consumer = Consumer(pausing=True)
        producing = first.startProducing(consumer)
        await consumer.first_write
        self.assertEqual(DATA[7:], await read(self.store, location, Span(7, len(DATA) - 7)))
        consumer.resume()
        await producing
        first.stopProducing()
        self.assertEqual(DATA, consumer.data)

    @promise
    async def test_short_object(self) -> None:
        """An object that ends before the span does is damaged."""
        location = await put(self.store, NAME, EARLIER, DATA)
        with self.assertRaises(ObjectDamaged):
            await self.store.reader(location, Span(len(DATA) - 1, 2))

    @promise
    async def test_object_of_another_size(self) -> None:
        """An object with another size than given is damaged too, whichever part is requested."""
        location = await put(self.store, NAME, EARLIER, DATA)
        for size in (len(DATA) - 1, len(DATA) + 1):
            for span in (Span(0, 1), Span(0, len(DATA) - 1)):
                with self.assertRaises(ObjectDamaged):
                    await self.store.reader(location, span, size)
        reader = await self.store.reader(location, Span(0, 1), len(DATA))
        reader.stopProducing()

    def assert_memory_is_free(self) -> None:
        """No byte of the budget is held."""
        budget = self.services.budget
        self.assertEqual((0, 0), (budget.held, budget.shares))

    # --- deletion

    @promise
    async def test_delete(self) -> None:
        """A deleted object is gone for every call, and its name may be written again."""
        location = await put(self.store, NAME, EARLIER, DATA)
        await self.store.delete(location)
        for call in (self.store.size, self.store.delete):
            with self.assertRaises(ObjectMissing):
                await call(location)
        with self.assertRaises(ObjectMissing):
            await self.store.reader(location, Span(0, 1))
        await self.assert_holds(await put(self.store, NAME, LATER, b"next"), b"next")


class StoreProperties(StoreContract):
    """Tests with generated bytes and splits, for stores that answer at once."""

    _settings = settings(
        derandomize=True,
        deadline=None,
        max_examples=40,
        suppress_health_check=[HealthCheck.differing_executors],
    )

    @_settings
    @given(st.lists(st.lists(st.integers(0, 70000), max_size=4), max_size=4), st.data())
    def test_any_pieces_any_span(self, writes: list[list[int]], data: st.DataObject) -> None:
        """Every span is returned, however the bytes were split when they were written."""
        content = (DATA * 4)[: sum(map(sum, writes))]
        start = data.draw(st.integers(0, len(content)))
        span = Span(start, data.draw(st.integers(0, len(content) - start)))

        async def check() -> None:
            writer = await self.store.writer(NAME, EARLIER, len(content))
            offset = 0
            for sizes in writes:
                pieces = []
                for size in sizes:
                    pieces.append(content[offset : offset + size])
                    offset += size
                await writer.write(pieces)
            location = await writer.commit()
            await writer.finalize()
            self.assertEqual(content, await read(self.store, location))
            self.assertEqual(content[span.start : span.stop], await read(self.store, location, span))
            await self.store.delete(location)

        result_of(check())


async def _outcome(call: Awaitable[Any]) -> None:
    """Wait for a call that may succeed or fail."""
    try:
        await call
    except (StoreError, CancelledError):
        return
