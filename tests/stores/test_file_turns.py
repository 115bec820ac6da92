"""The order of concurrent calls of the file store, with threads that a test controls."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imgsvc.errors import StoreError
from imgsvc.interfaces import IThreads
from imgsvc.model import Span
from imgsvc.store_model import StoreSettings
from imgsvc.stores.file import make
from imgsvc.stores.file_writer import FLUSH_EVERY
from tests.support.store_contract import DATA, EARLIER, NAME, put, result_of, store_services, write
from tests.support.threads import ImmediateThreads


@implementer(IThreads)
class SlowThreads(ImmediateThreads):
    """Makes calls at once, or, while it is busy, when the test says so."""

    def __init__(self) -> None:
        self.busy = False
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if not self.busy:
            return super().run(function, *arguments)
        self.waiting.append((Deferred(), function, arguments))
        return self.waiting[-1][0]

    def go_on(self) -> None:
        """Make all waiting calls, whether or not somebody waits for them."""
        self.busy = False
        while self.waiting:
            answer, function, arguments = self.waiting.pop(0)
            super().run(function, *arguments).chainDeferred(answer)


class TurnsTests(SynchronousTestCase):
    """Calls that come while others are running."""

    def setUp(self) -> None:
        self.pools: dict[str, SlowThreads] = {}

        def make_threads(name: str, size: int) -> SlowThreads:
            self.pools[name] = SlowThreads()
            return self.pools[name]

        self.folder = Path(self.mktemp()).absolute()
        self.store = make(StoreSettings("local"), {}, store_services(self.folder, make_threads))
        result_of(self.store.start())
        self.addCleanup(self.store.stop)
        self.threads, self.flushers = self.pools["local-files"], self.pools["local-flush"]

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder / "images"))

    def test_abort_waits_for_write(self) -> None:
        """An abort waits for the running write, also if that was cancelled."""
        writer = result_of(self.store.writer(NAME, EARLIER, None))
        self.threads.busy = True
        writing = writer.write([DATA])
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        aborting = writer.abort()
        self.assertEqual(1, len(self.threads.waiting))
        self.threads.go_on()
        self.successResultOf(aborting)
        self.assertEqual([".imgsvc-lock"], self.names())

    def test_abort_ends_commit(self) -> None:
        """A commit that was overtaken by an abort does not publish the object."""
        writer = result_of(write(self.store, NAME, EARLIER, DATA))
        self.threads.busy = True
        committing = writer.commit()
        aborting = writer.abort()
        self.threads.go_on()
        self.failureResultOf(committing, StoreError)
        self.successResultOf(aborting)
        self.assertEqual([".imgsvc-lock"], self.names())

    def _flushing_writer(self) -> Any:
        """A writer with a running flush."""
        self.flushers.busy = True
        writer = result_of(self.store.writer(NAME, EARLIER, None))
        self.successResultOf(writer.write([bytes(FLUSH_EVERY)]))
        self.successResultOf(writer.write([b"more"]))
        return writer

    def test_commit_waits_for_flush(self) -> None:
        """Writes do not wait for a running flush. The commit does, because the flush uses its descriptor."""
        committing = self._flushing_writer().commit()
        self.assertNoResult(committing)
        self.flushers.go_on()
        self.assertEqual(FLUSH_EVERY + 4, result_of(self.store.size(self.successResultOf(committing))))

    def test_abort_waits_for_flush(self) -> None:
        """The abort waits for a flush, which uses its descriptor."""
        aborting = self._flushing_writer().abort()
        self.assertNoResult(aborting)
        self.flushers.go_on()
        self.successResultOf(aborting)
        self.assertEqual([".imgsvc-lock"], self.names())

    def test_cancelled_load(self) -> None:
        """The file of a stopped reader stays open for a thread that uses it, though nobody waits for that."""
        reader = result_of(self.store.reader(result_of(put(self.store, NAME, EARLIER, DATA)), Span(0, len(DATA))))
        self.threads.busy = True
        loading = reader.load(0, len(DATA))
        loading.cancel()
        self.failureResultOf(loading, CancelledError)
        reader.stopProducing()
        os.fstat(reader.fd)
        self.threads.go_on()
        with self.assertRaises(OSError):
            os.fstat(reader.fd)
