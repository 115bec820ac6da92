"""Resumed uploads of the file store, after their process has died or stopped."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ObjectExists, ObjectInUse, StoreFull, StoreUnavailable
from imgsvc.interfaces import IResumableStore
from imgsvc.store_model import StoreSettings
from imgsvc.stores.disk import LOCK_PATIENCE, LOCK_RETRY
from imgsvc.stores.file import make
from tests.stores.children import Child, in_child, limit_file_size, stop_at
from tests.support.store_contract import DATA, EARLIER, NAME, read, result_of, store_services, write


class OtherProcessTests(SynchronousTestCase):
    """The process that began an upload is another one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = Path(self.mktemp()).absolute()
        self.store = self.open_store()

    def open_store(self) -> IResumableStore:
        store = make(StoreSettings("local"), {}, store_services(self.folder, clock=self.clock))
        result_of(store.start())
        self.addCleanup(store.stop)
        return store

    def begin_and_stop(self) -> None:
        """In a child: write, and stop before the rest."""
        writer = result_of(write(self.open_store(), NAME, EARLIER, DATA))
        os.kill(os.getpid(), signal.SIGSTOP)
        result_of(writer.write([b"late"]))
        result_of(writer.commit())

    def begun(self) -> Child:
        child = Child(self.begin_and_stop)
        self.addCleanup(child.kill)
        self.assertTrue(child.is_stopped())
        return child

    def test_killed(self) -> None:
        """All that a killed process has written is there, and new data is appended."""
        self.begun().kill()
        writer = result_of(self.store.resume(NAME, EARLIER))
        self.assertEqual(len(DATA), writer.size)
        result_of(writer.write([b"more"]))
        location = result_of(writer.commit())
        result_of(writer.finalize())
        self.assertEqual(DATA + b"more", result_of(read(self.store, location)))

    def test_stopped(self) -> None:
        """A stopped process keeps its upload, because it may go on at any time."""
        child = self.begun()
        with self.assertRaises(ObjectInUse):
            result_of(self.store.resume(NAME, EARLIER))
        child.go_on()
        child.finish()
        self.assertEqual(DATA + b"late", (self.folder / "images" / NAME).read_bytes())

    def stop_in_commit(self, count: int) -> None:
        """In a child: stop at the `count`th point of a commit."""
        writer = result_of(write(self.open_store(), NAME, EARLIER, DATA))
        stop_at(count, str(self.folder))
        result_of(writer.commit())

    def test_stopped_in_commit(self) -> None:
        """A process that is stopped in a commit keeps its upload too, because nobody may change the object later."""
        refusals = []
        while True:
            child = Child(partial(self.stop_in_commit, len(refusals) + 1))
            self.addCleanup(child.kill)
            if not child.is_stopped():
                break
            resuming = self.store.resume(NAME, EARLIER)
            self.clock.pump([LOCK_RETRY] * round(LOCK_PATIENCE / LOCK_RETRY + 2))
            refusals.append(self.failureResultOf(resuming, ObjectInUse, StoreUnavailable, ObjectExists).type)
            child.go_on()
            child.finish()
            self.assertEqual(DATA, (self.folder / "images" / NAME).read_bytes())
            result_of(self.store.discard(NAME, EARLIER))
        child.finish()
        self.assertEqual(refusals[0], ObjectInUse)
        self.assertIn(StoreUnavailable, refusals)  # it has the lock of the name, too

    def test_died_again_and_again(self) -> None:
        """A dead process holds no lock. The next one goes on at once, again and again."""
        for round in range(3):
            in_child(partial(self.append, round))
        writer = result_of(self.store.resume(NAME, EARLIER))
        self.assertEqual(3, writer.size)
        result_of(writer.abort())

    def append(self, round: int) -> None:
        """In a child: write one more byte, and die with the file open."""
        store = self.open_store()
        writer = result_of(store.resume(NAME, EARLIER) if round else store.writer(NAME, EARLIER, None))
        result_of(writer.write([b"x"]))

    def test_full(self) -> None:
        """An upload whose last write failed cannot be suspended, and is aborted."""

        def fill() -> None:
            limit_file_size(1000)
            store = self.open_store()
            writer = result_of(store.writer(NAME, EARLIER, None))
            result_of(writer.write([bytes(900)]))
            result_of(writer.suspend())
            writer = result_of(store.resume(NAME, EARLIER))
            with self.assertRaises(StoreFull):
                result_of(writer.write([bytes(200)]))
            with self.assertRaises(StoreFull):
                result_of(writer.suspend())
            result_of(writer.abort())
            self.assertEqual([], result_of(store.unfinished()))

        in_child(fill)
