"""The file store with real threads and the real reactor."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import TestCase

from imgsvc.interfaces import IStore
from imgsvc.model import Span
from imgsvc.store_model import StoreSettings
from imgsvc.stores.file import make
from imgsvc.stores.services import StoreServices
from imgsvc.threads import ReactorThreads
from tests.support.resume_contract import ResumeContract
from tests.support.store_contract import DATA, EARLIER, NAME, Consumer, StoreContract, put, read, store_services

MIB = 1 << 20


class Threaded:
    """A file store with `threads` threads."""

    timeout = 60
    threads = 8

    def make_services(self) -> StoreServices:
        return store_services(
            Path(self.mktemp()).absolute(), lambda name, size: ReactorThreads(reactor, name, size), reactor
        )

    def make_store(self, services: StoreServices) -> IStore:
        return make(StoreSettings("local"), {"threads": self.threads}, services)

    def make_cold(self) -> None:
        """Make the kernel drop the bytes of the object."""
        fd = os.open(self.images / NAME, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    @property
    def images(self) -> Path:
        return self.services.data_folder / "images"


class ThreadedFileStoreTests(Threaded, ResumeContract, StoreContract, TestCase):
    """The file store keeps the contract in threads."""

    async def test_large_object(self) -> None:
        """An object that is flushed in the middle is written and read completely, also from the disk."""
        block = os.urandom(MIB)
        writer = await self.store.writer(NAME, EARLIER, None)
        for _ in range(140):
            await writer.write([block[: MIB // 2], block[MIB // 2 :]])
        location = await writer.commit()
        await writer.finalize()
        self.assertEqual(140 * MIB, await self.store.size(location))
        self.make_cold()
        self.assertEqual(block[-5:] + block + block[:5], await read(self.store, location, Span(MIB - 5, MIB + 10)))

    async def test_many_at_once(self) -> None:
        """Concurrent uploads and downloads, more of them than threads, do not mix."""

        async def round_trip(number: int) -> None:
            content = bytes([number]) * number + DATA
            location = await put(self.store, f"object-{number}", EARLIER, content)
            self.assertEqual(content, await read(self.store, location))

        await gatherResults([Deferred.fromCoroutine(round_trip(number)) for number in range(30)], consumeErrors=True)
        self.assert_memory_is_free()

    async def test_abort_beside_write(self) -> None:
        """An abort during a write waits for it, and then leaves nothing."""
        writer = await self.store.writer(NAME, EARLIER, None)
        writing = writer.write([bytes(8 * MIB)])
        await writer.abort()
        self.assertTrue(writing.called)
        await writing
        self.assertEqual([".imgsvc-lock"], os.listdir(self.images))


class OneThreadTests(Threaded, StoreContract, TestCase):
    """The file store keeps the contract with one thread, which makes calls in their order."""

    threads = 1

    async def rest(self) -> None:
        """Wait until all running calls have ended. In each round trip each of them makes a step."""
        for _ in range(10):
            await self.store.usage()

    async def test_abandoned_calls(self) -> None:
        """A cancelled wait for a writer or a reader leaves nothing open, and nothing on the disk."""
        location = await put(self.store, NAME, EARLIER, DATA)
        self.store._disk.local = False  # so that opening takes a thread
        before = set(os.listdir("/proc/self/fd"))
        for opening in (self.store.writer("given-up", "1", None), self.store.reader(location, Span(0, 1))):
            opening.cancel()
            with self.assertRaises(CancelledError):
                await opening
        await self.rest()
        self.assertLessEqual(set(os.listdir("/proc/self/fd")), before)
        self.assertEqual([], await self.store.unfinished())

    async def test_stop_while_reading(self) -> None:
        """A reader that is stopped while threads read keeps its file open for them, and no longer."""
        location = await put(self.store, NAME, EARLIER, DATA)
        before = set(os.listdir("/proc/self/fd"))
        self.make_cold()
        reader = await self.store.reader(location, Span(0, len(DATA)))
        producing = reader.startProducing(Consumer())
        loading = reader.load(0, len(DATA))
        reader.stopProducing()
        os.fstat(reader.fd)
        with self.assertRaises(CancelledError):
            await producing
        await loading
        with self.assertRaises(CancelledError):
            await reader.load(0, 1)
        await self.rest()
        self.assertLessEqual(set(os.listdir("/proc/self/fd")), before)
        self.assert_memory_is_free()
