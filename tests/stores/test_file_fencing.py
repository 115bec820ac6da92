"""The file store when processes are stopped or killed at any point of an upload, and others go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import StoreError, StoreUnavailable
from imgsvc.interfaces import IStore
from imgsvc.store_model import StoreSettings
from imgsvc.stores.disk import LOCK_PATIENCE, LOCK_RETRY
from imgsvc.stores.file import make
from tests.stores.children import Child, stop_at
from tests.support.store_contract import DATA, EARLIER, LATER, NAME, put, read, result_of, store_services, write

FEWEST_POINTS = 10
"""The least number of system calls on names in an upload: file, lock, link, and those of its undo."""


class FencingTests(SynchronousTestCase):
    """An upload that has lost its lease, and its successor, in two processes.

    Each test goes through every point at which the first process may be stopped.
    """

    def new_folder(self) -> None:
        self.clock = Clock()
        self.folder = Path(self.mktemp()).absolute()
        self.store = self.open_store()

    def open_store(self) -> IStore:
        store = make(StoreSettings("local"), {}, store_services(self.folder, clock=self.clock))
        result_of(store.start())
        self.addCleanup(store.stop)
        return store

    def patiently(self, call: Deferred[None]) -> None:
        """The result of a call, which is repeated while another process holds the lock."""
        for _ in range(round(LOCK_PATIENCE / LOCK_RETRY) + 2):
            if not call.called:
                self.clock.advance(LOCK_RETRY)
        result_of(call)

    def stale_upload(self, count: int) -> None:
        """In a child: an upload that stops at the `count`th point, and learns after it that its lease is lost."""
        store = self.open_store()
        stop_at(count, str(self.folder))
        with contextlib.suppress(StoreError):
            writer = result_of(write(store, NAME, EARLIER, b"stale"))
            try:
                result_of(writer.commit())
            finally:
                result_of(writer.abort())

    def at_every_point(self, check: Callable[[Child], None]) -> None:
        """Call `check` with a child that is stopped at each point of an upload and its undo, in turn."""
        count = 0
        while True:
            count += 1
            self.new_folder()
            child = Child(partial(self.stale_upload, count))
            self.addCleanup(child.kill)
            if not child.is_stopped():
                child.finish()
                break
            check(child)
            self.assertEqual(DATA, (self.folder / "images" / NAME).read_bytes(), f"point {count}")
            self.assertEqual([], result_of(self.store.unfinished()), f"point {count}")
        self.assertGreater(count, FEWEST_POINTS)

    def succeed(self) -> None:
        """The whole upload of the successor."""
        location = result_of(put(self.store, NAME, LATER, DATA))
        self.assertEqual(DATA, result_of(read(self.store, location)))

    def test_stopped_and_discarded(self) -> None:
        """A stopped upload is discarded, its successor finalizes, and it goes on. The successor's object stays.

        If it was stopped while it held the lock, the discard gives up after a while, and there is no successor before
        it goes on.
        """
        busy = []

        def check(child: Child) -> None:
            try:
                self.patiently(self.store.discard(NAME, EARLIER))
            except StoreUnavailable:
                busy.append(child)
                child.go_on()
                child.finish()
                self.succeed()
            else:
                self.succeed()
                child.go_on()
                child.finish()

        self.at_every_point(check)
        self.assertTrue(0 < len(busy) < FEWEST_POINTS)

    def test_stopped_before_successor_finalizes(self) -> None:
        """A stopped upload goes on after its successor has committed, but not finalized. The object stays."""

        def check(child: Child) -> None:
            writer = result_of(write(self.store, NAME, LATER, DATA))
            try:
                self.patiently(writer.commit())
            except StoreUnavailable:  # it was stopped while it held the lock
                child.go_on()
                child.finish()
                result_of(writer.abort())
                result_of(put(self.store, NAME, "0000000003-aa", DATA))
            else:
                child.go_on()
                child.finish()
                result_of(writer.finalize())

        self.at_every_point(check)

    def test_killed_without_discard(self) -> None:
        """The object and the lock of a killed upload do not block its successor."""

        def check(child: Child) -> None:
            child.kill()
            self.succeed()
            result_of(self.store.discard(NAME, EARLIER))

        self.at_every_point(check)

    def test_killed_and_discarded(self) -> None:
        """The remains of a killed upload can be discarded by its name, at whatever point it died."""

        def check(child: Child) -> None:
            child.kill()
            result_of(self.store.discard(NAME, EARLIER))
            self.assertEqual([".imgsvc-lock"], [path.name for path in (self.folder / "images").iterdir()])
            self.succeed()

        self.at_every_point(check)
