"""How tests wait for other processes, and find ports for them."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds. A quiet machine takes a small part of them."""


def wait_for(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """What `condition` gives, once it is true. Raises AssertionError that tells `what` did not come."""
    until = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"in {patience} s not: {what}")
        time.sleep(0.02)  # there is nothing to be told by another process


def is_running(pid: int) -> bool:
    """Whether a process has not ended. One that has, and that nobody has asked for its status, does not run."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def children(pid: int) -> list[int]:
    """The processes that a process has started, and whose status it has not asked for."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def heed_interrupts() -> None:
    """Run in a child before its program (preexec_fn): SIGINT ends it.

    Who runs the tests may have SIGINT ignored, as a shell has for what it runs in the background.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port for a server that cannot choose one itself.

    Nobody listens on it. It is none of those that the kernel gives to connections and to servers that leave it the
    choice, so that nobody gets it before the server does.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [*range(10_000, first), *range(last + 1, 1 << 16)] or [0]
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.SystemRandom().choice(others))) as listener:
            port: int = listener.getsockname()[1]
            return port
