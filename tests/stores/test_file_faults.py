"""The file store on real media that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from textwrap import dedent

from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ConfigurationError, StoreForbidden, StoreFull, StoreWriteDenied
from imgsvc.interfaces import IStore
from imgsvc.model import Span
from imgsvc.store_model import StoreSettings
from imgsvc.stores.file import make
from tests.stores.children import become_nobody, in_child, limit_file_size, mount_tmpfs, own_mounts, remount
from tests.support.store_contract import DATA, EARLIER, LATER, NAME, put, read, result_of, store_services, write

MIB = 1 << 20


class FaultTests(SynchronousTestCase):
    """Every fault raises its own error, and leaves nothing behind."""

    def setUp(self) -> None:
        # Not below the folder of the tests, which other users may not be able to enter.
        self.folder = Path(mkdtemp())
        self.addCleanup(FilePath(str(self.folder)).remove)
        self.folder.chmod(0o777)
        self.images = self.folder / "images"

    def start(self, **options: object) -> IStore:
        store = make(StoreSettings("local"), options, store_services(self.folder))
        result_of(store.start())
        return store

    def names(self) -> set[str]:
        return set(os.listdir(self.images)) - {".imgsvc-lock"}

    def assert_fails(self, store: IStore, error: type[Exception], size: int) -> None:
        """An upload of `size` bytes fails with `error`, and leaves nothing after it is aborted."""
        before = self.names()
        block = os.urandom(MIB)
        writer = result_of(store.writer(NAME, EARLIER, None))
        with self.assertRaises(error):
            for _ in range(0, size, MIB):
                result_of(writer.write([block]))
            result_of(writer.commit())
        with self.assertRaises(error):
            result_of(writer.commit())
        result_of(writer.abort())
        self.assertEqual(before, self.names())

    def test_medium_full(self) -> None:
        """A medium that becomes full in the middle is full, and has its space again after the abort."""

        def check() -> None:
            own_mounts()
            mount_tmpfs(self.images, "size=8m")
            store = self.start()
            free = result_of(store.usage()).free
            self.assert_fails(store, StoreFull, 9 * MIB)
            self.assertEqual(free, result_of(store.usage()).free)
            with self.assertRaises(StoreFull):
                result_of(store.writer(NAME, LATER, 9 * MIB))
            location = result_of(put(store, NAME, LATER, DATA))
            self.assertEqual(DATA, result_of(read(store, location)))

        in_child(check)

    def test_no_inode_left(self) -> None:
        """A medium without inodes is full."""

        def check() -> None:
            own_mounts()
            mount_tmpfs(self.images, "size=8m,nr_inodes=4")
            store = self.start()
            writer = result_of(write(store, NAME, EARLIER, DATA))
            (self.images / "another").touch()
            with self.assertRaises(StoreFull):
                result_of(store.writer(NAME, LATER, None))
            with self.assertRaises(StoreFull):  # the link to the final name takes an inode of a tmpfs
                result_of(writer.commit())
            result_of(writer.abort())
            self.assertEqual({"another"}, self.names())

        in_child(check)

    def test_read_only_medium(self) -> None:
        """A medium that became read-only refuses uploads and deletions, and can still be read."""

        def check() -> None:
            own_mounts()
            mount_tmpfs(self.images, "size=8m")
            store = self.start()
            location = result_of(put(store, "kept", EARLIER, DATA))
            committed = result_of(write(store, "committed", EARLIER, DATA))
            result_of(committed.commit())
            remount(self.images, "ro")
            with self.assertRaises(StoreWriteDenied):
                result_of(store.writer(NAME, EARLIER, None))
            with self.assertRaises(StoreForbidden):
                result_of(store.delete(location))
            with self.assertRaises(StoreForbidden):
                result_of(store.discard("committed", EARLIER))
            with self.assertRaises(StoreForbidden):
                result_of(committed.abort())
            with self.assertRaises(StoreWriteDenied):
                result_of(committed.finalize())
            self.assertEqual(DATA, result_of(read(store, location)))
            with self.assertRaisesRegex(ConfigurationError, r"stores\.local\.path = 'images': .*Read-only"):
                self.start()
            remount(self.images, "rw")
            result_of(committed.abort())
            self.assertEqual({"kept"}, self.names())

        in_child(check)

    def test_file_too_large(self) -> None:
        """A file that exceeds the limit of its file system counts as a full medium."""

        def check() -> None:
            store = self.start()
            limit_file_size(3 * MIB)
            self.assert_fails(store, StoreFull, 4 * MIB)

        in_child(check)

    def test_permission_denied(self) -> None:
        """A folder without permission to write refuses uploads and deletions, and can still be read."""

        def check() -> None:
            become_nobody()
            store = self.start()
            location = result_of(put(store, NAME, EARLIER, DATA))
            writer = result_of(write(store, NAME, LATER, DATA))
            self.images.chmod(0o555)
            with self.assertRaises(StoreWriteDenied):
                result_of(store.writer(NAME, "3", None))
            with self.assertRaises(StoreForbidden):
                result_of(store.delete(location))
            with self.assertRaises(StoreForbidden):
                result_of(writer.abort())
            self.assertEqual(DATA, result_of(read(store, location)))
            with self.assertRaisesRegex(ConfigurationError, r"stores\.local\.path = 'images': .*Permission denied"):
                self.start()
            self.images.chmod(0o755)
            result_of(writer.abort())
            self.assertEqual({NAME}, self.names())

        in_child(check)

    def test_unreadable_object(self) -> None:
        """An object without permission to read is not missing."""

        def check() -> None:
            become_nobody()
            store = self.start(file_perm="0200")
            location = result_of(put(store, NAME, EARLIER, DATA))
            with self.assertRaisesRegex(Exception, "EACCES") as caught:
                result_of(store.reader(location, Span(0, 1)))
            self.assertEqual("StoreUnavailable", type(caught.exception).__name__)

        in_child(check)


class InjectedFaultTests(SynchronousTestCase):
    """Errors of single system calls, injected by strace."""

    _script = dedent(
        """
        import os, sys
        from pathlib import Path
        from imgsvc.errors import StoreError
        from imgsvc.store_model import StoreSettings
        from imgsvc.stores.file import make
        from tests.support.store_contract import result_of, store_services
        folder, mebibytes, options = Path(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
        store = make(StoreSettings("local"), options, store_services(folder))
        result_of(store.start())
        writer = result_of(store.writer("image", "1", None))
        block = os.urandom(1 << 20)
        try:
            for _ in range(mebibytes):
                result_of(writer.write([block]))
            location = result_of(writer.commit())
        except StoreError as error:
            print(type(error).__name__, error)
        else:
            content = (folder / "images" / "image").read_bytes()
            print(content == bytes(4096) + (block * mebibytes)[4096:])
        result_of(writer.abort())
        """
    )

    def outcome(self, injection: str, mebibytes: int = 2, **options: object) -> str:
        """The outcome of an upload whose file has the injected fault. Nothing of it may be left."""
        folder = Path(self.mktemp()).absolute()
        part = folder / "images" / ".image.1.part"
        images = folder / "images"
        marking = make(StoreSettings("local"), {}, store_services(folder))  # so that the child finds a marked folder
        result_of(marking.start())
        result_of(marking.stop())
        traced = ["strace", "-f", "-qq", "-o", str(folder) + ".trace", "-P", str(part), "-P", str(images)]
        child = [sys.executable, "-W", "ignore", "-c", self._script, str(folder), str(mebibytes), repr(options)]
        ran = subprocess.run(
            [*traced, "-e", f"inject={injection}", *child], capture_output=True, text=True, env=_environment()
        )
        self.assertEqual(0, ran.returncode, ran.stderr)
        self.assertIn("INJECTED", Path(str(folder) + ".trace").read_text())
        self.assertEqual([".imgsvc-lock"], os.listdir(images))
        return ran.stdout

    def test_write(self) -> None:
        """An error of a write raises its own error."""
        for error, expected in (("EIO", "StoreUnavailable"), ("EDQUOT", "StoreFull"), ("EROFS", "StoreWriteDenied")):
            outcome = self.outcome(f"pwritev,pwritev2:error={error}:when=2")
            self.assertEqual(f"{expected} Store local: cannot write the object: {error}.\n", outcome)

    def test_short_write(self) -> None:
        """The rest of a short write is written by the next one, in its place."""
        # The kernel writes nothing here and reports 4096 bytes, which become a hole.
        self.assertEqual("True\n", self.outcome("pwritev,pwritev2:retval=4096:when=1"))

    def test_sync(self) -> None:
        """An error of the last flush, of the file or of the folder, fails the commit."""
        # The first fsync is that of the folder at the start.
        for when, error, expected in (
            (2, "EIO", "StoreUnavailable Store local: cannot finish"),
            (2, "ENOSPC", "StoreFull Store local: cannot finish"),
            (3, "EIO", "StoreUnavailable Store local: cannot publish"),
        ):
            outcome = self.outcome(f"fsync:error={error}:when={when}")
            self.assertEqual(f"{expected} the object: {error}.\n", outcome)

    def test_flush_beside(self) -> None:
        """An error of a flush beside the writes is kept, because the kernel reports it only once."""
        outcome = self.outcome("fdatasync:error=EIO:when=1", mebibytes=66)
        self.assertEqual("StoreUnavailable Store local: cannot flush the object: EIO.\n", outcome)

    def test_close(self) -> None:
        """An error of close, as on a network file system, fails the commit."""
        outcome = self.outcome("close:error=EDQUOT:when=1", fsync=False)
        self.assertEqual("StoreFull Store local: cannot finish the object: EDQUOT.\n", outcome)

    def test_link(self) -> None:
        """An error of the link to the final name fails the commit."""
        outcome = self.outcome("link,linkat:error=EACCES:when=1")
        self.assertEqual("StoreWriteDenied Store local: cannot publish the object: EACCES.\n", outcome)


def _environment() -> dict[str, str]:
    """The environment for a child that imports the same modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
