"""Creates the folders that a start needs: private, durable, and removed again if the start fails."""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["PRIVATE", "Folders", "sync"]

PRIVATE: Final = 0o700
"""Permissions of a folder that only its owner may enter."""


class Folders:
    """Creates folders, and remembers which ones are new.

    Every folder is locked while it is in use (flock(2), a shared lock of all processes that use it). So a failed start
    does not remove folders that another start has begun to use. Calls block. They must not run concurrently.
    """

    def __init__(self) -> None:
        self._made: list[Path] = []
        self._used: dict[Path, int] = {}
        weakref.finalize(self, _close, self._used)

    def make(self, path: Path, mode: int = PRIVATE, durable: bool = True) -> None:
        """Create a folder and its missing parents. An existing folder keeps its permissions.

        path: absolute. mode: permissions of new folders; 0: the umask decides. durable: whether their names are on the
        disk when this returns. Raises OSError.
        """
        for folder in reversed(_missing(path)):
            with suppress(FileExistsError):  # another process was faster
                folder.mkdir(mode or 0o777)
                self._made.append(folder)
                if mode:
                    folder.chmod(mode)  # the umask may have removed some
            if durable:
                sync(folder.parent)
        self._use(path)

    def _use(self, path: Path) -> None:
        if path in self._used:
            return
        self._used[path] = descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with suppress(OSError):  # a file system without locks: `undo` cannot lock it either
            fcntl.flock(descriptor, fcntl.LOCK_SH)

    def undo(self) -> None:
        """Remove the new folders and the files in them, unless another process uses one of the folders.

        Folders that cannot be removed stay.
        """
        with suppress(OSError):
            for descriptor in self._used.values():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for folder in reversed(self._made):
                if folder in self._used:
                    _remove_files(folder)
                folder.rmdir()
        self.close()

    def started(self, data_folder: Path) -> None:
        """Note that the start has succeeded: keep all folders, and keep only the data folder locked.

        An open descriptor would prevent unmounting the file system of a store. The other folders are safe from the
        `undo` of another start, because that needs the lock of the data folder too.
        """
        self._made.clear()
        for path in [path for path in self._used if path != data_folder]:
            os.close(self._used.pop(path))

    def close(self) -> None:
        """Stop using the folders. May be called repeatedly."""
        self._made.clear()
        _close(self._used)


def sync(folder: Path | str) -> None:
    """Write the names in a folder to the disk. Raises OSError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # the folder can be written, but not read
        os.sync()
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(path: Path) -> list[Path]:
    """The missing ones of a folder and its parents, the innermost first."""
    return [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]


def _remove_files(folder: Path) -> None:
    for entry in os.scandir(folder):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)


def _close(used: dict[Path, int]) -> None:
    while used:
        os.close(used.popitem()[1])
