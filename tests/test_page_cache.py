"""What the kernel has in memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imgsvc import page_cache
from tests.stores.children import become_nobody, in_child, mount_disk, mount_tmpfs, own_mounts

SIZE = 1 << 20


class PageCacheTests(SynchronousTestCase):
    """A file on the disk, in the page cache and out of it."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.content = os.urandom(SIZE)
        self.path.write_bytes(self.content)
        self.fd = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def make_cold(self) -> None:
        """Make the kernel drop the bytes of the file."""
        os.fsync(self.fd)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def test_open_cached(self) -> None:
        """A file whose name is in memory is opened for reading, and not inherited."""
        fd = page_cache.open_cached(str(self.path))
        assert fd is not None
        self.addCleanup(os.close, fd)
        self.assertEqual(self.content[:10], os.read(fd, 10))
        self.assertFalse(os.get_inheritable(fd))

    def test_open_nothing(self) -> None:
        """A missing file, or one without permission, is not opened."""
        self.assertIsNone(page_cache.open_cached(f"{self.path}.not"))

        def check() -> None:
            self.path.chmod(0)
            become_nobody()
            assert page_cache.open_cached(str(self.path)) is None

        in_child(check)

    def test_open_cold(self) -> None:
        """A name that must be read from the disk is not opened until it was looked up by another call."""

        def check() -> None:
            own_mounts()
            folder = Path("mounted").absolute()
            source = Path("source").absolute()
            source.mkdir()
            (source / "file").write_bytes(b"content")
            mount_disk(folder, source)
            assert page_cache.open_cached(f"{folder}/file") is None
            fd = os.open(folder / "file", os.O_RDONLY)
            assert not page_cache.resident(fd, 0, 7)
            assert page_cache.open_cached(f"{folder}/file") is not None

        in_child(check)

    def test_resident(self) -> None:
        """Bytes are in memory page by page after they were read, and not after the kernel dropped them."""
        self.check(page_cache.resident)

    def test_in_core(self) -> None:
        """A kernel without the quicker call gives the same answer."""
        self.check(page_cache.in_core)

    def check(self, resident: Callable[[int, int, int], bool]) -> None:
        """Check the answers of both calls."""
        self.assertTrue(resident(self.fd, 0, SIZE))
        self.assertTrue(resident(self.fd, 12345, 1))
        self.assertFalse(resident(self.fd, 0, SIZE + 4096), "what is not in the file")
        self.make_cold()
        self.assertFalse(resident(self.fd, 0, SIZE))
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(self.fd, 10, 8192)
        self.assertTrue(resident(self.fd, 8192, 4096))
        self.assertTrue(resident(self.fd, 8200, 1))
        self.assertFalse(resident(self.fd, 8191, 2))
        self.assertFalse(resident(self.fd, 8192, 4097))

    def test_resident_nothing(self) -> None:
        """No bytes are always in memory."""
        self.make_cold()
        self.assertTrue(page_cache.resident(self.fd, 12345, 0))

    def test_cached_pages(self) -> None:
        """Pages are counted while they are loaded."""
        self.assertEqual(SIZE // mmap.PAGESIZE, page_cache.cached_pages(self.fd, 0, SIZE))
        self.make_cold()
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(self.fd, 10, mmap.PAGESIZE)
        self.assertEqual(1, page_cache.cached_pages(self.fd, 0, SIZE))
        self.assertIsNone(page_cache.cached_pages(-1, 0, SIZE))

    def test_resident_of_others(self) -> None:
        """The kernel does not tell about files of other users, and then nothing counts as in memory."""

        def check() -> None:
            become_nobody()
            assert not page_cache.resident(self.fd, 0, 4096)
            assert not page_cache.in_core(self.fd, 0, 4096)

        in_child(check)

    def test_resident_bad_descriptor(self) -> None:
        """A descriptor that cannot be mapped does not count as in memory."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, folder)
        self.assertFalse(page_cache.resident(folder, 0, 1))

    def test_read_cached(self) -> None:
        """Bytes in memory are read. If some are not in memory, none is read."""
        self.assertEqual(self.content[100:70000], page_cache.read_cached(self.fd, 100, 69900))
        self.assertIsNone(page_cache.read_cached(self.fd, SIZE - 1, 2))
        self.make_cold()
        self.assertIsNone(page_cache.read_cached(self.fd, 0, 100))

    def test_read_cached_elsewhere(self) -> None:
        """A file system that cannot tell whether a read would wait is not read."""

        def check() -> None:
            own_mounts()
            folder = Path("mounted").absolute()
            mount_tmpfs(folder, "size=1m")
            (folder / "file").write_bytes(b"content")
            fd = os.open(folder / "file", os.O_RDONLY)
            assert page_cache.read_cached(fd, 0, 7) is None
            assert page_cache.resident(fd, 0, 7)

        in_child(check)

    def test_is_local(self) -> None:
        """Disks of this machine are local. File systems of a process or another machine are not."""
        self.assertTrue(page_cache.is_local(str(self.path)))
        self.assertFalse(page_cache.is_local("/proc"))
