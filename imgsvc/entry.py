"""Where the installed commands begin: they take Ctrl-C before the imports, which last half a second."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

__all__ = ["admin", "client"]


def client() -> None:
    """The `imgsvc` command. Until it has begun to work, Ctrl-C ends it with 130, at once and without a word."""
    _take_interrupts()
    from imgsvc.client.command import main

    main()


def admin() -> None:
    """The `imgsvc-admin` command. Ctrl-C does the same as long as it is imported."""
    taken = _take_interrupts()
    from imgsvc.admin.command import main

    if taken:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


def _take_interrupts() -> bool:
    """Whether Ctrl-C is taken; it is not where it is ignored, as for what a shell runs in the background."""
    taken = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if taken:
        signal.signal(signal.SIGINT, _end)
    return taken


def _end(number: int, frame: FrameType | None) -> NoReturn:
    # No exception: whoever runs at this moment could swallow it. There is nothing yet to clean up.
    os._exit(128 + number)
