"""The mark in the folder of a file store."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ConfigurationError, ObjectMissing, StoreAway
from imgsvc.interfaces import IFileBacked, IMarkedStore
from imgsvc.model import Location, Span
from imgsvc.store_model import StoreSettings
from imgsvc.stores.file import make
from imgsvc.stores.locks import LockBusy
from imgsvc.stores.mark import Mark, MarkFile, NotMarked
from imgsvc.stores.services import StoreServices
from tests.support.mark_contract import LOOKS, MarkContract
from tests.support.store_contract import DATA, EARLIER, NAME, put, read, result_of, store_services

OURS, OTHERS = Mark("a-catalogue", "local"), Mark("another", "local")


class FileMarkTests(MarkContract, SynchronousTestCase):
    """The file store keeps the contract, and recognises the folders of Glance and of earlier versions."""

    def setUp(self) -> None:
        super().setUp()
        self.images = self.folder / "images"
        self.mark = self.images / ".imgsvc-lock"

    def make_store(self, services: StoreServices, store_id: str) -> IMarkedStore:
        return make(StoreSettings(store_id), {"path": "images"}, services)

    def remove_medium(self) -> None:
        os.rename(self.images, self.folder / "away")
        self.images.mkdir()

    def return_medium(self) -> None:
        self.images.rmdir()  # which shows that nothing was written there
        os.rename(self.folder / "away", self.images)

    def add_object(self, name: str) -> None:
        self.images.mkdir(parents=True, exist_ok=True)
        (self.images / name).write_bytes(DATA)

    def old(self, *names: str) -> Any:
        """A store that starts on a folder of an earlier version with these files."""
        self.images.mkdir(parents=True)
        for name in names:
            (self.images / name).write_bytes(DATA)
        self.mark.touch()
        return self.start()

    def test_text(self) -> None:
        """The mark is JSON with the ids of catalogue and store."""
        self.start()
        self.assertEqual('{"catalogue": "a-catalogue", "store": "local"}\n', self.mark.read_text())

    def test_no_folder(self) -> None:
        """A missing folder is not created if the catalogue has images in it."""
        self.holdings.objects.add(NAME)
        store = self.start()
        self.assert_away(store)
        self.assertFalse(self.images.exists())
        self.add_object(NAME)
        self.mark.write_bytes(OURS.encode())
        result_of(store.check())

    def test_other_files(self) -> None:
        """A folder with other files and folders, but no objects, is new."""
        (self.images / "lost+found").mkdir(parents=True)
        (self.images / "folder").mkdir()
        (self.images / "README.txt").write_text("")
        result_of(self.start().check())

    def test_old_and_known(self) -> None:
        """The empty mark of earlier versions is accepted if one object or upload of the catalogue is there."""
        self.holdings.objects.add(NAME)
        for name in (NAME, f".{NAME}.{EARLIER}.part"):
            store = self.old(name, "unknown")
            result_of(store.check())
            self.assertEqual(OURS, Mark.decode(self.mark.read_bytes()))
            os.rename(self.images, self.folder / name)

    def test_old_and_unknown(self) -> None:
        """It is not accepted with other objects only, or in an empty folder if the catalogue has images."""
        store = self.old("unknown")
        self.assert_away(store)
        self.holdings.objects.add(NAME)
        (self.images / "unknown").unlink()
        self.assert_away(self.start())
        self.assert_away(store)
        self.assertEqual(b"", self.mark.read_bytes())

    def test_old_and_empty(self) -> None:
        """It is accepted in an empty folder if the catalogue has no images."""
        result_of(self.old().check())

    def test_old_and_late(self) -> None:
        """A folder of an earlier version is also accepted if it is mounted after the start of the daemon."""
        self.holdings.objects.add(NAME)
        used, idle = self.start(), self.start()
        self.assert_away(used)
        self.add_object(NAME)
        self.mark.touch()
        self.clock.advance(LOOKS)
        self.assertEqual(OURS, Mark.decode(self.mark.read_bytes()))
        for store in (used, idle):
            result_of(store.check())

    def test_new_and_late(self) -> None:
        """An empty folder is marked only at the start, never later."""
        self.holdings.objects.add(NAME)
        store = self.start()
        self.holdings.objects.clear()
        self.images.mkdir(parents=True)
        self.assert_away(store)
        self.mark.touch()
        self.assert_away(store)
        self.clock.advance(LOOKS)
        self.assertEqual(b"", self.mark.read_bytes())

    def test_broken_mark(self) -> None:
        """An unreadable mark counts as that of another store."""
        self.start_with_object()
        for text in (b"x", b"[]", b'{"catalogue": "a-catalogue"}', b'{"catalogue": 1, "store": 2}', b"\xff"):
            self.mark.write_bytes(text)
            self.assert_away(self.start())

    def test_changed_mark(self) -> None:
        """A mark that is replaced while the store runs takes effect at once."""
        store, location = self.start_with_object()
        self.mark.write_bytes(OTHERS.encode())
        self.assert_away(store, location)
        self.mark.write_bytes(OURS.encode())
        self.assert_there(store, location)

    def test_moved(self) -> None:
        """A folder that was moved with its mark belongs to the store, and its objects are found by their names."""
        _, location = self.start_with_object()
        elsewhere = self.folder / "elsewhere"
        os.rename(self.images, elsewhere)
        services = self.make_services()
        moved = make(StoreSettings("local"), {"path": str(elsewhere)}, services)
        result_of(moved.start())
        self.addCleanup(moved.stop)
        self.assertEqual(DATA, result_of(read(moved, location)))
        result_of(moved.delete(location))
        self.assertFalse((elsewhere / NAME).exists())

    def test_other_path(self) -> None:
        """If only the path was changed, no object counts as missing."""
        _, location = self.start_with_object()
        services = self.make_services()
        changed = make(StoreSettings("local"), {"path": "elsewhere"}, services)
        result_of(changed.start())
        self.addCleanup(changed.stop)
        self.assert_away(changed, location)
        self.assertFalse((self.folder / "elsewhere").exists())
        self.assertEqual(DATA, (self.images / NAME).read_bytes())

    def make_services(self) -> StoreServices:
        """The services of another process."""
        return store_services(self.folder, clock=self.clock, holdings=self.holdings)

    def test_unusable(self) -> None:
        """A folder that cannot be created is refused at the start, as always."""
        self.folder.mkdir()
        self.images.write_text("in the way")
        with self.assertRaises(ConfigurationError):
            self.start()

    def test_kind_of_file_system(self) -> None:
        """The capabilities of the file system are determined again when the folder is back."""
        store, location = self.start_with_object()
        self.remove_medium()
        late = self.start()
        self.return_medium()
        self.clock.advance(LOOKS)
        for each in (store, late):
            reader = result_of(each.reader(location, Span(0, 1)))
            self.assertTrue(IFileBacked.providedBy(reader))
            reader.stopProducing()

    def test_object_without_mark(self) -> None:
        """An object in a folder without the mark is not read, although it is there and in memory."""
        store, location = self.start_with_object()
        self.mark.unlink()
        self.clock.advance(LOOKS)
        with self.assertRaises(StoreAway):
            result_of(store.reader(location, Span(0, 1)))
        self.assertIsNone(store._disk.folder.mark.read())

    def test_name_only(self) -> None:
        """A location is found by its name in the store's folder, and in no other."""
        outside = self.folder / "outside"
        outside.mkdir(parents=True)
        (outside / NAME).write_bytes(b"secret")
        store, location = self.start(), Location("local", f"file://{outside}/{NAME}")
        for call in (store.size, store.delete):
            with self.assertRaises(ObjectMissing):
                result_of(call(location))
        self.assertTrue((outside / NAME).exists())
        result_of(put(store, NAME, EARLIER, DATA))
        self.assertEqual(DATA, result_of(read(store, location)))

    def test_stopped(self) -> None:
        """A store that was stopped does not check its folder any more."""
        store = self.start()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        result_of(store.stop())
        self.assertEqual([], self.clock.getDelayedCalls())


class RaceTests(SynchronousTestCase):
    """Many processes that mark the same folder at once."""

    def race(self, folder: Path, before: bytes | None) -> list[MarkFile]:
        """The successful ones of many, of which each belongs to one of two catalogues."""
        marks = [MarkFile(f"{folder}/.imgsvc-lock", OTHERS if number % 2 else OURS) for number in range(16)]
        meeting = Barrier(len(marks))

        def write(mark: MarkFile) -> bool:
            meeting.wait(30)
            while True:
                try:
                    return mark.write(before)
                except LockBusy:
                    continue

        with ThreadPoolExecutor(len(marks)) as threads:
            return [mark for mark, succeeded in zip(marks, threads.map(write, marks), strict=True) if succeeded]

    def test_one_succeeds(self) -> None:
        """One succeeds, in a new folder and in one of an earlier version, and the others leave nothing."""
        for before in (None, b""):
            folder = Path(self.mktemp()).absolute()
            folder.mkdir()
            if before is not None:
                (folder / ".imgsvc-lock").touch()
            [winner] = self.race(folder, before)
            winner.check()
            self.assertEqual([".imgsvc-lock"], os.listdir(folder))
            loser = MarkFile(winner.path, OURS if winner.own == OTHERS else OTHERS)
            with self.assertRaisesRegex(NotMarked, "has the mark of store local of catalogue"):
                loser.check()
