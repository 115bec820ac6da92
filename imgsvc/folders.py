"""Folders that a start needs: made for their owner alone, kept over a power failure, and gone if the start fails."""

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
    """Makes folders, and remembers which ones were not there before.

    Every folder is locked while it is in use (flock(2), shared by all processes that use it), so that a start which
    fails does not take away what another one has begun to use. Calls block, and come one after the other.
    """

    def __init__(self) -> None:
        self._made: list[Path] = []
        self._used: dict[Path, int] = {}
        weakref.finalize(self, _close, self._used)

    def make(self, path: Path, mode: int = PRIVATE, durable: bool = True) -> None:
        """Make a folder, and those above it that are missing. One that is there already keeps its permissions.

        path: absolute. mode: permissions of those that are made; 0: what the umask leaves. durable: their names are on
        the disk before this returns. Raises OSError.
        """
        for folder in reversed(_missing(path)):
            with suppress(FileExistsError):  # another process was faster
                folder.mkdir(mode or 0o777)
                self._made.append(folder)
                if mode:
                    folder.chmod(mode)  # the umask may have taken some away
            if durable:
                sync(folder.parent)
        self._use(path)

    def _use(self, path: Path) -> None:
        if path in self._used:
            return
        self._used[path] = descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with suppress(OSError):  # a file system without locks: `undo` will not get its own either
            fcntl.flock(descriptor, fcntl.LOCK_SH)

    def undo(self) -> None:
        """Remove the folders that were made and the files in them, unless another process uses one of them.

        What cannot be removed stays.
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
        """The start is over: nothing is to be undone, and only the data folder stays locked.

        An open descriptor keeps a file system from being unmounted, and those of stores may be. What another start
        still might undo is safe all the same, because it would need the lock of the data folder, too.
        """
        self._made.clear()
        for path in [path for path in self._used if path != data_folder]:
            os.close(self._used.pop(path))

    def close(self) -> None:
        """Use none of them any more. Any number of times."""
        self._made.clear()
        _close(self._used)


def sync(folder: Path | str) -> None:
    """Have the names in a folder on the disk. Raises OSError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # names may be made in it, but not read
        os.sync()
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(path: Path) -> list[Path]:
    """The folder and those above it that are not there, the innermost first."""
    return [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]


def _remove_files(folder: Path) -> None:
    for entry in os.scandir(folder):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)


def _close(used: dict[Path, int]) -> None:
    while used:
        os.close(used.popitem()[1])
