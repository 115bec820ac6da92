"""Writing to a descriptor that may be a pipe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imgsvc.client.errors import LocalFileError


def write_to_descriptor(reactor: Any, fd: int) -> Callable[[bytes], Deferred[None]]:
    """A function that writes bytes to `fd`: Deferred of None when all were taken. Fails with LocalFileError.

    Each write has a daemon thread: a reader that takes nothing blocks the write for as long as it likes, and the
    end of the process must not wait for it, as it would for a thread of a pool.
    """

    def write(data: bytes) -> Deferred[None]:
        written: Deferred[None] = Deferred()

        def settle(failure: Failure | None) -> None:
            if not written.called:
                if failure is None:
                    written.callback(None)
                else:
                    written.errback(failure)

        def blocking() -> None:
            failure = None
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(fd, left) :]
            except OSError as error:
                failure = Failure(LocalFileError("standard output", error.strerror or str(error)))
            reactor.callFromThread(settle, failure)

        threading.Thread(target=blocking, daemon=True).start()
        return written

    return write
