"""Lists the objects of a folder, and sets objects aside without losing their bytes.

All functions block, so they are called in threads. They raise OSError and NotMarked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from errno import ENOENT
from itertools import islice
from typing import Final

from attrs import frozen

from imgsvc.folders import PRIVATE, sync
from imgsvc.model import StoredObject
from imgsvc.stores.folder import Folder, NameTaken, is_name

BATCH: Final = 1000
"""Objects that are listed in one call."""
ASIDE: Final = ".imgsvc-left-over"
"""The subfolder for objects that were set aside."""


@frozen
class Objects:
    """The objects of a folder, as files."""

    folder: Folder

    def walk(self) -> Iterator[StoredObject]:
        """Yield all objects, in the order of the file system. The folder stays open until the iterator ends."""
        with os.scandir(self.folder.path) as entries:
            for entry in entries:
                try:
                    if is_name(entry.name) and entry.is_file():
                        yield _stored(entry.name, entry.stat())
                except FileNotFoundError:
                    pass  # deleted since it was listed

    def batch(self, walk: Iterator[StoredObject]) -> list[StoredObject]:
        """Return the next objects of a walk; an empty list at its end."""
        self.folder.mark.check()
        return list(islice(walk, BATCH))

    def find(self, name: str) -> StoredObject:
        """Return the object of that name. Raises FileNotFoundError."""
        self.folder.mark.check()
        return _stored(name, os.stat(self.folder.final(name)))

    def set_aside(self, found: StoredObject) -> str:
        """Move an object out of the store, durably. Returns its new path.

        Raises FileNotFoundError: the object was deleted or replaced. NameTaken: an object of its name was set aside
        before. LockBusy.
        """
        target = self._aside(found.name)
        with self.folder.locked(found.name):
            if self.find(found.name) != found:
                raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
            os.makedirs(os.path.dirname(target), PRIVATE, exist_ok=True)
            self._move(found.name, self.folder.final(found.name), target)
        return target

    def put_back(self, found: StoredObject) -> None:
        """Undo `set_aside`. Raises FileNotFoundError, NameTaken, LockBusy."""
        with self.folder.locked(found.name):
            self._move(found.name, self._aside(found.name), self.folder.final(found.name))

    def _aside(self, name: str) -> str:
        return f"{self.folder.path}/{ASIDE}/{name}"

    def _move(self, name: str, source: str, target: str) -> None:
        # A rename would replace an existing target.
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            raise NameTaken(name) from None
        if self.folder.durable:
            sync(os.path.dirname(target))
        os.unlink(source)
        if self.folder.durable:
            sync(os.path.dirname(source))


def _stored(name: str, status: os.stat_result) -> StoredObject:
    version = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
    return StoredObject(name, status.st_size, status.st_mtime, version)
