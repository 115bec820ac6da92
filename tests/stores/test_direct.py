"""Direct writes of a file store. Their effect shows only on file systems that have them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fcntl import F_GETFL, fcntl
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from imgsvc.interfaces import IStore
from imgsvc.page_cache import cached_pages
from imgsvc.store_model import Buffer, StoreSettings
from imgsvc.stores import direct
from imgsvc.stores.direct import UNIT, DirectWrites, fill, split
from imgsvc.stores.file import make
from imgsvc.stores.pieces import write_sparse
from imgsvc.stores.services import StoreServices
from tests.support.resume_contract import ResumeContract
from tests.support.store_contract import EARLIER, NAME, StoreProperties, put, read, result_of, store_services

SIZES = st.sampled_from([0, 1, 100, UNIT - 1, UNIT, UNIT + 1, 5 * UNIT, 17 * UNIT + 3])
PIECES = st.lists(st.builds(lambda size, value: bytes([value]) * size, SIZES, st.sampled_from([0, 7, 8])), max_size=8)
LARGE = 2 * direct.BUFFER


class DirectFileStoreTests(ResumeContract, StoreProperties, SynchronousTestCase):
    """The file store keeps the contract with direct writes of all whole units."""

    def make_store(self, services: StoreServices) -> IStore:
        self.patch(direct, "SMALLEST", UNIT)
        return make(StoreSettings("local"), {"direct_writes": True}, services)


class DirectWritesTests(SynchronousTestCase):
    """What is written."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.fd)
        self.writes = DirectWrites("local")

    def cached(self) -> int:
        """How many bytes of the file are in memory, once all of them are on the disk."""
        os.fsync(self.fd)
        pages = cached_pages(self.fd, 0, os.fstat(self.fd).st_size)
        if pages is None:
            raise SkipTest("the kernel does not tell what it has in memory")
        return pages * os.sysconf("SC_PAGESIZE")

    def need_direct_writes(self) -> None:
        """Skip the test if the file system has no direct writes."""
        self.writes.write(self.fd, 0, [b"a" * LARGE])
        if not self.writes.works or self.cached() >= LARGE:
            raise SkipTest("the file system keeps direct writes in memory, or has none")
        os.ftruncate(self.fd, 0)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(PIECES, st.integers(0, 2 * UNIT), st.booleans(), st.sampled_from([UNIT, 4 * UNIT]))
    def test_any_pieces(self, pieces: list[bytes], offset: int, sparse: bool, buffer: int) -> None:
        """All bytes are in their places, whatever the alignment."""
        self.patch(direct, "SMALLEST", UNIT)
        self.patch(direct, "BUFFER", buffer)
        writes = DirectWrites("local")
        content = b"".join(pieces)
        os.ftruncate(self.fd, 0)
        end = write_sparse(self.fd, offset, pieces, writes.write) if sparse else writes.write(self.fd, offset, pieces)
        os.ftruncate(self.fd, end)
        self.assertEqual(offset + len(content), end)
        self.assertEqual(bytes(offset) + content, self.path.read_bytes())

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(PIECES, st.integers(0, 20 * UNIT), st.integers(1, 3 * UNIT))
    def test_parts(self, pieces: Sequence[Buffer], at: int, room: int) -> None:
        """Splitting and filling lose no byte."""
        content = b"".join(pieces)
        before, after = split(pieces, at)
        self.assertEqual((b"".join(before), b"".join(after)), (content[:at], content[at:]))
        filled = [bytes(part) for part in fill(memoryview(bytearray(room)), pieces)]
        self.assertEqual(b"".join(filled), content)
        self.assertEqual({len(part) for part in filled[:-1]} - {room}, set())

    def test_past_the_cache(self) -> None:
        """Only the units at the ends of a write, which are not whole, come into memory."""
        self.need_direct_writes()
        end = self.writes.write(self.fd, 0, [b"abc"])
        end = self.writes.write(self.fd, end, [b"d" * LARGE, b"e" * LARGE])
        self.assertEqual(end, 2 * LARGE + 3)
        self.assertLessEqual(self.cached(), 2 * UNIT)
        self.assertEqual(self.path.read_bytes(), b"abc" + b"d" * LARGE + b"e" * LARGE)

    def test_small(self) -> None:
        """A few bytes go through the cache."""
        self.need_direct_writes()
        self.writes.write(self.fd, 0, [b"a" * (direct.SMALLEST - 1)])
        self.assertGreaterEqual(self.cached(), direct.SMALLEST - 1)

    def test_flags(self) -> None:
        """The descriptor is afterwards as it was before."""
        before = fcntl(self.fd, F_GETFL)
        self.writes.write(self.fd, 0, [b"a" * LARGE])
        self.assertEqual(fcntl(self.fd, F_GETFL), before)

    def test_refusal(self) -> None:
        """If the file system refuses, the bytes go through the cache, and so do all later ones."""
        self.need_direct_writes()
        flags = fcntl(self.fd, F_GETFL)
        self.patch(direct, "UNIT", 1)  # real disks refuse such units
        end = self.writes.write(self.fd, 1, [b"a" * LARGE])
        self.assertFalse(self.writes.works)
        self.assertEqual(fcntl(self.fd, F_GETFL), flags)
        self.patch(direct, "UNIT", UNIT)
        end = self.writes.write(self.fd, end, [b"b" * LARGE])
        self.assertGreaterEqual(self.cached(), 2 * LARGE)
        self.assertEqual(self.path.read_bytes(), bytes(1) + b"a" * LARGE + b"b" * LARGE)

    def test_late_refusal(self) -> None:
        """If the file system refuses after some units, the others go through the cache."""
        self.need_direct_writes()
        self.patch(direct, "UNIT", 1)
        self.writes.write(self.fd, 0, [b"a" * LARGE, b"b"])  # the last byte is no unit of the disk
        self.assertFalse(self.writes.works)
        self.assertEqual(self.path.read_bytes(), b"a" * LARGE + b"b")

    def test_errors(self) -> None:
        """Other errors are those of the write, and do not switch direct writes off."""
        reading = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, reading)
        with self.assertRaises(OSError):
            self.writes.write(reading, 0, [b"a" * LARGE])
        self.assertTrue(self.writes.works)


class OptionTests(SynchronousTestCase):
    """The options of a store decide."""

    def test_options(self) -> None:
        """Files are written directly if direct_writes and fsync are true."""
        for asked, fsync in ((True, True), (True, False), (False, True)):
            services = store_services(Path(self.mktemp()).absolute())
            store = make(StoreSettings("local"), {"direct_writes": asked, "fsync": fsync}, services)
            result_of(store.start())
            self.addCleanup(store.stop)
            writer = result_of(store.writer(NAME, EARLIER, None))
            owner = getattr(writer._options.write, "__self__", None)
            self.assertEqual(isinstance(owner, DirectWrites), asked and fsync)
            result_of(writer.abort())
            location = result_of(put(store, NAME, EARLIER, b"a" * LARGE + b"b"))
            self.assertEqual(result_of(read(store, location)), b"a" * LARGE + b"b")
