"""The file store: the contract, its layout and its options."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.errors import (
    ConfigurationError,
    Invalid,
    ObjectDamaged,
    ObjectMissing,
    StoreAway,
    StoreFull,
    StoreUnavailable,
)
from imgsvc.interfaces import IFileBacked, IStore
from imgsvc.model import Location, Span, StoreUsage
from imgsvc.store_model import StoreSettings
from imgsvc.stores.file import ROOM_OF_CATALOGUE, make
from imgsvc.stores.services import StoreServices
from tests.support.listing_contract import ListingContract, objects
from tests.support.resume_contract import ResumeContract
from tests.support.store_contract import (
    DATA,
    EARLIER,
    LATER,
    NAME,
    Consumer,
    StoreContract,
    StoreProperties,
    put,
    read,
    result_of,
    store_services,
    write,
)
from tests.support.waiting import PATIENCE


def _too_late(*_: object) -> None:
    raise AssertionError("a call has waited for ever")


class FileStoreTests(ListingContract, ResumeContract, StoreProperties, SynchronousTestCase):
    """The file store keeps the contract."""

    def make_store(self, services: StoreServices) -> IStore:
        return make(StoreSettings("local"), {}, services)


class ListingTests(SynchronousTestCase):
    """Which files of a folder are objects."""

    def setUp(self) -> None:
        services = store_services(Path(self.mktemp()).absolute())
        self.images = services.data_folder / "images"
        self.store = make(StoreSettings("local"), {}, services)
        result_of(self.store.start())
        self.addCleanup(self.store.stop)

    def test_many(self) -> None:
        """There are more objects than are listed at a time, and one disappears meanwhile."""
        for number in range(2500):
            (self.images / f"{number}").touch()

        async def vanish() -> set[str]:
            names = set()
            async for batch in self.store.objects():
                self.assertLessEqual(len(batch), 1000)
                names |= {each.name for each in batch}
                (self.images / "absent").unlink(missing_ok=True)
            return names

        self.assertEqual(result_of(vanish()), {str(number) for number in range(2500)})

    def test_others(self) -> None:
        """Folders, and files with other names than objects have, are not objects. A link stands for its target."""
        (self.images / "folder").mkdir()
        (self.images / "x.img").touch()
        (self.images / "broken").symlink_to("nowhere")
        (self.images / "link").symlink_to("x.img")
        found = result_of(objects(self.store))
        self.assertEqual(set(found), {"link"})
        result_of(self.store.set_aside(found["link"]))
        self.assertTrue((self.images / "x.img").exists())
        self.assertEqual(os.readlink(self.images / ".imgsvc-left-over/link"), "x.img")

    def test_away(self) -> None:
        """Nothing is listed or moved in a folder that is not the store's."""
        (self.images / "x").touch()
        found = result_of(self.store.object("x"))
        (self.images / ".imgsvc-lock").unlink()
        calls = (lambda: objects(self.store), lambda: self.store.object("x"), lambda: self.store.set_aside(found))
        for call in (*calls, lambda: self.store.put_back(found)):
            with self.assertRaises(StoreAway):
                result_of(call())
        self.assertEqual(os.listdir(self.images), ["x"])


class SparseFileStoreTests(ResumeContract, StoreProperties, SynchronousTestCase):
    """The file store keeps the contract with holes and without flushes."""

    def make_store(self, services: StoreServices) -> IStore:
        return make(StoreSettings("local"), {"thin_provisioning": True, "fsync": False}, services)


class RemoteFileStoreTests(StoreContract, SynchronousTestCase):
    """The file store keeps the contract on a remote file system."""

    def make_store(self, services: StoreServices) -> IStore:
        return make(StoreSettings("local"), {}, services)

    def setUp(self) -> None:
        super().setUp()
        self.store._disk.local = False

    def test_is_not_file_backed(self) -> None:
        """A file on a remote file system is not read in the reactor thread."""
        location = result_of(put(self.store, NAME, EARLIER, DATA))
        reader = result_of(self.store.reader(location, Span(0, 1)))
        self.assertFalse(IFileBacked.providedBy(reader))
        reader.stopProducing()


class FileTests(SynchronousTestCase):
    """Behaviour of the file store only."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.services = store_services(self.folder)
        self.images = self.folder / "images"

    def start(self, **options: object) -> IStore:
        """A running store with these options."""
        store = make(StoreSettings("local"), options, self.services)
        result_of(store.start())
        self.addCleanup(store.stop)
        return store

    def names(self) -> set[str]:
        """The names in the folder, except the lock."""
        return set(os.listdir(self.images)) - {".imgsvc-lock"}

    # --- layout

    def test_layout(self) -> None:
        """An object is a file with the image's id as its name, at the URL that Glance would give it."""
        location = result_of(put(self.start(), NAME, EARLIER, DATA))
        self.assertEqual(Location("local", f"file://{self.images}/{NAME}"), location)
        self.assertEqual({NAME}, self.names())
        self.assertEqual(DATA, (self.images / NAME).read_bytes())

    def test_file_of_glance(self) -> None:
        """A file of Glance is read and deleted with both schemes of its URLs."""
        store = self.start()
        for scheme in ("file", "filesystem"):
            (self.images / NAME).write_bytes(DATA)
            location = Location("local", f"{scheme}://{self.images}//{NAME}")
            self.assertEqual(DATA, result_of(read(store, location)))
            result_of(store.delete(location))
            self.assertEqual(set(), self.names())

    def test_unfinished_part(self) -> None:
        """The file of a running upload is hidden and has its id in its name. After the commit both names are
        one file.
        """
        writer = result_of(write(self.start(), NAME, EARLIER, DATA))
        part = f".{NAME}.{EARLIER}.part"
        self.assertEqual({part}, self.names())
        result_of(writer.commit())
        self.assertEqual({NAME, part}, self.names())
        self.assertTrue(os.path.samefile(self.images / NAME, self.images / part))

    def test_foreign_locations(self) -> None:
        """Any location refers to a file of the folder, or to nothing."""
        store = self.start()
        (self.folder / NAME).write_bytes(b"secret")
        for url in (
            f"file://{self.folder}/{NAME}",
            f"file://{self.images}/../{NAME}",
            f"file://{self.images}/.imgsvc-lock",
            f"file://{self.images}/",
            f"http://{self.images}/{NAME}",
            str(self.images / NAME),
        ):
            for call in (store.size, store.delete, lambda location: store.reader(location, Span(0, 1))):
                with self.assertRaises(ObjectMissing, msg=url):
                    result_of(call(Location("local", url)))

    def test_impossible_names(self) -> None:
        """Names that would leave the folder, or have another meaning, are refused."""
        store = self.start()
        for name, lease_id in (("../x", "1"), ("a/b", "1"), (".x", "1"), ("", "1"), ("x", ""), ("x", "a/b")):
            for call in (store.discard, store.finalize, lambda name, upload: store.writer(name, upload, None)):
                with self.assertRaises(Invalid, msg=f"{name!r} {lease_id!r}"):
                    result_of(call(name, lease_id))

    def test_existing_folder(self) -> None:
        """A store uses the existing objects of its folder. Two stores can share it."""
        location = result_of(put(self.start(), NAME, EARLIER, DATA))
        self.assertEqual(DATA, result_of(read(self.start(), location)))

    def test_same_upload_twice(self) -> None:
        """An upload id can be used once. What it has written is not overwritten."""
        store = self.start()
        writer = result_of(write(store, NAME, EARLIER, DATA))
        with self.assertRaises(StoreUnavailable):
            result_of(store.writer(NAME, EARLIER, None))
        location = result_of(writer.commit())
        self.assertEqual(DATA, result_of(read(store, location)))

    # --- reading

    def test_file_backed(self) -> None:
        """A reader offers its file until it is stopped."""
        store = self.start()
        location = result_of(put(store, NAME, EARLIER, DATA))
        reader = result_of(store.reader(location, Span(100, 50)))
        verifyObject(IFileBacked, reader)
        self.assertEqual((100, 50), (reader.offset, reader.length))
        result_of(reader.load(100, 50))
        self.assertEqual(DATA[100:150], os.pread(reader.fd, 50, 100))
        reader.stopProducing()
        with self.assertRaises(OSError):
            os.fstat(reader.fd)

    def test_deleted_while_read(self) -> None:
        """A download continues to its end if the object is deleted meanwhile, and then its file is closed."""
        store = self.start()
        location = result_of(put(store, NAME, EARLIER, DATA))
        reader = result_of(store.reader(location, Span(0, len(DATA))))
        consumer = Consumer(pausing=True)
        producing = reader.startProducing(consumer)
        result_of(store.delete(location))
        consumer.resume()
        result_of(producing)
        self.assertEqual(DATA, consumer.data)
        reader.stopProducing()
        with self.assertRaises(OSError):
            os.fstat(reader.fd)

    def test_truncated_while_read(self) -> None:
        """A file that became shorter is damaged, and the missing bytes are not padded."""
        store = self.start()
        content = DATA * 4
        location = result_of(put(store, NAME, EARLIER, content))
        reader = result_of(store.reader(location, Span(0, len(content))))
        consumer = Consumer(pausing=True)
        producing = reader.startProducing(consumer)
        os.truncate(self.images / NAME, len(content) - 1)
        with self.assertRaises(ObjectDamaged):
            result_of(reader.load(0, len(content)))
        consumer.resume()
        with self.assertRaises(ObjectDamaged):
            result_of(producing)
        self.assertTrue(content.startswith(consumer.data))
        self.assertIsNone(consumer.producer)
        reader.stopProducing()

    def test_no_descriptor_is_left(self) -> None:
        """Uploads and downloads leave no file open, however they end."""
        store = self.start()
        before = set(os.listdir("/proc/self/fd"))
        location = result_of(put(store, NAME, EARLIER, DATA))
        result_of(read(store, location))
        for number in range(3):
            writer = result_of(write(store, "aborted", str(number), DATA))
            result_of(writer.abort())
        result_of(store.reader(location, Span(0, 1))).stopProducing()
        with self.assertRaises(ObjectDamaged):
            result_of(store.reader(location, Span(0, len(DATA) + 1)))
        self.assertLessEqual(set(os.listdir("/proc/self/fd")), before)

    # --- options

    def test_properties(self) -> None:
        """The store shows the same properties as Glance's file store."""
        expected = {"data_dir": str(self.images), "chunk_size": 65536, "thin_provisioning": False}
        self.assertEqual(expected, dict(self.start().info.properties))

    def test_absolute_path(self) -> None:
        """An absolute path is used unchanged."""
        elsewhere = Path(self.mktemp()).absolute() / "deep" / "er"
        location = result_of(put(self.start(path=str(elsewhere)), NAME, EARLIER, DATA))
        self.assertEqual(f"file://{elsewhere}/{NAME}", location.url)

    def test_permissions(self) -> None:
        """Files get the permissions of the options. 0 leaves it to the umask."""
        self.addCleanup(os.umask, os.umask(0o027))
        for number, (given, expected) in enumerate(((0, 0o640), ("0604", 0o604), ("0o444", 0o444), (0o600, 0o600))):
            result_of(put(self.start(file_perm=str(given) if given == 0 else given), f"object{number}", "1", b""))
            self.assertEqual(expected, stat.S_IMODE((self.images / f"object{number}").stat().st_mode))

    def test_permissions_by_default(self) -> None:
        """Without an option, only the owner may read files and enter the created folders."""
        self.addCleanup(os.umask, os.umask(0o022))
        store = self.start(path="deep/er")
        writer = result_of(write(store, NAME, EARLIER, DATA))
        result_of(writer.commit())
        found = {each: stat.S_IMODE(each.stat().st_mode) for each in (self.images.parent / "deep").rglob("*")}
        self.assertEqual(len(found), 4)  # the folder, the object under its two names, the lock
        self.assertEqual({each.name for each, mode in found.items() if mode != 0o600}, {"er"})
        self.assertEqual(
            {0o700}, {stat.S_IMODE((self.images.parent / each).stat().st_mode) for each in ("deep", "deep/er")}
        )

    def test_permissions_before_the_end(self) -> None:
        """Nobody else may read the file of a running upload."""
        self.addCleanup(os.umask, os.umask(0o022))
        result_of(write(self.start(file_perm="0644"), NAME, EARLIER, DATA))
        self.assertEqual(0o600, stat.S_IMODE((self.images / f".{NAME}.{EARLIER}.part").stat().st_mode))

    def test_new_folder_permissions(self) -> None:
        """Created folders can be entered by those who may read the files, or by those whom the umask allows."""
        self.addCleanup(os.umask, os.umask(0o077))
        for number, (given, expected) in enumerate((("0640", 0o710), ("0644", 0o711), ("0", 0o700))):
            self.start(file_perm=given, path=f"{number}/images")
            for folder in (f"{number}", f"{number}/images"):
                self.assertEqual(expected, stat.S_IMODE((self.images.parent / folder).stat().st_mode))

    def test_folder_permissions(self) -> None:
        """Whoever may read the files may enter the folder."""
        self.images.mkdir(parents=True, mode=0o700)
        self.start(file_perm="0600")
        self.assertEqual(0o700, stat.S_IMODE(self.images.stat().st_mode))
        self.start(file_perm="0644")
        self.assertEqual(0o711, stat.S_IMODE(self.images.stat().st_mode))

    def test_thin_provisioning(self) -> None:
        """With thin provisioning, ranges of zeros take no space, also at the end of the file."""
        content = bytes(1 << 20) + DATA + bytes(1 << 20)
        for thin in (False, True):
            location = result_of(put(self.start(thin_provisioning=thin), f"thin{thin}", EARLIER, content))
            self.assertEqual(content, result_of(read(self.start(), location)))
        self.assertGreaterEqual((self.images / "thinFalse").stat().st_blocks * 512, len(content))
        self.assertLess((self.images / "thinTrue").stat().st_blocks * 512, len(DATA) + (256 << 10))

    def test_wrong_options(self) -> None:
        """An invalid option is refused with its path, its value and what is allowed."""
        for options, complaint in (
            ({"paht": "images"}, r"stores\.local\.paht: .*path"),
            ({"path": 1}, r"stores\.local\.path = 1: must be a string"),
            ({"fsync": "yes"}, r"stores\.local\.fsync = 'yes': must be true or false"),
            ({"threads": 0}, r"stores\.local\.threads = 0: must be an integer, at least 1"),
            ({"file_perm": "0999"}, r"stores\.local\.file_perm = '0999': must be permissions in octal"),
            ({"file_perm": "07777"}, r"stores\.local\.file_perm = '07777': must be permissions in octal"),
            ({"file_perm": 640}, r"stores\.local\.file_perm = 640: must be permissions in octal"),
            ({"min_free": "much"}, r"stores\.local\.min_free = 'much': must be a size"),
        ):
            with self.assertRaisesRegex(ConfigurationError, complaint):
                make(StoreSettings("local"), options, self.services)

    # --- the medium

    def test_announced_size(self) -> None:
        """An upload whose announced size does not fit is refused before its first byte."""
        store = self.start()
        with self.assertRaises(StoreFull):
            result_of(store.writer(NAME, EARLIER, 1 << 62))
        self.assertEqual(set(), self.names())

    def test_min_free(self) -> None:
        """Uploads that would leave less free space than the operator wants are refused."""
        store = self.start(min_free=1 << 62)
        for size, told in ((None, "more bytes"), (5, "5 bytes")):
            with self.assertRaisesRegex(StoreFull, f"^Store local: {told} do not fit.$"):
                result_of(store.writer(NAME, EARLIER, size))

    def test_min_free_meanwhile(self) -> None:
        """Uploads fail when others have used the space that the operator wants free."""
        store = self.start()
        writer = result_of(store.writer(NAME, EARLIER, None))
        result_of(writer.write([b"before"]))
        writer._options = evolve(writer._options, min_free=1 << 62)
        with self.assertRaisesRegex(StoreFull, "ENOSPC"):
            result_of(writer.write([b"after"]))
        with self.assertRaises(StoreFull):
            result_of(writer.commit())
        result_of(writer.abort())
        self.assertEqual(set(), self.names())

    def test_room_of_catalogue(self) -> None:
        """On the file system of the catalogue, space stays free for it. On another, none does."""
        for lease_id, catalogue, kept in (
            (EARLIER, None, 0),
            (LATER, self.folder, ROOM_OF_CATALOGUE),
            (f"{LATER}-2", Path("/proc"), 0),
        ):
            store = make(StoreSettings("local"), {}, evolve(self.services, catalogue=catalogue))
            result_of(store.start())
            self.addCleanup(store.stop)
            self.assertEqual(result_of(store.writer(NAME, lease_id, None))._options.min_free, kept)

    def test_no_file(self) -> None:
        """An object that is not a regular file is damaged, and nobody waits for data of a FIFO."""
        store = self.start()
        location = result_of(put(store, NAME, EARLIER, DATA))
        (self.images / NAME).unlink()
        os.mkfifo(self.images / NAME)
        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, _too_late))
        signal.alarm(int(PATIENCE))
        self.addCleanup(signal.alarm, 0)
        for local in (True, False):
            store._disk.local = local
            with self.assertRaises(ObjectDamaged):
                result_of(store.reader(location, Span(0, len(DATA)), len(DATA)))

    def test_unlimited(self) -> None:
        """A medium that does not tell its size does not count as full."""
        self.images.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=0", "imgsvc-test", str(self.images)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.images)], check=True)
        store = self.start()
        self.assertEqual(StoreUsage(None, None), result_of(store.usage()))
        result_of(result_of(store.writer(NAME, EARLIER, 5)).abort())

    def test_usage(self) -> None:
        """The usage is that of the file system."""
        figures = os.statvfs(self.folder.parent)
        self.assertEqual(figures.f_blocks * figures.f_frsize, result_of(self.start().usage()).total)

    def test_not_mounted(self) -> None:
        """While the medium is away, its objects are not missing, but the store is unavailable."""
        store = self.start()
        location = result_of(put(store, NAME, EARLIER, DATA))
        writer = result_of(write(store, NAME, "2", DATA))
        os.rename(self.images, self.folder / "away")
        self.images.mkdir()
        for call in (
            lambda: store.size(location),
            lambda: store.delete(location),
            lambda: store.reader(location, Span(0, 1)),
            lambda: store.writer(NAME, "3", None),
            store.unfinished,
            store.usage,
            writer.commit,
            writer.abort,
            lambda: store.finalize(NAME, "2"),
            lambda: store.discard(NAME, "2"),
        ):
            with self.assertRaises(StoreUnavailable):
                result_of(call())
        self.assertEqual([], os.listdir(self.images))
        self.images.rmdir()
        os.rename(self.folder / "away", self.images)
        self.assertEqual(DATA, result_of(read(store, location)))
        result_of(writer.abort())
        self.assertEqual({NAME}, self.names())

    def test_unusable_folder(self) -> None:
        """A folder that cannot be created is refused at the start, with the path of the option."""
        self.folder.mkdir()
        self.images.write_text("in the way")
        store = make(StoreSettings("local"), {}, self.services)
        with self.assertRaisesRegex(ConfigurationError, r"stores\.local\.path = 'images': .*Not a directory"):
            result_of(store.start())
        result_of(store.stop())

    def test_not_running(self) -> None:
        """A store that is not running is unavailable."""
        store = make(StoreSettings("local"), {}, self.services)
        with self.assertRaises(StoreUnavailable):
            result_of(store.usage())
        result_of(store.start())
        result_of(store.stop())
        with self.assertRaises(StoreUnavailable):
            result_of(store.writer(NAME, EARLIER, None))
