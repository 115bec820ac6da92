"""The file with the users: read by the daemon, and written by `imgsvc-admin user`."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from twisted.python.failure import Failure

from imgsvc.errors import ConfigurationError
from imgsvc.folders import PRIVATE, sync
from imgsvc.identity.stamps import stamp_of
from imgsvc.identity.users.accounts import Accounts
from imgsvc.interfaces import IThreads
from imgsvc.logger import make_logger

__all__ = ["UserFile", "change_accounts", "read_accounts"]

log = make_logger()

LARGEST: Final = 1 << 20
"""Bytes. A larger file would take too long to read while requests run."""

LOOK_INTERVAL: Final = 1.0
"""Seconds between two checks whether the file has changed."""


def read_accounts(path: Path) -> Accounts:
    """Read the file. Blocks.

    Raises ConfigurationError: the file is missing, is not one of users, or others than its owner may read it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"{path}: its permissions are {mode:04o}: must be 0600, as it has the hashes of passwords (chmod 600)"
        )
    if len(data) > LARGEST:
        raise ConfigurationError(f"{path}: is longer than {LARGEST} bytes")
    try:
        return Accounts.from_json(data.decode())
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not a file with users: {error}") from None


def change_accounts(path: Path, change: Callable[[Accounts], Accounts]) -> None:
    """Change the users, or create the file. Other processes wait meanwhile that also want to change it. Blocks.

    Whoever reads the file sees all of the change or nothing. A new file belongs to the owner of its folder, because
    the daemon may run as another account than root. change: may raise, and then nothing changes.

    Raises ConfigurationError: the file cannot be read or written.
    """
    try:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with _turn(path.with_name(f".{path.name}.lock")):
            before = read_accounts(path) if os.path.lexists(path) else Accounts()
            text = change(before).to_json().encode()
            if len(text) > LARGEST:
                raise ConfigurationError(f"{path}: would be longer than {LARGEST} bytes")
            _replace(path.resolve(), text)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Hold a lock file, which stays."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _give(descriptor, lock.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _give(descriptor: int, like: Path) -> None:
    """Give a file that root has opened to the owner of another file or folder."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _replace(path: Path, text: bytes) -> None:
    """Put a new file in the place of another, with mode 0600. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):  # left by a process that was killed
        new.unlink()
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            _give(descriptor, path if path.exists() else path.parent)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            new.unlink()
        raise
    sync(path.parent)


class UserFile:
    """The users of the file. It is read again in a thread when it has changed.

    If the file is missing or wrong then, the log says so, and the users that were read before stay.
    """

    def __init__(self, path: Path, threads: IThreads, seconds: Callable[[], float]) -> None:
        """path: of the file, which is read at once. threads: read it later. seconds: returns the monotonic time.

        Raises ConfigurationError.
        """
        self._path = path
        self._threads = threads
        self._seconds = seconds
        self._stamp = stamp_of(path)
        self._accounts = read_accounts(path)
        self._look_at = seconds() + LOOK_INTERVAL

    @property
    def accounts(self) -> Accounts:
        """The users as they were in the file about a second ago, or later."""
        if self._seconds() >= self._look_at:
            self._look()
        return self._accounts

    def _look(self) -> None:
        self._look_at = self._seconds() + LOOK_INTERVAL
        stamp = stamp_of(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            self._threads.run(read_accounts, self._path).addCallbacks(self._read, self._not_read)

    def _read(self, accounts: Accounts) -> None:
        self._accounts = accounts
        log.info("users read again: {path}", path=str(self._path))

    def _not_read(self, failure: Failure) -> None:
        if failure.check(ConfigurationError):
            log.error("users not read again, the earlier ones stay: {error}", error=str(failure.value))
        # else the server stops, and its threads take no more work
