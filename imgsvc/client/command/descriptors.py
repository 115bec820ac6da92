"""Reads and writes descriptors that may be pipes, without blocking the reactor or the end of the process.

Each call runs in a daemon thread. The program at the other end of a pipe can block that thread for any time. The end of
the process does not wait for a daemon thread, as it would for a thread of a pool.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imgsvc.client.errors import LocalFileError

BLOCK: Final = 1024 * 1024
"""Bytes that are read at a time."""

T = TypeVar("T")


def write_to_descriptor(reactor: Any, fd: int) -> Callable[[bytes], Deferred[None]]:
    """Make a function that writes bytes to a descriptor and returns a Deferred of None.

    reactor: of the process. fd: the descriptor, of standard output. The Deferred fails with LocalFileError.
    """

    def write_all(data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]

    return lambda data: _in_daemon_thread(reactor, "standard output", lambda: write_all(data))


async def read_from_descriptor(reactor: Any, fd: int) -> AsyncIterator[bytes]:
    """Read a descriptor to its end.

    reactor: of the process. fd: the descriptor, of standard input.

    Returns an asynchronous iterator of blocks of up to BLOCK bytes. Raises LocalFileError.
    """
    with suppress(OSError):  # not a pipe, or the system allows no larger one
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, BLOCK)
    while block := await _in_daemon_thread(reactor, "standard input", lambda: _read_some(fd)):
        yield block


def _read_some(fd: int) -> bytes:
    """Wait for the first byte, and read what is available. Returns b"" at the end."""
    first = os.read(fd, BLOCK)
    parts, held = [first], len(first)
    while first and held < BLOCK and select.select([fd], [], [], 0)[0]:
        more = os.read(fd, BLOCK - held)
        if not more:
            break
        parts.append(more)
        held += len(more)
    return b"".join(parts)


def _in_daemon_thread(reactor: Any, name: str, function: Callable[[], T]) -> Deferred[T]:
    """Call a function in a daemon thread: a Deferred of its result. An OSError becomes a LocalFileError of `name`."""
    done: Deferred[T] = Deferred()

    def settle(result: T | Failure) -> None:
        if not done.called:
            done.callback(result)

    def blocking() -> None:
        result: T | Failure
        try:
            result = function()
        except OSError as error:
            result = Failure(LocalFileError(name, error.strerror or str(error)))
        reactor.callFromThread(settle, result)

    threading.Thread(target=blocking, daemon=True).start()
    return done
