"""Copies from store to store, by the kernel and through this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import BodyCut, ObjectDamaged, ObjectMissing, StoreFull, StoreUnavailable
from imgsvc.interfaces import ICopyingWriter, IStore
from imgsvc.model import Location, Span
from imgsvc.pipeline.copying import Copy
from imgsvc.store_model import StoreSettings
from imgsvc.stores import file, file_writer, memory
from imgsvc.stores.file_writer import MOST_COPIED
from tests.stores.children import in_child, limit_file_size, mount_tmpfs, own_mounts
from tests.support.faults import FaultyStore
from tests.support.store_contract import DATA, EARLIER, LATER, NAME, put, read, result_of, store_services

MIB = 1 << 20


class CopyTestCase(SynchronousTestCase):
    """Two stores in folders of one file system, and two in memory."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.services = store_services(self.folder)
        self.near, self.far = (self.store(file.make, name, path=name) for name in ("near", "far"))
        self.thin = self.store(file.make, "thin", path="thin", thin_provisioning=True)
        self.memory = self.store(memory.make, "memory")
        self.small = self.store(memory.make, "small", capacity=1000)

    def store(self, make: Callable[..., IStore], name: str, **options: object) -> IStore:
        store = make(StoreSettings(name), options, self.services)
        result_of(store.start())
        self.addCleanup(store.stop)
        return store

    def copy(self, source: IStore, target: IStore, data: bytes = DATA) -> Copy:
        """A complete copy that is committed and finalized."""
        location = result_of(put(source, NAME, EARLIER, data))
        writer = result_of(target.writer(NAME, LATER, len(data)))
        copy = Copy(source, location, len(data), writer, self.services.budget)
        result_of(copy.run())
        self.assertEqual(len(data), copy.moved)
        copied = result_of(writer.commit())
        result_of(writer.finalize())
        self.assertEqual(data, result_of(read(target, copied)))
        self.assertEqual(data, result_of(read(source, location)))
        self.assert_memory_is_free()
        return copy

    def assert_memory_is_free(self) -> None:
        """No byte of the budget is held."""
        self.assertEqual((0, 0), (self.services.budget.held, self.services.budget.shares))


class KernelTests(CopyTestCase):
    """Copies from file to file."""

    def test_interface(self) -> None:
        """Writers of files provide the interface."""
        writer = result_of(self.near.writer(NAME, EARLIER, None))
        verifyObject(ICopyingWriter, writer)
        result_of(writer.abort())

    def test_nothing_passes(self) -> None:
        """This process does not read the bytes."""
        for data in (DATA, b"", b"x"):
            self.assertEqual(0, self.copy(self.near, self.far, data).passed)
            for store in (self.near, self.far):
                result_of(store.delete(Location(store.store_id, f"file:///{NAME}")))

    def test_parts(self) -> None:
        """A writer copies a limited part of any span at a time, after what it already has."""
        path = self.folder / "near" / NAME
        size = MOST_COPIED + 5000
        with open(path, "wb") as large:
            large.truncate(size)
            os.pwrite(large.fileno(), DATA[:6000], MOST_COPIED - 1000)
        writer = result_of(self.far.writer(NAME, LATER, None))
        result_of(writer.write([b"begin"]))
        location = Location("near", f"file://{path}")
        self.assertEqual(MOST_COPIED, result_of(writer.copy(self.near, location, Span(10, size - 10))))
        rest = Span(10 + MOST_COPIED, size - 10 - MOST_COPIED)
        self.assertEqual(rest.length, result_of(writer.copy(self.near, location, rest)))
        result_of(writer.write([b"end"]))
        self.assertEqual(size - 10 + 8, writer.size)
        copied = result_of(writer.commit())
        expected = b"begin" + path.read_bytes()[10:] + b"end"
        self.assertEqual(expected, (self.folder / "far" / copied.url.rpartition("/")[2]).read_bytes())

    def test_holes(self) -> None:
        """A store that leaves holes copies holes: at the beginning, in the middle, at the end, and nothing else."""
        path = self.folder / "near" / NAME
        for runs in ((), (0,), (MIB,), (0, 2 * MIB), (MIB, 5 * MIB), (7 * MIB,)):
            with open(path, "wb") as source:
                source.truncate(8 * MIB)
                for start in runs:
                    os.pwrite(source.fileno(), DATA[: 256 << 10], start)
            writer = result_of(self.thin.writer(NAME, LATER, None))
            copy = Copy(self.near, Location("near", f"file://{path}"), 8 * MIB, writer, self.services.budget)
            result_of(copy.run())
            location = result_of(writer.commit())
            result_of(writer.finalize())
            copied = self.folder / "thin" / NAME
            self.assertEqual(path.read_bytes(), copied.read_bytes())
            self.assertLessEqual(copied.stat().st_blocks * 512, len(runs) * MIB)
            self.assertEqual(0, copy.passed)
            result_of(self.thin.delete(location))

    def test_missing(self) -> None:
        """An object that is missing, or ends early, fails the copy. The writer can be aborted."""
        location = result_of(put(self.near, NAME, EARLIER, DATA))
        writer = result_of(self.far.writer(NAME, LATER, None))
        copy = Copy(self.near, location, len(DATA) + 1, writer, self.services.budget)
        self.assertRaises(ObjectDamaged, result_of, copy.run())
        result_of(self.near.delete(location))
        copy = Copy(self.near, location, len(DATA), writer, self.services.budget)
        self.assertRaises(ObjectMissing, result_of, copy.run())
        result_of(writer.abort())
        self.assertEqual([], result_of(self.far.unfinished()))
        self.assert_memory_is_free()

    def test_full(self) -> None:
        """A file that reaches its size limit refuses the rest, and its writer cannot go on."""
        location = result_of(put(self.near, NAME, EARLIER, DATA))

        def fill() -> None:
            limit_file_size(1000)
            writer = result_of(self.far.writer(NAME, LATER, None))
            copy = Copy(self.near, location, len(DATA), writer, self.services.budget)
            self.assertRaises(StoreFull, result_of, copy.run())
            self.assertRaises(StoreFull, result_of, writer.commit())
            result_of(writer.abort())
            self.assertEqual([], result_of(self.far.unfinished()))

        in_child(fill)


class PassedTests(CopyTestCase):
    """Copies through this process, if nothing else is possible."""

    def test_any_stores(self) -> None:
        """Into memory and out of it. A writer of files refuses to copy, and takes the bytes."""
        for source, target in ((self.near, self.memory), (self.memory, self.far)):
            self.assertEqual(len(DATA), self.copy(source, target).passed)
            for store, scheme in ((source, "x"), (target, "y")):
                url = f"memory:///{NAME}" if store is self.memory else f"file:///{scheme}/{NAME}"
                result_of(store.delete(Location(store.store_id, url)))

    def test_full(self) -> None:
        """A store that is full fails the copy."""
        location = result_of(put(self.near, NAME, EARLIER, DATA))
        writer = result_of(self.small.writer(NAME, LATER, None))
        self.assertRaises(
            StoreFull, result_of, Copy(self.near, location, len(DATA), writer, self.services.budget).run()
        )
        self.assert_memory_is_free()

    def test_other_file_system(self) -> None:
        """Between two kinds of file systems the kernel copies or refuses. The bytes arrive in both cases."""

        def mount_and_copy() -> None:
            own_mounts()
            mount_tmpfs(self.folder / "mount", "size=8m")
            copy = self.copy(self.near, self.store(file.make, "mount", path="mount"))
            self.assertIn(copy.passed, (0, len(DATA)))

        in_child(mount_and_copy)


class StopTests(CopyTestCase):
    """Copies that are cancelled."""

    def start(self, source: IStore, target: IStore) -> tuple[Copy, Deferred[None]]:
        location = result_of(put(self.near, NAME, EARLIER, DATA))
        writer = result_of(target.writer(NAME, LATER, None))
        copy = Copy(source, location, len(DATA), writer, self.services.budget)
        return copy, Deferred.fromCoroutine(copy.run())

    def test_while_it_reads(self) -> None:
        """A cancelled copy ends when the store has answered, and reads no more."""
        source, target = FaultyStore(self.near), FaultyStore(self.memory)
        source.hang("reader")
        copy, running = self.start(source, target)
        copy.stop(BodyCut("No more."))
        self.assertNoResult(running)
        source.heal()
        self.failureResultOf(running, BodyCut)
        self.assertNotIn("write", target.calls)
        self.assert_memory_is_free()

    def test_while_it_writes(self) -> None:
        """A cancelled copy ends when the write is done."""
        target = FaultyStore(self.memory)
        target.hang("write")
        copy, running = self.start(self.near, target)
        copy.stop(BodyCut("No more."))
        self.assertNoResult(running)
        target.heal()
        self.failureResultOf(running, BodyCut)
        self.assertEqual(1, target.calls.count("write"))
        self.assert_memory_is_free()

    def test_between_parts(self) -> None:
        """The kernel copies no further part."""
        source = FaultyStore(self.near)
        source.hang("reader")
        self.patch(file_writer, "MOST_COPIED", 1000)
        copy, running = self.start(source, self.far)
        copy.stop(BodyCut("No more."))
        source.heal()
        self.failureResultOf(running, BodyCut)
        self.assertEqual((1, 1000), (source.calls.count("reader"), copy.moved))
        self.assert_memory_is_free()

    def test_source_fails(self) -> None:
        """A source that does not answer fails the copy, also a copy by the kernel."""
        for target in (self.memory, self.far):
            source = FaultyStore(self.near)
            source.fail("reader", StoreUnavailable("near", "does not answer."))
            writer = result_of(target.writer(NAME, LATER, None))
            copy = Copy(source, Location("near", f"file:///{NAME}"), 10, writer, self.services.budget)
            self.assertRaises(StoreUnavailable, result_of, copy.run())
            result_of(writer.abort())
            self.assertEqual([], result_of(target.unfinished()))
